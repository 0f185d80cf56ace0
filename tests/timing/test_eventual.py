"""
Tests for L{routing_crust.timing.eventual}.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.timing.eventual import EventualQueue


class EventualQueueTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.heard: list[int] = []
        self.queue = EventualQueue(self.clock)

    def test_calls_keep_their_order_and_share_one_delayed_call(self) -> None:
        """A call that is queued within the turn comes in the turn after it."""
        self.queue.call(self.heard.append, 1)
        self.queue.call(self.queue.call, self.heard.append, 3)
        self.queue.call(self.heard.append, 2)
        self.assertEqual((self.heard, len(self.clock.getDelayedCalls())), ([], 1))
        self.clock.advance(0)
        self.assertEqual(self.heard[:2], [1, 2])
        self.clock.advance(0)
        self.assertEqual((self.heard, self.clock.getDelayedCalls()), ([1, 2, 3], []))

    def test_run_makes_all_calls_at_once_and_leaves_no_delayed_call(self) -> None:
        self.queue.call(self.heard.append, 1)
        self.queue.call(self.queue.call, self.heard.append, 2)
        self.queue.run()
        self.assertEqual((self.heard, self.clock.getDelayedCalls()), ([1, 2], []))
        self.queue.run()

    def test_cancel_drops_queued_calls(self) -> None:
        self.queue.call(self.heard.append, 1)
        self.assertTrue(self.queue)
        self.queue.cancel()
        self.assertFalse(self.queue)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.queue.call(self.heard.append, 2)
        self.clock.advance(0)
        self.assertEqual(self.heard, [2])

    def test_cancel_within_a_turn_drops_the_rest_of_it(self) -> None:
        self.queue.call(self.queue.cancel)
        self.queue.call(self.heard.append, 1)
        self.clock.advance(0)
        self.assertEqual((self.heard, self.clock.getDelayedCalls()), ([], []))

    def test_calls_after_one_that_raises_come_a_turn_later(self) -> None:
        self.queue.call(divmod, 1, 0)
        self.queue.call(self.heard.append, 1)
        self.assertRaises(ZeroDivisionError, self.clock.advance, 0)
        self.clock.advance(0)
        self.assertEqual((self.heard, self.clock.getDelayedCalls()), ([1], []))

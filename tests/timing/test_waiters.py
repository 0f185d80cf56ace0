"""
Tests for L{routing_crust.timing.waiters}.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.timing.waiters import Waiters


class WaitersTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.left = 0
        self.waiters: Waiters[int] = Waiters(self.one_left)

    def one_left(self) -> None:
        self.left += 1

    def test_event_is_told_to_all_in_order(self) -> None:
        heard: list[tuple[str, int]] = []
        for name in "ab":
            self.waiters.wait().addCallback(lambda result, name=name: heard.append((name, result)))
        self.assertTrue(self.waiters)
        self.waiters.fire(7)
        self.assertEqual((heard, len(self.waiters)), ([("a", 7), ("b", 7)], 0))

    def test_failed_event_is_told_to_all(self) -> None:
        waiting = [self.waiters.wait() for _ in range(2)]
        self.waiters.fail(ValueError("no"))
        for each in waiting:
            self.failureResultOf(each, ValueError)
        one = self.waiters.wait()
        self.waiters.fire(Failure(KeyError("no")))
        self.failureResultOf(one, KeyError)

    def test_cancelled_waiter_leaves_the_others_waiting(self) -> None:
        one, other = self.waiters.wait(), self.waiters.wait()
        one.cancel()
        self.failureResultOf(one, CancelledError)
        self.assertEqual((self.left, len(self.waiters)), (1, 1))
        self.waiters.fire(1)
        self.assertEqual(self.successResultOf(other), 1)
        other.cancel()
        self.assertEqual(self.left, 1)

    def test_waiter_cancelled_by_one_told_before_it_is_skipped(self) -> None:
        for end in (lambda: self.waiters.fire(1), lambda: self.waiters.fail(ValueError("no"))):
            one, other = self.waiters.wait(), self.waiters.wait()
            one.addBoth(lambda _, other=other: other.cancel())
            end()
            self.failureResultOf(other, CancelledError)
        self.assertEqual(self.left, 0)

    def test_waiter_that_waits_again_waits_for_the_next_event(self) -> None:
        again = self.waiters.wait().addCallback(lambda _: self.waiters.wait())
        self.waiters.fire(1)
        self.assertNoResult(again)
        self.waiters.fire(2)
        self.assertEqual(self.successResultOf(again), 2)

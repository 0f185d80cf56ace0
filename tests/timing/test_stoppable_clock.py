"""
A clock that can be stopped.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.timing.steadyclock import SteadyClock, time_left
from routing_crust.timing.stoppable_clock import MIN_SWEEP_CALLS, StoppableClock


class StoppableClockTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.below = Clock()
        self.clock = StoppableClock(self.below)
        self.called: list[str] = []

    def test_calls_come_in_time_with_their_arguments(self) -> None:
        self.clock.callLater(2.0, self.called.append, "late")
        self.clock.callLater(1.0, self.called.append, "soon")
        self.below.advance(1.5)
        self.assertEqual(self.called, ["soon"])
        self.assertEqual(self.clock.seconds(), 1.5)
        self.below.advance(1.0)
        self.assertEqual(self.called, ["soon", "late"])

    def test_a_stop_cancels_what_is_pending(self) -> None:
        call = self.clock.callLater(1.0, self.called.append, "never")
        self.clock.stop()
        self.clock.stop()
        self.assertFalse(call.active())
        self.assertEqual(self.below.getDelayedCalls(), [])

    def test_a_call_asked_for_after_the_stop_is_cancelled_already(self) -> None:
        self.clock.stop()
        call = self.clock.callLater(1.0, self.called.append, "never")
        self.assertFalse(call.active())
        self.assertEqual(self.below.getDelayedCalls(), [])

    def test_calls_of_others_on_the_clock_below_stay(self) -> None:
        self.below.callLater(1.0, self.called.append, "theirs")
        self.clock.stop()
        self.below.advance(1.0)
        self.assertEqual(self.called, ["theirs"])

    def test_calls_that_are_over_are_forgotten(self) -> None:
        for _ in range(10 * MIN_SWEEP_CALLS):
            self.clock.callLater(0.5, self.called.append, "x")
            self.below.advance(1.0)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertLess(len(self.clock._calls), MIN_SWEEP_CALLS)

    def test_time_left_is_right_after_the_host_has_set_its_clock_back(self) -> None:
        clock = StoppableClock(SteadyClock(self.below))
        call = clock.callLater(10.0, self.called.append, "x")
        self.below.rightNow -= 3600.0
        clock.seconds()
        self.assertAlmostEqual(time_left(call, clock), 10.0)

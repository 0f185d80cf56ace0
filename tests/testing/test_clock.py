"""Simulated time."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.error import AlreadyCalled, AlreadyCancelled
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from routing_crust.testing.clock import MIN_SWEEP_ENTRIES, SimulatedCall, SimulatedClock


class ClockTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = SimulatedClock(100.0)
        self.made: list[object] = []

    def test_clocks_provide_reactor_time(self) -> None:
        verifyObject(IReactorTime, self.clock)
        verifyObject(IReactorTime, self.clock.host_clock())
        verifyObject(IDelayedCall, self.clock.callLater(1, int))

    def test_calls_run_in_the_order_of_their_times(self) -> None:
        """Calls are made when they are due; those of one moment in the order in which they were asked for."""
        for delay, what in ((2, "c"), (1, "a"), (2, "d"), (1, "b"), (0, "now")):
            self.clock.callLater(delay, self.made.append, what)
        self.clock.advance(1)
        self.assertEqual((self.made, self.clock.seconds()), (["now", "a", "b"], 101.0))
        self.clock.advance(1)
        self.assertEqual(self.made, ["now", "a", "b", "c", "d"])

    def test_time_within_a_call_is_when_it_was_due(self) -> None:
        """It is the time at which the call is due, and what it asks for may still be made."""
        self.clock.callLater(
            1, lambda: self.clock.callLater(1, lambda: self.made.append(self.clock.seconds()))
        )
        self.clock.advance(5)
        self.assertEqual(self.made, [102.0])

    def test_call_gets_its_arguments(self) -> None:
        self.clock.callLater(0, lambda *args, **kw: self.made.append((args, kw)), 1, 2, three=3)
        self.assertTrue(self.clock.step())
        self.assertEqual(self.made, [((1, 2), {"three": 3})])
        self.assertFalse(self.clock.step())

    def test_cancelled_call_does_not_run(self) -> None:
        call = self.clock.callLater(1, self.made.append, 1)
        self.assertTrue(call.active())
        call.cancel()
        self.assertFalse(call.active())
        for change in (call.cancel, lambda: call.reset(1), lambda: call.delay(1)):
            self.assertRaises(AlreadyCancelled, change)
        self.clock.advance(2)
        self.assertEqual((self.made, self.clock.getDelayedCalls()), ([], []))

    def test_call_that_ran_is_no_longer_active(self) -> None:
        call = self.clock.callLater(1, int)
        self.clock.advance(1)
        self.assertFalse(call.active())
        self.assertRaises(AlreadyCalled, call.cancel)
        self.assertRaises(AlreadyCalled, call.reset, 1)

    def test_call_can_be_moved_either_way(self) -> None:
        """A call may be moved either way."""
        one, other = (
            self.clock.callLater(1, self.made.append, 1),
            self.clock.callLater(9, self.made.append, 2),
        )
        one.delay(10)
        self.assertEqual(one.getTime(), 111.0)
        other.reset(2)
        self.clock.advance(3)
        self.assertEqual(self.made, [2])
        one.delay(-100)
        self.clock.advance(0)
        self.assertEqual(self.made, [2, 1])

    def test_negative_delay_is_refused(self) -> None:
        self.assertRaises(ValueError, self.clock.callLater, -1, int)

    def test_cancelled_calls_do_not_pile_up(self) -> None:
        """A timer that is set again and again costs no memory."""
        self.clock.callLater(1000, int)
        for _ in range(10 * MIN_SWEEP_ENTRIES):
            self.clock.callLater(1000, int).cancel()
        self.assertLess(len(self.clock.heap), 3 * MIN_SWEEP_ENTRIES)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.assertEqual(self.clock.next_time(), 1100.0)

    @settings(deadline=None, max_examples=200)
    @given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9), st.integers(0, 9)), max_size=60))
    def test_clock_runs_calls_as_twisteds_clock_does(self, steps: list[tuple[int, int, int]]) -> None:
        """The same calls at the same times as C{task.Clock}, whatever is asked of both."""
        ours, theirs = SimulatedClock(), Clock()
        seen: tuple[list[tuple[float, int]], list[tuple[float, int]]] = ([], [])
        pending: tuple[list[IDelayedCall], list[IDelayedCall]] = ([], [])
        for number, (what, which, amount) in enumerate(steps):
            for clock, log, calls in zip((ours, theirs), seen, pending, strict=True):
                active = [each for each in calls if each.active()]
                chosen = active[which % len(active)] if active else None
                if what == 0 or chosen is None:
                    add = lambda clock=clock, log=log, number=number: log.append((clock.seconds(), number))  # noqa: E731
                    calls.append(clock.callLater(amount, add))
                elif what == 1:
                    chosen.cancel()
                elif what == 2:
                    chosen.reset(amount)
                elif what == 3:
                    chosen.delay(amount)
                else:
                    for seconds in (
                        0,
                        *[1] * amount,
                    ):  # for theirs goes to the end at once, and then makes the calls
                        clock.advance(seconds)
        # of one moment, a call that was moved is made last here, and in its old place there
        self.assertEqual(sorted(seen[0]), sorted(seen[1]))
        self.assertEqual(
            sorted(each.getTime() for each in ours.getDelayedCalls()),
            sorted(each.getTime() for each in theirs.getDelayedCalls()),
        )


class HostClockTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = SimulatedClock(100.0)
        self.host = self.clock.host_clock(50.0)
        self.made: list[tuple[str, float]] = []

    def later(self, delay: float, what: str) -> SimulatedCall:
        return self.host.callLater(delay, lambda: self.made.append((what, self.clock.now)))

    def test_host_clock_shows_its_own_time(self) -> None:
        """It shows its own time; what is asked of it is its own, and no other's."""
        call = self.later(1, "a")
        self.assertEqual((self.host.seconds(), call.getTime()), (150.0, 151.0))
        self.assertEqual((self.host.getDelayedCalls(), self.clock.getDelayedCalls()), ([call], []))
        self.clock.advance(1)
        self.assertEqual(self.made, [("a", 101.0)])

    def test_call_says_when_it_is_made_and_what_it_calls(self) -> None:
        call = self.clock.callLater(1.5, self.later, 1, "a")
        self.assertRegex(repr(call), r"^<SimulatedCall at 101\.500: <bound method .*later.*>$")
        call.cancel()
        self.assertEqual(repr(call), "<SimulatedCall cancelled>")

    def test_clock_set_forward_runs_overdue_calls_at_once(self) -> None:
        """What is overdue is called at once, in order; the rest so much earlier."""
        for delay in (3, 1, 2, 3700):
            self.later(delay, str(delay))
        self.host.jump(3600)
        self.clock.advance(0)
        self.assertEqual([what for what, _ in self.made], ["1", "2", "3"])
        self.clock.advance(100)
        self.assertEqual(self.made[-1], ("3700", 200.0))

    def test_clock_set_back_delays_pending_calls(self) -> None:
        """What was pending waits so much longer; what is asked for from then on does not."""
        self.later(1, "old")
        self.host.jump(-3600)
        self.later(1, "new")
        self.clock.advance(3600)
        self.assertEqual(self.made, [("new", 101.0)])
        self.clock.advance(1)
        self.assertEqual(self.made[-1], ("old", 3701.0))
        self.assertEqual(self.host.seconds(), self.clock.now + 50 - 3600)

    def test_sleeping_host_runs_overdue_calls_on_waking(self) -> None:
        """A host that sleeps does nothing, and everything that is overdue when it wakes."""
        for delay in (2, 1, 30):
            self.later(delay, str(delay))
        self.host.sleep(20)
        self.clock.advance(19)
        self.assertEqual(self.made, [])
        self.clock.advance(30)
        self.assertEqual(self.made, [("1", 120.0), ("2", 120.0), ("30", 130.0)])

    def test_process_that_has_died_runs_no_call(self) -> None:
        """Nor one that is asked for afterwards, as by an application that lives on."""
        self.later(1, "a")
        died, self.host = self.host, self.host.next_process()
        self.assertEqual(died.getDelayedCalls(), [])
        call = died.callLater(1, self.made.append, ("b", 0.0))
        died.callLater(1, self.made.append, ("c", 0.0)).cancel()
        self.later(2, "d")
        call.reset(0)
        self.clock.advance(9)
        self.assertEqual(self.made, [("d", self.clock.now - 7)])

    def test_next_process_has_the_time_of_the_host(self) -> None:
        self.host.jump(7)
        self.assertEqual(self.host.next_process().seconds(), self.clock.now + 57)

"""A clock that goes back, and those who wait by it."""

from __future__ import annotations

import gc
from unittest.mock import patch
from weakref import ref

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import base
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from routing_crust.testing.clock import SimulatedClock
from routing_crust.timing.steadyclock import MIN_STEP_SECONDS, MIN_SWEEP_CALLS, SteadyClock, steady, time_left

HOUR = 3600.0


class SteadyClockTests(SynchronousTestCase):
    """On a simulated host, whose clock goes back as that of a real reactor does."""

    def setUp(self) -> None:
        self.simulation = SimulatedClock(1000.0)
        self.host = self.simulation.host_clock()
        self.clock = SteadyClock(self.host)
        self.calls: list[tuple[object, float]] = []

    def note(self, what: object) -> None:
        """Called by a timer."""
        self.calls.append((what, self.simulation.now - 1000.0))

    def test_clock_provides_the_interface_of_a_reactor_clock(self) -> None:
        self.assertTrue(verifyObject(IReactorTime, self.clock))

    def test_undisturbed_clock_does_what_the_reactor_does(self) -> None:
        self.clock.callLater(2, self.note, what="b")
        self.clock.callLater(1, self.note, "a")
        self.assertEqual(self.clock.seconds(), 1000.0)
        self.simulation.advance(3)
        self.assertEqual(self.calls, [("a", 1.0), ("b", 2.0)])
        self.assertEqual(self.clock.seconds(), 1003.0)

    def test_reactor_alone_is_an_hour_late_after_a_step_back(self) -> None:
        """What it is for: the reactor alone is an hour late."""
        self.host.callLater(1, self.note, "late")
        self.host.jump(-HOUR)
        self.simulation.advance(2)
        self.assertEqual(self.calls, [])
        self.simulation.advance(HOUR)
        self.assertEqual(self.calls, [("late", HOUR + 1)])

    def test_step_back_is_noticed_by_a_look_at_the_clock(self) -> None:
        """A look at the clock is enough, and its own time goes on."""
        self.clock.callLater(10, self.note, "a")
        self.simulation.advance(1)
        self.clock.seconds()
        self.host.jump(-HOUR)
        self.assertEqual(self.clock.seconds(), 1001.0)
        self.assertEqual(self.clock.behind, HOUR)
        self.simulation.advance(9)
        self.assertEqual(self.calls, [("a", 10.0)])
        self.assertEqual(self.clock.seconds(), 1010.0)

    def test_new_call_notices_a_step_back_and_is_not_brought_forward(self) -> None:
        """To ask for another call is a look, too; the new call is not brought forward."""
        self.clock.callLater(10, self.note, "a")
        self.host.jump(-HOUR)
        self.clock.callLater(20, self.note, "b")
        self.simulation.advance(30)
        self.assertEqual(self.calls, [("a", 10.0), ("b", 20.0)])

    def test_calls_are_late_by_as_long_as_nobody_looked_at_the_clock(self) -> None:
        """Calls are late by as long as nobody has looked, since how long that was cannot be known."""
        self.clock.callLater(10, self.note, "a")
        self.host.jump(-HOUR)
        self.simulation.advance(30)
        self.assertEqual(self.calls, [])
        self.clock.seconds()
        self.simulation.advance(10)
        self.assertEqual(self.calls, [("a", 40.0)])

    def test_steps_back_add_up(self) -> None:
        """Steps add up; what was slept through or set forward is not a step back."""
        self.clock.callLater(100, self.note, "a")
        for _ in range(3):
            self.host.jump(-HOUR)
            self.clock.seconds()
        self.assertEqual(self.clock.behind, 3 * HOUR)
        self.host.sleep(20)
        self.simulation.advance(99)
        self.assertEqual(self.calls, [])
        self.simulation.advance(1)
        self.assertEqual(self.calls, [("a", 100.0)])

    def test_step_forward_only_makes_timers_fire_early(self) -> None:
        """Timers fire early, all of them, and nothing else happens."""
        self.clock.callLater(10, self.note, "a")
        self.clock.callLater(5, self.note, "b")
        self.host.jump(HOUR)
        self.assertEqual(self.clock.seconds(), 1000.0 + HOUR)
        self.simulation.advance(0)
        self.assertEqual(self.calls, [("b", 0.0), ("a", 0.0)])
        self.assertEqual(self.clock.behind, 0.0)

    def test_slewed_clock_does_not_count_as_set(self) -> None:
        for _ in range(5):
            self.host.jump(-MIN_STEP_SECONDS / 2)
            self.clock.seconds()
        self.assertEqual(self.clock.behind, 0.0)

    def test_step_moves_only_the_calls_of_its_own_clock(self) -> None:
        """Somebody else's calls on the same reactor are left alone, and another clock moves its own once."""
        other = SteadyClock(self.host)
        self.host.callLater(10, self.note, "else")
        self.clock.callLater(10, self.note, "ours")
        other.callLater(10, self.note, "other")
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.host.jump(-HOUR)
        self.clock.seconds()
        other.seconds()
        self.simulation.advance(10)
        self.assertEqual([what for what, _ in self.calls], ["ours", "other"])

    def test_finished_and_cancelled_calls_are_forgotten(self) -> None:
        """Neither calls that were made nor those that were cancelled are remembered, or kept alive."""
        kept = self.clock.callLater(1e6, self.note, "kept")
        for _ in range(20 * MIN_SWEEP_CALLS):
            self.clock.callLater(1, self.note, "made")
            self.clock.callLater(1, self.note, "cancelled").cancel()
            self.simulation.advance(2)
        self.assertLessEqual(len(self.clock._calls), MIN_SWEEP_CALLS + 1)
        self.assertEqual(self.clock.getDelayedCalls(), [kept])
        weak = ref(self.clock.callLater(1, self.note, "made"))
        self.simulation.advance(2)
        gc.collect()
        self.assertIsNone(weak())

    def test_time_left_is_right_before_and_after_a_step(self) -> None:
        """How long it is to a call, before and after a step, whether noticed or not."""
        call = self.clock.callLater(10, self.note, "a")
        self.assertEqual(time_left(call, self.clock), 10.0)
        self.host.jump(-HOUR)
        self.assertEqual(time_left(call, self.clock), 10.0)
        self.simulation.advance(4)
        self.assertEqual(time_left(call, self.clock), 6.0)
        plain = Clock()
        self.assertEqual(time_left(plain.callLater(3, int), plain), 3)

    def test_clock_is_never_wrapped_twice(self) -> None:
        """A clock wrapped twice would move every call twice."""
        self.assertIs(steady(self.clock), self.clock)
        self.assertIsInstance(steady(self.host), SteadyClock)

    def test_other_attributes_are_those_of_the_reactor(self) -> None:
        self.assertEqual(self.clock.offset, 0.0)
        with self.assertRaises(AttributeError):
            self.clock.listenTCP  # noqa: B018

    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["call", "jump", "advance", "look", "cancel"]),
                st.floats(0, 1e5, allow_nan=False, allow_infinity=False),
            ),
            max_size=30,
        )
    )
    def test_no_call_is_late_if_every_step_back_is_looked_at(self, steps: list[tuple[str, float]]) -> None:
        """Whatever happens, if every step back is looked at, no call is late and the time never goes back."""
        simulation = SimulatedClock(1e6)
        host = simulation.host_clock()
        clock = SteadyClock(host)
        due: dict[int, float] = {}
        pending = []
        last = clock.seconds()

        def called(number: int) -> None:
            self.assertLessEqual(simulation.now, due.pop(number) + 1e-3)

        for number, (what, amount) in enumerate(steps):
            if what == "call":
                due[number] = simulation.now + amount
                pending.append((number, clock.callLater(amount, called, number)))
            elif what == "jump":
                host.jump(-amount)
                if amount <= MIN_STEP_SECONDS:
                    host.jump(amount)
            elif what == "advance":
                simulation.advance(amount)
            elif what == "cancel" and pending:
                cancelled, call = pending.pop()
                if call.active():
                    call.cancel()
                    del due[cancelled]
            now = clock.seconds()
            self.assertGreaterEqual(now, last - 1e-3)
            last = now
        simulation.advance(2e5)
        self.assertEqual(due, {})


class RealReactorTests(SynchronousTestCase):
    """The calls of Twisted's own reactors."""

    def test_calls_of_a_real_reactor_are_moved(self) -> None:
        """Brought forward by a step, in whatever order, they are in time."""

        class Reactor(base.ReactorBase):
            def installWaker(self) -> None:
                """There is nobody to wake."""

        now = [50000.0]
        with patch.object(base.ReactorBase, "seconds", lambda self: now[0]):
            reactor = Reactor()
            clock = SteadyClock(reactor)
            made: list[int] = []
            for delay in (30, 10, 20):
                clock.callLater(delay, made.append, delay)
            reactor.runUntilCurrent()
            clock.callLater(5, made.append, 5)
            now[0] -= HOUR
            clock.callLater(15, made.append, 15)
            for seconds in (4, 7, 5, 5, 10):
                now[0] += seconds
                reactor.runUntilCurrent()
        self.assertEqual(made, [5, 10, 15, 20, 30])

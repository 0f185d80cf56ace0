"""Each expected connection ends, once, even where its delayed call is lost."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import expiringdict
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import Settings
from routing_crust.crust.interfaces import ILink
from routing_crust.errors import (
    ExpectedConnectionExpired,
    LimitReached,
)
from routing_crust.routing.connecting.expected import (
    ExpectedConnection,
    ExpectedConnections,
)

from .expected_values import LINK, PUBLIC, connection, name_of, nonce_of, request, response


class ForgetfulClock(Clock):
    """
    Loses delayed calls: those made while C{forgetful} is true look pending, but never happen.

    @ivar lost: the calls that were lost.
    """

    def __init__(self) -> None:
        super().__init__()
        self.forgetful = False
        self.lost: list[Callable[[], object]] = []

    def callLater(self, delay: float, call: Callable[..., object], *args: Any, **keys: Any) -> IDelayedCall:
        timer: Any = super().callLater(delay, call, *args, **keys)
        if self.forgetful:
            self.calls.remove(timer)
            timer.canceller = lambda _: None
            self.lost.append(partial(call, *args, **keys))
        return cast(IDelayedCall, timer)


class LostTimerTests(SynchronousTestCase):
    """The age of the dictionary ends what no delayed call ends; its clock is the fake one here."""

    def setUp(self) -> None:
        self.clock = ForgetfulClock()
        self.patch(expiringdict, "time", SimpleNamespace(time=self.clock.seconds))
        self.expired: list[ExpectedConnection] = []
        self.table = ExpectedConnections(self.clock, Settings(max_expected=2), self.expired.append)
        self.entry = request(1, 1, PUBLIC)
        self.clock.forgetful = True
        arrival = self.table.expect(self.entry)
        self.clock.forgetful = False
        self.results: list[Failure] = []
        arrival.addErrback(self.results.append)

    def assert_ended_once(self) -> None:
        """The lost entry has failed, and the call that was lost changes nothing if it happens after all."""
        self.assertEqual([each.type for each in self.results], [ExpectedConnectionExpired])
        self.assertEqual(self.expired, [self.entry])
        self.assertIsNone(self.table.match(self.entry.peer, self.entry.nonce))
        self.assertNotIn(self.entry.peer, self.table._of_peer)
        (lost,) = self.clock.lost
        lost()
        self.table.stop()
        self.assertEqual((len(self.results), len(self.expired), len(self.table)), (1, 1, 0))
        self.assertEqual((self.table._of_peer, len(self.table._of_others)), ({}, 0))

    def test_place_is_free_again_after_twice_the_time(self) -> None:
        """Until then it is still taken: nothing but the delayed call decides on time."""
        self.clock.advance(179)
        second = self.table.expect(response(2))
        second.addErrback(lambda _: None)
        self.assertIsNotNone(self.table.match(self.entry.peer, self.entry.nonce))
        self.assertEqual(self.results, [])
        self.clock.advance(1)
        third = self.table.expect(request(3))
        self.assertNoResult(third)
        third.addErrback(lambda _: None)
        self.assertEqual(len(self.table), 2)
        self.assert_ended_once()

    def test_link_that_arrives_after_twice_the_time_is_not_expected(self) -> None:
        """The entry ends when it is looked at for a link."""
        self.clock.advance(180)
        self.assertIsNone(self.table.arrived(self.entry.peer, self.entry.nonce, connection(1)))
        self.assertIsNone(self.table.of_connection(connection(1)))
        self.assert_ended_once()

    def test_connection_that_has_arrived_is_forgotten_with_its_expectation(self) -> None:
        """What arrived for the entry goes with it."""
        self.assertIs(self.table.arrived(self.entry.peer, self.entry.nonce, connection(1)), self.entry)
        self.clock.advance(180)
        self.table.expect(request(2)).addErrback(lambda _: None)
        self.assertIsNone(self.table.of_connection(connection(1)))
        self.table.lost(connection(1))
        self.assert_ended_once()

    def test_delayed_call_of_another_entry_ends_it(self) -> None:
        """So it ends even if no new expectation is made."""
        self.clock.advance(100)
        other = self.table.expect(request(2))
        self.clock.advance(90)
        self.failureResultOf(other, ExpectedConnectionExpired)
        self.expired.remove(request(2))
        self.assert_ended_once()

    def test_expectation_may_be_fulfilled_before_twice_its_time(self) -> None:
        """A link that both ends agree on in time ends it as ever."""
        self.clock.advance(170)
        self.assertIs(self.table.fulfil(self.entry.peer, self.entry.nonce, LINK), self.entry)
        self.clock.advance(20)
        self.table.expect(request(2)).addErrback(lambda _: None)
        self.assertEqual((self.results, self.expired), ([], []))
        self.table.stop()


KEYS = st.tuples(st.integers(0, 3), st.integers(0, 2))


STEPS = st.one_of(
    st.tuples(st.sampled_from(["expect", "expect, timer lost"]), KEYS, st.booleans()),
    st.tuples(st.sampled_from(["fulfil", "cancel", "arrived", "lost"]), KEYS, st.just(False)),
    st.tuples(st.just("advance"), st.tuples(st.integers(0, 60), st.just(0)), st.just(False)),
    st.tuples(st.just("wall clock"), st.tuples(st.integers(0, 400), st.just(0)), st.just(False)),
)


class Waiter:
    """
    One who waits for an expectation.

    @ivar results: what the Deferred fired with.
    @ivar timer_lost: whether the delayed call of the expectation was lost.
    """

    def __init__(self, since: float, arrival: Deferred[ILink], timer_lost: bool) -> None:
        self.since = since
        self.timer_lost = timer_lost
        self.results: list[object] = []
        arrival.addBoth(self.results.append)


class Holders:
    """A table with the holders of its Deferreds, and a wall clock that may be wrong."""

    def __init__(self) -> None:
        self.clock = ForgetfulClock()
        self.wall_clock_error = 0.0
        self.expired: list[ExpectedConnection] = []
        limits = Settings(max_expected=6)
        self.table = ExpectedConnections(self.clock, limits, self.expired.append)
        self.waiters: list[Waiter] = []
        self.latest: dict[tuple[int, int], Deferred[ILink]] = {}

    @property
    def waiting(self) -> list[Waiter]:
        return [each for each in self.waiters if not each.results]

    def expect(self, key: tuple[int, int], public: bool, timer_lost: bool) -> None:
        self.clock.forgetful = timer_lost
        try:
            arrival = self.table.expect(request(*key, *([PUBLIC] if public else [])))
        except LimitReached:
            return
        finally:
            self.clock.forgetful = False
        self.waiters.append(Waiter(self.clock.seconds(), arrival, timer_lost))
        self.latest[key] = arrival

    def step(self, what: str, key: tuple[int, int], public: bool) -> None:
        peer, nonce = name_of(key[0]), nonce_of(key[1])
        if what == "advance":
            self.clock.advance(key[0])
        elif what == "wall clock":
            self.wall_clock_error = key[0] - 200.0
        elif what.startswith("expect"):
            self.expect(key, public, what != "expect")
        elif what == "fulfil":
            self.table.fulfil(peer, nonce, LINK)
        elif what == "arrived":
            self.table.arrived(peer, nonce, connection(1 + key[0] * 10 + key[1]))
        elif what == "lost":
            self.table.lost(connection(1 + key[0] * 10 + key[1]))
        elif key in self.latest:
            self.latest[key].cancel()


class ExactlyOnceTests(SynchronousTestCase):
    @settings(max_examples=300, deadline=None)
    @given(st.lists(STEPS, max_size=60), st.booleans())
    def test_every_deferred_fires_once_in_any_order_of_events(
        self, steps: list[tuple[str, tuple[int, int], bool]], stop: bool
    ) -> None:
        """
        Each Deferred fires once, within its time if its delayed call was not lost, else within twice that
        time and what a wall clock that jumps adds to it. Nothing is left behind.
        """
        holders = Holders()
        clock, table = holders.clock, holders.table
        wall = SimpleNamespace(time=lambda: clock.seconds() + holders.wall_clock_error)
        self.patch(expiringdict, "time", wall)
        for step in steps:
            holders.step(*step)
            waiting = holders.waiting
            in_time = [each for each in waiting if not each.timer_lost]
            self.assertEqual(len(table), len(waiting))
            self.assertEqual(len(clock.getDelayedCalls()), len(in_time))
            self.assertTrue(all(clock.seconds() < each.since + 90 for each in in_time))
        if stop:
            table.stop()
        else:
            holders.wall_clock_error = 0.0
            clock.advance(90)
            self.assertTrue(all(each.timer_lost for each in holders.waiting))
            # an age begins again at most once, when the wall clock has jumped
            clock.advance(400)
            self.assertIsNone(table.arrived(name_of(9), nonce_of(9), connection(99)))
        self.assertEqual(len(table), 0)
        self.assertEqual(clock.getDelayedCalls(), [])
        self.assertEqual((table._of_peer, table._of_connection, len(table._of_others)), ({}, {}, 0))
        ends: list[object] = []
        for waiter in holders.waiters:
            (result,) = waiter.results
            ends.append(result.type if isinstance(result, Failure) else result)
        self.assertEqual(ends.count(ExpectedConnectionExpired), len(holders.expired))

"""Races between the endpoints of one peer, on a fake clock and without a network."""

from __future__ import annotations

from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.crust.dial.race import DialFailed, Race
from routing_crust.crust.interfaces import ILink
from routing_crust.endpoints import Endpoint
from routing_crust.errors import ConnectFailed, LimitReached

A, B, C = (Endpoint("192.0.2.1", port) for port in (1, 2, 3))
LINK = cast(ILink, object())
STAGGER = 0.25


class RaceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.dials: dict[Endpoint, Deferred[ILink]] = {}
        self.cancelled: list[Endpoint] = []
        self.refusals: dict[Endpoint, Exception] = {}

    def dial(self, endpoint: Endpoint) -> Deferred[ILink]:
        if endpoint in self.refusals:
            raise self.refusals[endpoint]
        self.dials[endpoint] = Deferred(lambda _: self.cancelled.append(endpoint))
        return self.dials[endpoint]

    def race(self, *endpoints: Endpoint, dial: Any = None) -> Race:
        race = Race(self.clock, STAGGER, dial or self.dial)
        race.add(endpoints)
        race.start()
        return race

    def test_dials_start_one_after_the_other_while_nobody_answers(self) -> None:
        race = self.race(A, B, C)
        self.assertEqual(list(self.dials), [A])
        self.clock.advance(STAGGER - 0.01)
        self.assertEqual(list(self.dials), [A])
        self.clock.advance(0.01)
        self.assertEqual(list(self.dials), [A, B])
        self.clock.advance(STAGGER)
        self.assertEqual(list(self.dials), [A, B, C])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertNoResult(race.link)
        self.dials[A].callback(LINK)
        self.successResultOf(race.link)

    def test_failed_dial_starts_the_next_at_once(self) -> None:
        """After a failure the next is dialled at once, and the stagger starts again."""
        race = self.race(A, B, C)
        self.clock.advance(0.1)
        self.dials[A].errback(DialFailed("connection refused"))
        self.assertEqual(list(self.dials), [A, B])
        self.clock.advance(0.2)
        self.assertEqual(list(self.dials), [A, B])
        self.clock.advance(0.05)
        self.assertEqual(list(self.dials), [A, B, C])
        self.dials[C].callback(LINK)
        self.successResultOf(race.link)

    def test_first_link_wins_and_other_dials_are_cancelled(self) -> None:
        """The first link is the result; other dials are cancelled, and no more are begun."""
        race = self.race(A, B, C)
        self.clock.advance(STAGGER)
        self.dials[B].callback(LINK)
        self.assertIs(self.successResultOf(race.link), LINK)
        self.assertEqual(self.cancelled, [A])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(list(self.dials), [A, B])

    def test_error_tells_what_happened_at_each_endpoint_in_order(self) -> None:
        """The error tells what happened at each endpoint, in the order of the dials."""
        race = self.race(A, B)
        self.clock.advance(STAGGER)
        self.dials[B].errback(DialFailed("no answer within 10 s"))
        self.assertNoResult(race.link)
        self.dials[A].errback(DialFailed("connection refused"))
        error = cast(ConnectFailed, self.failureResultOf(race.link, ConnectFailed).value)
        self.assertEqual(error.attempts, ((str(A), "connection refused"), (str(B), "no answer within 10 s")))

    def test_dials_that_fail_at_once_end_the_race(self) -> None:
        """A dial may fire before the call that starts it returns."""
        race = self.race(A, B, C, dial=lambda _: fail(DialFailed("no")))
        error = cast(ConnectFailed, self.failureResultOf(race.link, ConnectFailed).value)
        self.assertEqual(len(error.attempts), 3)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_race_without_endpoints_fails(self) -> None:
        error = self.failureResultOf(self.race().link, ConnectFailed).value
        self.assertIn("there was no endpoint to dial", str(error))

    def test_error_is_the_first_limit_if_limits_prevented_every_dial(self) -> None:
        """If limits kept everything from being dialled, the error is the first limit."""
        self.refusals = {A: LimitReached("a", "max_dials", 1), B: LimitReached("b", "stranger_dials", 2)}
        error = cast(LimitReached, self.failureResultOf(self.race(A, B).link, LimitReached).value)
        self.assertEqual(error.setting, "max_dials")

    def test_error_lists_every_endpoint_if_not_only_limits_prevented_dials(self) -> None:
        self.refusals = {A: LimitReached("a", "max_dials", 1), B: DialFailed("left alone")}
        error = cast(ConnectFailed, self.failureResultOf(self.race(A, B).link, ConnectFailed).value)
        self.assertIn("max_dials", error.attempts[0][1])
        self.assertEqual(error.attempts[1][1], "left alone")

    def test_endpoint_that_is_not_dialled_takes_no_time(self) -> None:
        """The next one is dialled in its place."""
        self.refusals = {A: LimitReached("a", "max_dials", 1), B: DialFailed("left alone")}
        race = self.race(A, B, C)
        self.assertEqual(list(self.dials), [C])
        self.dials[C].callback(LINK)
        self.successResultOf(race.link)

    def test_cancelling_the_race_cancels_every_dial(self) -> None:
        race = self.race(A, B, C)
        self.clock.advance(STAGGER)
        race.link.cancel()
        self.failureResultOf(race.link, CancelledError)
        self.assertEqual(self.cancelled, [A, B])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_added_endpoints_are_dialled_in_turn_and_known_ones_once(self) -> None:
        """Endpoints that are added are dialled in their turn; known ones are not dialled again."""
        race = self.race(A)
        self.clock.advance(10)
        race.add([A, B])
        self.assertEqual(list(self.dials), [A])
        self.clock.advance(STAGGER)
        self.assertEqual(list(self.dials), [A, B])
        self.dials[A].errback(DialFailed("no"))
        self.dials[B].errback(DialFailed("no"))
        self.assertEqual(
            len(cast(ConnectFailed, self.failureResultOf(race.link, ConnectFailed).value).attempts), 2
        )

    @given(st.lists(st.tuples(st.sampled_from(["refuse", "limit", "fail", "late", "win"]), st.floats(0, 2))))
    def test_race_fires_once_and_leaves_no_call_or_dial(self, script: list[tuple[str, float]]) -> None:
        """Whatever the dials do, the race is over once, and leaves no delayed call and no dial."""
        clock = Clock()
        results: list[object] = []
        running: dict[int, Deferred[ILink]] = {}

        def dial(endpoint: Endpoint) -> Deferred[ILink]:
            what, when = script[endpoint.port]
            if what == "refuse":
                raise DialFailed("no")
            if what == "limit":
                raise LimitReached("no", "max_dials", 1)
            if what == "fail":
                return fail(DialFailed("no"))
            dial: Deferred[ILink] = Deferred(lambda _: running.pop(endpoint.port))
            running[endpoint.port] = dial

            def over() -> None:
                if running.pop(endpoint.port, None) is not None:
                    dial.callback(LINK) if what == "win" else dial.errback(DialFailed("late"))

            clock.callLater(when, over)
            return dial

        race = Race(clock, STAGGER, dial)
        race.link.addBoth(results.append)
        race.add(Endpoint("192.0.2.1", port) for port in range(len(script)))
        race.start()
        clock.pump([0.05] * (60 + 6 * len(script)))
        self.assertEqual(len(results), 1)
        self.assertEqual((running, clock.getDelayedCalls()), ({}, []))
        self.assertEqual(results[0] is LINK, any(what == "win" for what, _ in script))

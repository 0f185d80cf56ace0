"""Punching on a fake clock: what is dialled when, what is tried again, and how it ends."""

from __future__ import annotations

import errno
from collections.abc import Callable
from random import Random
from typing import cast

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet import error
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.crust.dial.race import DialFailed
from routing_crust.crust.interfaces import ILink
from routing_crust.crust.punch.punch import (
    FIRST_WAIT_SECONDS,
    MAX_TRIES,
    MAX_WAIT_SECONDS,
    OWNED,
    OWNED_WAIT_SECONDS,
    QUICK_TRIES,
    QUICK_WAIT_SECONDS,
    HolePunch,
    wait_before,
)
from routing_crust.endpoints import Endpoint
from routing_crust.errors import CloseReason, ConnectFailed, LimitReached, LinkClosed

A, B, C = (Endpoint("8.8.8.8", port) for port in (5001, 5002, 5003))
TIMEOUT = 6.0
REFUSED = error.ConnectionRefusedError(errno.ECONNREFUSED, "refused")
OWNED_ERROR = error.ConnectError(errno.EADDRNOTAVAIL, "cannot assign")
LINK = cast(ILink, object())


class FakeDials:
    """Writes down what is dialled and what is called off."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.begun: list[tuple[float, Endpoint, bool]] = []
        self.running: list[Endpoint] = []
        self.problems: dict[Endpoint, Exception] = {}

    def begin(self, punch: HolePunch, endpoint: Endpoint, again: bool) -> Callable[[], None]:
        if endpoint in self.problems:
            raise self.problems[endpoint]
        self.begun.append((self.clock.seconds(), endpoint, again))
        self.running.append(endpoint)
        return lambda: self.running.remove(endpoint)

    def times(self, endpoint: Endpoint = A) -> list[float]:
        return [when for when, which, _ in self.begun if which == endpoint]


class PunchTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.dials = FakeDials(self.clock)

    def punch(self, *endpoints: Endpoint, after: float = 0) -> HolePunch:
        punch = HolePunch(self.clock, Random(1), TIMEOUT, self.dials, endpoints)
        punch.start(after)
        return punch

    def fail_dial(self, punch: HolePunch, endpoint: Endpoint, problem: BaseException) -> None:
        self.dials.running.remove(endpoint)
        punch.failed(endpoint, problem)

    def attempts(self, punch: HolePunch) -> list[str]:
        failed = cast(ConnectFailed, self.failureResultOf(punch.link, ConnectFailed).value)
        self.over()
        return [what for _, what in failed.attempts]

    def over(self) -> None:
        """Nothing is left."""
        self.assertEqual((self.dials.running, self.clock.getDelayedCalls()), ([], []))

    def test_every_endpoint_is_dialled_at_the_same_moment(self) -> None:
        punch = self.punch(A, B, C)
        self.assertEqual([each[:2] for each in self.dials.begun], [(0, A), (0, B), (0, C)])
        punch.won(LINK)
        self.assertIs(self.successResultOf(punch.link), LINK)
        self.over()

    def test_dials_begin_after_the_given_wait(self) -> None:
        punch = self.punch(A, after=0.5)
        self.clock.advance(0.4)
        self.assertEqual(self.dials.begun, [])
        self.clock.advance(0.2)
        self.assertEqual(len(self.dials.begun), 1)
        punch.link.cancel()
        self.failureResultOf(punch.link, CancelledError)
        self.over()

    def test_punch_cancelled_before_it_began_dials_nothing(self) -> None:
        punch = self.punch(A, after=0.5)
        punch.link.cancel()
        self.failureResultOf(punch.link, CancelledError)
        self.over()

    def test_unanswered_dial_is_not_repeated(self) -> None:
        """It ends after C{punch_timeout}."""
        punch = self.punch(A)
        self.clock.pump([0.1] * 59)
        self.assertEqual(len(self.dials.begun), 1)
        self.assertNoResult(punch.link)
        self.clock.advance(0.2)
        self.assertEqual(self.attempts(punch), ["no answer within 6 s"])

    def test_refusal_is_answered_with_another_try(self) -> None:
        """A refusal is answered with another try, after at most 40 ms."""
        punch = self.punch(A)
        self.fail_dial(punch, A, REFUSED)
        self.assertEqual(self.dials.running, [])
        self.clock.advance(QUICK_WAIT_SECONDS)
        self.assertEqual(self.dials.running, [A])
        self.assertNoResult(punch.link)
        punch.won(LINK)
        self.successResultOf(punch.link)
        self.over()

    def test_refused_endpoint_gets_twelve_tries(self) -> None:
        punch = self.punch(A)
        for _ in range(MAX_TRIES):
            while not self.dials.running:
                self.clock.advance(0.01)
            self.fail_dial(punch, A, REFUSED)
        self.assertEqual(self.attempts(punch), ["connection refused"])
        self.assertEqual(len(self.dials.begun), MAX_TRIES)

    def test_error_without_a_number_is_tried_again(self) -> None:
        """Twisted loses the number of an ICMP error."""
        punch = self.punch(A)
        self.fail_dial(punch, A, error.ConnectError())
        self.clock.advance(QUICK_WAIT_SECONDS)
        self.assertEqual(self.dials.running, [A])
        self.clock.advance(TIMEOUT)
        self.attempts(punch)

    def test_endpoint_owned_by_the_peers_syn_is_tried_later(self) -> None:
        """No try is counted for it."""
        punch = self.punch(A)
        for _ in range(MAX_TRIES + 5):
            self.fail_dial(punch, A, OWNED_ERROR)
            self.clock.advance(OWNED_WAIT_SECONDS / 2)
            self.assertEqual(self.dials.running, [])
            self.clock.advance(OWNED_WAIT_SECONDS)
        self.assertEqual([again for *_, again in self.dials.begun[:3]], [False, True, True])
        self.clock.advance(TIMEOUT - OWNED_WAIT_SECONDS / 2 - self.clock.seconds())
        self.fail_dial(punch, A, OWNED_ERROR)
        self.clock.advance(OWNED_WAIT_SECONDS)
        self.assertEqual(self.attempts(punch), [OWNED])

    def test_permanent_error_is_not_tried_again(self) -> None:
        for problem, words in (
            (error.ConnectBindError(errno.EADDRINUSE, "in use"), "address already in use"),
            (error.NoRouteError(errno.ENETUNREACH, "unreachable"), "no route to this address"),
            (LinkClosed(CloseReason.SELF), "the link leads to this node itself"),
            (LinkClosed(CloseReason.PROTOCOL_ERROR, "who is this"), "who is this"),
        ):
            punch = self.punch(A)
            self.fail_dial(punch, A, problem)
            self.assertEqual(self.attempts(punch), [words])

    def test_connection_lost_before_the_prefaces_is_tried_again(self) -> None:
        """One lost after them is not."""
        punch = self.punch(A)
        self.fail_dial(punch, A, LinkClosed(CloseReason.CONNECTION_LOST))
        self.clock.advance(QUICK_WAIT_SECONDS)
        self.dials.running.remove(A)
        punch.refused(A, LinkClosed(CloseReason.TLS_REFUSED, "somebody else"))
        self.assertEqual(self.attempts(punch), ["somebody else"])

    def test_limits_alone_fail_with_limit_reached(self) -> None:
        """If limits alone are in the way, that is said; one that comes later is told with the rest."""
        limit = LimitReached("too many", "stranger_dials", 12)
        self.dials.problems = {A: limit, B: limit}
        self.assertIs(self.failureResultOf(self.punch(A, B).link, LimitReached).value, limit)
        del self.dials.problems[A]
        punch = self.punch(A, B)
        self.dials.problems[A] = limit
        self.fail_dial(punch, A, REFUSED)
        self.clock.advance(QUICK_WAIT_SECONDS)
        first, second = self.attempts(punch)
        self.assertEqual(first, f"connection refused; then {limit}")
        self.assertEqual(second, str(limit))

    def test_forbidden_endpoint_is_not_dialled(self) -> None:
        self.dials.problems = {A: DialFailed("not dialled: it is our own address")}
        self.assertEqual(self.attempts(self.punch(A)), ["not dialled: it is our own address"])

    def test_no_endpoints_fail_at_once(self) -> None:
        self.assertEqual(self.attempts(self.punch()), [])

    def test_failures_after_the_end_change_nothing(self) -> None:
        """A dial that was called off still reports its end."""
        punch = self.punch(A, B)
        punch.won(LINK)
        punch.failed(A, error.UserError())
        punch.won(LINK)
        self.assertIs(self.successResultOf(punch.link), LINK)
        self.over()

    @settings(deadline=None)
    @given(st.integers(1, MAX_TRIES), st.floats(0, 10), st.randoms(use_true_random=False))
    def test_waits_grow_up_to_a_bound(self, attempt: int, took: float, random: Random) -> None:
        """The first waits are of the order of what a refusal takes, the later ones grow, up to a bound."""
        wait = wait_before(attempt, took, random)
        self.assertTrue(0 <= wait <= MAX_WAIT_SECONDS)
        if attempt <= QUICK_TRIES:
            self.assertLessEqual(wait, QUICK_WAIT_SECONDS)
        if attempt == 1:
            self.assertLessEqual(wait, max(2 * took, FIRST_WAIT_SECONDS))

    steps = st.lists(
        st.tuples(st.sampled_from(["fail", "own", "final", "refuse", "wait"]), st.integers(0, 2)), max_size=60
    )

    @settings(deadline=None, max_examples=200)
    @given(steps)
    def test_every_order_of_failures_ends_once(self, steps: list[tuple[str, int]]) -> None:
        """The punch ends in time, and leaves no timer and no dial."""
        self.setUp()
        punch = self.punch(A, B, C)
        outcomes: list[object] = []
        punch.link.addBoth(outcomes.append)
        for what, which in steps:
            endpoint = (A, B, C)[which]
            if what == "wait":
                self.clock.advance(0.3)
            elif endpoint in self.dials.running:
                self.dials.running.remove(endpoint)
                if what == "refuse":
                    punch.refused(endpoint, LinkClosed(CloseReason.TLS_REFUSED))
                else:
                    problems = {"fail": REFUSED, "own": OWNED_ERROR, "final": LinkClosed(CloseReason.SELF)}
                    punch.failed(endpoint, problems[what])
        self.clock.pump([0.1] * 62)
        self.assertEqual(len(outcomes), 1)
        self.over()
        for endpoint in (A, B, C):
            counted = [each for each in self.dials.begun if each[1] == endpoint and not each[2]]
            self.assertLessEqual(len(counted), MAX_TRIES)

"""
Punching: the endpoints of one peer, dialled from our listening port while the peer does the same.

If the two SYNs cross, each opens the NAT at its own end for the other's (TCP simultaneous open, RFC 9293,
section 3.5, which NATs have to support by RFC 5382, requirement 2). So all endpoints are dialled at once,
and each dial is one long attempt: a socket that is closed too early leaves the peer's SYN to our listener,
whose answer our own NAT then takes for invalid. Only what fails early is tried again, after a random wait,
so that the two ends do not stay out of step.

What an early failure means: C{ECONNREFUSED}, the peer was not ready or its router rejects, so we try again;
C{EADDRNOTAVAIL}, the peer's SYN owns this pair of endpoints already, so we wait for the accept and try again
later; C{EADDRINUSE}, we cannot dial from our listening port.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from random import Random
from typing import Final, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ...endpoints import Endpoint
from ...errors import CloseReason, ConnectFailed, LimitReached, LinkClosed
from ...timing.timers import cancel
from ..dial.dial import in_words
from ..dial.race import DialFailed
from ..interfaces import ILink

MAX_TRIES: Final = 12
"""Dials of one endpoint in one rendezvous."""
FIRST_WAIT_SECONDS: Final = 0.001
QUICK_WAIT_SECONDS: Final = 0.04
MAX_WAIT_SECONDS: Final = 0.64
"""Upper bounds of the wait before the first try again, of the quick ones, and of any, in seconds."""
QUICK_TRIES: Final = 5
OWNED_WAIT_SECONDS: Final = 0.1
"""Seconds until an endpoint whose connection is owned by the peer's SYN is tried again."""

_FINAL_ERRORS: Final = (errno.EADDRINUSE, errno.EINVAL, errno.EACCES, errno.ENETUNREACH)
_FINAL_REASONS: Final = (CloseReason.SELF, CloseReason.PROTOCOL_ERROR)

OWNED: Final = "the two ports have a connection already: a link, or the peer's SYN, whose connection we await"


def wait_before(attempt: int, took: float, random: Random) -> float:
    """
    How long to wait after a failed dial. Two dials cross if they begin within the time that a refusal takes
    to come back, so the first waits are of that order: else, on a short way, they would hardly ever meet.

    @param attempt: how many dials of this endpoint have failed; at least 1.
    @param took: how long this one took to fail, in seconds.
    @return: seconds: a random part of a bound that doubles with each dial, up to
        L{QUICK_WAIT_SECONDS} for the first few.
    """
    bound = min(max(2 * took, FIRST_WAIT_SECONDS) * 2.0 ** (attempt - 1), QUICK_WAIT_SECONDS)
    return random.uniform(0, min(bound * 2.0 ** max(0, attempt - QUICK_TRIES), MAX_WAIT_SECONDS))


class Dials(Protocol):
    """Begins the dials of a L{HolePunch}."""

    def begin(self, punch: HolePunch, endpoint: Endpoint, again: bool) -> Callable[[], None]:
        """
        Dial from the listening port. L{HolePunch.failed} follows, unless the prefaces are exchanged or the
        dial is called off.

        @param again: whether this repeats a dial that was counted already and for which no packet was sent.
        @return: calls it off.
        @raise DialFailed: it may not be dialled, or we listen nowhere from where it could be.
        @raise LimitReached: a limit forbids it.
        """


class _Target:
    """One endpoint, and how far it has come."""

    __slots__ = ("began", "call_off", "limited", "outcome", "timer", "tries")

    def __init__(self) -> None:
        self.began = 0.0
        self.tries = 0
        self.outcome = "not dialled"
        self.limited = False
        self.timer: IDelayedCall | None = None
        self.call_off: Callable[[], None] | None = None

    @property
    def busy(self) -> bool:
        return self.timer is not None or self.call_off is not None


class HolePunch:
    """
    The dials of one rendezvous. Made by L{Puncher<routing_crust.crust.punch.puncher.Puncher>}, over when
    L{link} has fired.

    @ivar waits: whether it goes on to its timeout with no dial left, since ports are guessed beside it.
    @ivar link: fires with what L{won} is given; fails with L{ConnectFailed} when every endpoint has failed
        for good or C{PUNCH_TIMEOUT_SECONDS} is over, or with L{LimitReached} if limits alone kept every
        endpoint from being dialled. Cancelling it ends all dials.
    """

    def __init__(
        self, clock: IReactorTime, random: Random, timeout: float, dials: Dials, endpoints: Iterable[Endpoint]
    ) -> None:
        """
        @param timeout: C{PUNCH_TIMEOUT_SECONDS}, from the first dial on.
        """
        self._clock = clock
        self._random = random
        self._timeout = timeout
        self._dials = dials
        self._targets = {each: _Target() for each in endpoints}
        self._limit: LimitReached | None = None
        self._timer: IDelayedCall | None = None
        self._over = False
        self.waits = False
        self.link: Deferred[ILink] = Deferred(lambda _: self._end())

    def start(self, after: float) -> None:
        """
        Begin.

        @param after: the wait, in seconds.
        """
        if after > 0:
            self._timer = self._clock.callLater(after, self._begin)
        else:
            self._begin()

    def won(self, link: ILink) -> None:
        """The rendezvous has its link, dialled or accepted."""
        self._end()
        if not self.link.called:
            self.link.callback(link)

    def failed(self, endpoint: Endpoint, problem: BaseException | None) -> None:
        """A dial has failed before the prefaces were exchanged."""
        target = self._targets[endpoint]
        target.call_off = None
        if self._over:
            return
        number = getattr(problem, "osError", None)
        took = max(0.0, self._clock.seconds() - target.began)
        target.outcome = in_words(problem)
        if isinstance(problem, LinkClosed) and problem.reason in _FINAL_REASONS:
            pass  # another dial would end in the same way
        elif number == errno.EADDRNOTAVAIL:
            target.outcome = OWNED
            # no packet was sent, so this counts neither as a try nor against the limit on SYNs
            self._again(endpoint, OWNED_WAIT_SECONDS, counted=False)
        # an ICMP error comes without its number (osError is None), and is tried again like a refusal
        elif target.tries < MAX_TRIES and number not in _FINAL_ERRORS:
            self._again(endpoint, wait_before(target.tries, took, self._random), counted=True)
        self._look()

    def refused(self, endpoint: Endpoint, reason: LinkClosed) -> None:
        """A connection failed after the prefaces, so another would fail in the same way."""
        self._targets[endpoint].call_off = None
        self._targets[endpoint].outcome = in_words(reason)
        self._look()

    def _begin(self) -> None:
        self._timer = self._clock.callLater(self._timeout, self._too_late)
        # a dial may fail, or win, within the call
        for endpoint in list(self._targets):
            if not self._over:
                self._dial(endpoint, True)
        self._look()

    def _dial(self, endpoint: Endpoint, counted: bool) -> None:
        """
        @param counted: whether this is one try more.
        """
        target = self._targets[endpoint]
        target.timer = None
        target.tries += counted
        target.began = self._clock.seconds()
        try:
            target.call_off = self._dials.begin(self, endpoint, again=not counted)
        except LimitReached as limit:
            self._limit = self._limit or limit
            # only a target that was never dialled failed by a limit alone
            target.limited = target.tries == 1
            target.outcome = str(limit) if target.limited else f"{target.outcome}; then {limit}"
        except DialFailed as problem:
            target.outcome = str(problem)

    def _again(self, endpoint: Endpoint, wait: float, counted: bool) -> None:
        def dial() -> None:
            self._dial(endpoint, counted)
            self._look()

        self._targets[endpoint].timer = self._clock.callLater(wait, dial)

    def _look(self) -> None:
        if self._over or self.waits or any(each.busy for each in self._targets.values()):
            return
        only_limits = all(each.limited for each in self._targets.values())
        self._fail(self._limit if only_limits else None)

    def _too_late(self) -> None:
        self._timer = None
        for target in self._targets.values():
            if target.call_off is not None:
                target.outcome = f"no answer within {self._timeout:g} s"
        self._fail(None)

    def _fail(self, limit: LimitReached | None) -> None:
        attempts = tuple((str(endpoint), each.outcome) for endpoint, each in self._targets.items())
        self._end()
        if not self.link.called:
            self.link.errback(limit or ConnectFailed(attempts))

    def _end(self) -> None:
        self._over = True
        for timer in (self._timer, *(each.timer for each in self._targets.values())):
            cancel(timer)
        self._timer = None
        for target in self._targets.values():
            target.timer = None
            call_off, target.call_off = target.call_off, None
            if call_off is not None:
                call_off()

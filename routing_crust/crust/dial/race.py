"""
Dialing: the endpoints of one peer, raced (happy eyeballs, RFC 8305, section 5).

The first endpoint is dialled at once, the next one when C{DIAL_STAGGER_SECONDS} has passed or when a dial has
failed, whichever is sooner. The first link wins, and the other dials are called off.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from ...endpoints import Endpoint
from ...errors import ConnectFailed, LimitReached, RoutingCrustError
from ...timing.timers import cancel
from ..interfaces import ILink
from ..reachability import Presence


class DialFailed(RoutingCrustError):
    """
    One dial of one endpoint came to nothing; the text says why, in plain words.

    @ivar presence: what it says about the peer.
    """

    def __init__(self, problem: str, presence: Presence = Presence.UNKNOWN) -> None:
        super().__init__(problem)
        self.presence = presence


class Race:
    """
    One race. Made by L{Dialler<routing_crust.crust.dial.dialler.Dialler>}, and over when L{link} has fired.

    @ivar link: fires with the winner; fails with L{ConnectFailed}, or with L{LimitReached} if limits alone
        kept every endpoint from being dialled. Cancelling it calls off all dials.
    """

    def __init__(
        self, clock: IReactorTime, stagger: float, dial: Callable[[Endpoint], Deferred[ILink]]
    ) -> None:
        """
        @param stagger: between the starts of two dials, in seconds.
        @param dial: dials one endpoint. Its Deferred fires with the link or fails with L{DialFailed}, and
            can be cancelled. It raises L{DialFailed} or L{LimitReached} if it does not dial at all.
        """
        self._clock = clock
        self._stagger = stagger
        self._dial = dial
        self._waiting: deque[Endpoint] = deque()
        self._running: dict[Endpoint, Deferred[ILink]] = {}
        self._outcomes: dict[Endpoint, str] = {}
        self._limit: LimitReached | None = None
        self._only_limits = True
        self._timer: IDelayedCall | None = None
        self.link: Deferred[ILink] = Deferred(lambda _: self._end())

    def add(self, endpoints: Iterable[Endpoint]) -> None:
        """Have these dialled too, in this order, after those that are waiting. Known ones are left out."""
        for endpoint in endpoints:
            if endpoint not in self._outcomes:
                self._outcomes[endpoint] = "not dialled"
                self._waiting.append(endpoint)
        # no timer runs while none waits: those that come late begin it again
        if self._waiting and self._running and self._timer is None:
            self._timer = self._clock.callLater(self._stagger, self._next)

    def start(self) -> None:
        """Dial the first. With no endpoint at all, or none that may be dialled, L{link} fails at once."""
        self._next()

    def _next(self) -> None:
        self._timer = None
        while self._waiting and not self.link.called:
            endpoint = self._waiting.popleft()
            try:
                dial = self._dial(endpoint)
            except LimitReached as limit:
                self._limit = self._limit or limit
                self._outcomes[endpoint] = str(limit)
            except DialFailed as problem:
                self._only_limits = False
                self._outcomes[endpoint] = str(problem)
            else:
                self._only_limits = False
                self._outcomes[endpoint] = "called off"
                self._running[endpoint] = dial
                dial.addCallbacks(self._won, self._failed, callbackArgs=(endpoint,), errbackArgs=(endpoint,))
                break
        if self.link.called or self._timer is not None:  # by a dial that was over at once
            return
        if self._waiting:
            self._timer = self._clock.callLater(self._stagger, self._next)
        elif not self._running:
            only_limits = self._limit if self._only_limits else None
            self.link.errback(only_limits or ConnectFailed(self._attempts()))

    def _attempts(self) -> tuple[tuple[str, str], ...]:
        return tuple((str(endpoint), outcome) for endpoint, outcome in self._outcomes.items())

    def _won(self, link: ILink, endpoint: Endpoint) -> None:
        del self._running[endpoint]
        # the others are called off before a callback can ask for another race
        self._end()
        if not self.link.called:
            self.link.callback(link)

    def _failed(self, failure: Failure, endpoint: Endpoint) -> None:
        if self._running.pop(endpoint, None) is None:  # called off
            return
        failure.trap(DialFailed)
        self._outcomes[endpoint] = str(failure.value)
        cancel(self._timer)
        self._next()

    def _end(self) -> None:
        cancel(self._timer)
        self._timer = None
        self._waiting.clear()
        running, self._running = self._running, {}
        for dial in running.values():
            dial.cancel()

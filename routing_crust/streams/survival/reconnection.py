"""
A new link to a peer whose streams are suspended: asked for again and again, until there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ...errors import PeerUnreachable, RoutingCrustError
from ...timing.backoff import Backoff
from ...timing.timers import cancel

FIRST_WAIT_SECONDS: Final = 0.5
"""Both ends ask, at different times, as likely as not: the second finds the link of the first."""
LONGEST_WAIT_SECONDS: Final = 2.5
"""Between the failure of one attempt and the next, and between requests while one is under way."""
MANY_PEERS: Final = 32
"""With more peers whose streams wait, all of this takes proportionally longer."""


class Reconnection:
    """Made when the streams of a peer are suspended, discarded after L{stop}."""

    def __init__(
        self,
        clock: IReactorTime,
        random: Random,
        connect: Callable[[], Coroutine[Deferred[Any], Any, object]],
        ask_again: Callable[[], object],
        peers: Callable[[], int],
        unreachable: Callable[[PeerUnreachable], object],
    ) -> None:
        """
        @param connect: gets a link; is cancelled by L{stop}.
        @param ask_again: has the peer asked once more while that is under way.
        @param peers: how many peers there are for which this is done.
        @param unreachable: told each time when the peer has turned out to be gone, or was not reached.
        """
        self._clock = clock
        self._connect = connect
        self._ask_again = ask_again
        self._peers = peers
        self._unreachable = unreachable
        self._random = random
        self._backoff = Backoff(FIRST_WAIT_SECONDS, 2, LONGEST_WAIT_SECONDS, jitter=1, random=random)
        self._timer: IDelayedCall | None = None
        self._attempt: Deferred[object] | None = None
        self._stopped = False
        self._problem = ""
        self._began = 0.0
        self._wait()

    def _wait(self) -> None:
        self._timer = self._clock.callLater(self._backoff.next_wait() * self._load, self._try)

    @property
    def _load(self) -> float:
        return max(1.0, self._peers() / MANY_PEERS)

    @property
    def state(self) -> str:
        """What is being done, in words."""
        now = self._clock.seconds()
        failed = f"; the last attempt failed: {self._problem}" if self._problem else ""
        if self._attempt is not None:
            return f"a link has been asked for {now - self._began:.0f} s ago{failed}"
        left = 0.0 if self._timer is None or not self._timer.active() else self._timer.getTime() - now
        return f"a link is asked for in {left:.1f} s{failed}"

    def _try(self) -> None:
        self._began = self._clock.seconds()
        attempt = self._attempt = Deferred.fromCoroutine(self._connect())
        attempt.addCallbacks(self._done, self._failed)
        # it may be over already: an attempt can fail within the call that begins it
        if self._attempt is not None:
            self._again_later()

    def _again_later(self) -> None:
        # a request that was made while the path was broken has a long time to be answered
        wait = self._random.uniform(LONGEST_WAIT_SECONDS / 2, LONGEST_WAIT_SECONDS)
        self._timer = self._clock.callLater(wait * self._load, self._again)

    def _again(self) -> None:
        self._again_later()
        self._ask_again()

    def _done(self, _: object) -> None:
        self._attempt = None
        cancel(self._timer)
        # the link may be lost again before the streams use it: then this is stopped, and another one made
        if not self._stopped:
            self._wait()

    def _failed(self, failure: Any) -> None:
        self._attempt = None
        cancel(self._timer)
        failure.trap(RoutingCrustError, ConnectError, CancelledError)
        self._problem = failure.getErrorMessage()
        if failure.check(PeerUnreachable):
            # with nothing left to wait for, this is stopped
            self._unreachable(failure.value)
        if not self._stopped:
            self._wait()

    def stop(self) -> None:
        """Ask no more."""
        self._stopped = True
        cancel(self._timer)
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.cancel()

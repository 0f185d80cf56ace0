"""
The dials of one endpoint, by one path after the other.

While nothing at all comes back, the next uplink of this host is tried beside the first (as happy eyeballs
does with addresses). Where a connection is made and TLS then stands still, which it does if large packets get
lost without a word, one with smaller segments is tried beside it. The first link wins. Neither changes what a
working network does: both begin only after a wait.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from ...endpoints import Endpoint
from ...errors import LimitReached
from ...limits import DIAL_TIMEOUT_SECONDS
from ...timing.timers import cancel
from ..interfaces import ILink
from ..netstate.paths import DialPath, DialPaths
from ..reachability import Presence
from .dial import OneDial
from .race import DialFailed

UPLINK_STAGGER_SECONDS: Final = 1.0
"""Between the starts of dials of one endpoint by different uplinks."""
STANDSTILL_SECONDS: Final = 3.0
"""From a connection, or the last try with smaller segments, to the next one, if TLS is not done."""

MAX_SEGMENT_BYTES: Final = 65535
"""What a size that the system chooses counts as."""


class EndpointDial:
    """
    Made by L{Dialler<routing_crust.crust.dial.dialler.Dialler>} for one endpoint.

    @ivar outcome: fires with the link once it is up and reported; fails with L{DialFailed}, within
        C{DIAL_TIMEOUT_SECONDS}. Cancelling it ends all dials, unless the link is up already.
    @ivar remark: after a success, the path where it was not the system's choice, in words.
    """

    def __init__(
        self,
        clock: IReactorTime,
        paths: DialPaths,
        endpoint: Endpoint,
        make: Callable[[DialPath], OneDial],
        may_repeat: Callable[[], object],
    ) -> None:
        """
        @param make: makes one dial, which is begun here.
        @param may_repeat: counts one more dial of the same endpoint, or raises L{LimitReached} or
            L{DialFailed} if it may not be.
        """
        self.endpoint = endpoint
        self.outcome: Deferred[ILink] = Deferred(lambda _: self._end())
        self.remark = ""
        self._clock = clock
        self._paths = paths
        self._make = make
        self._may_repeat = may_repeat
        self._first: OneDial | None = None
        self._running: dict[OneDial, DialPath] = {}
        self._tried: list[DialPath] = []
        self._problem = DialFailed("not dialled")
        self._began = clock.seconds()
        self._stood_still = 0.0
        self._timer: IDelayedCall | None = None

    def start(self) -> None:
        """Dial by the first path; others follow while there is no link."""
        self._wait()
        self._begin(self._paths.first(self.endpoint), DIAL_TIMEOUT_SECONDS)

    def _begin(self, path: DialPath, timeout: float) -> None:
        self._tried.append(path)
        dial = self._make(path)
        self._first = self._first or dial
        self._running[dial] = path
        dial.outcome.addCallbacks(self._won, self._failed, callbackArgs=(dial,), errbackArgs=(dial,))
        dial.dial(timeout)

    def _wait(self) -> None:
        self._timer = self._clock.callLater(UPLINK_STAGGER_SECONDS, self._look)

    def _look(self) -> None:
        self._timer = None
        answered = [path for dial, path in self._running.items() if dial.is_connected]
        if answered:
            self._stood_still += UPLINK_STAGGER_SECONDS
            if self._stood_still < STANDSTILL_SECONDS:
                self._wait()
                return
            self._stood_still = 0.0
            smallest = min(self._tried, key=_size_of).segment_bytes
            path = self._paths.smaller(DialPath(answered[0].uplink, smallest))
        else:
            path = self._next_uplink()
        if path is not None and self._repeat(path):
            self._wait()

    def _next_uplink(self) -> DialPath | None:
        others = self._paths.others(self.endpoint, self._tried[0])
        return next((each for each in others if each not in self._tried), None)

    def _repeat(self, path: DialPath) -> bool:
        # all dials of one endpoint have its one time limit together, and a busy process may be late
        left = DIAL_TIMEOUT_SECONDS - (self._clock.seconds() - self._began)
        if left <= 0:
            return False
        try:
            self._may_repeat()
        except (LimitReached, DialFailed):
            return False
        self._begin(path, left)
        # the dial may have ended within the call
        return not self.outcome.called

    def _won(self, link: ILink, dial: OneDial) -> None:
        path = self._running.pop(dial)
        self._end()
        self._paths.worked(self.endpoint, path)
        self.remark = path.in_words
        if not self.outcome.called:
            self.outcome.callback(link)

    def _failed(self, failure: Failure, dial: OneDial) -> None:
        if self._running.pop(dial, None) is None:  # called off
            return
        problem = failure.value
        assert isinstance(problem, DialFailed)
        if dial is self._first:
            # what a detour runs into says more about the detour than about the peer
            self._problem = problem
            # the host itself has refused, by whatever way the packets came
            if problem.presence is Presence.GONE:
                self._end()
            elif problem.presence is Presence.NO_WAY and not self._running:
                path = self._next_uplink()
                if path is not None:
                    self._repeat(path)
        if not self._running and not self.outcome.called:
            self._end()
            self.outcome.errback(DialFailed(f"{self._problem}{self._beside()}", self._problem.presence))

    def _beside(self) -> str:
        """What else was tried, as the end of a sentence."""
        others = [each.in_words or "by the interface that the system prefers" for each in self._tried[1:]]
        return f", nor {', nor '.join(others)}" if others else ""

    def _end(self) -> None:
        cancel(self._timer)
        self._timer = None
        running, self._running = self._running, {}
        for dial in running:
            dial.outcome.cancel()


def _size_of(path: DialPath) -> int:
    return path.segment_bytes or MAX_SEGMENT_BYTES

"""
Server-sent events: a snapshot a second, made once for all who look, and none while nobody does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.web.http import Request
from zope.interface import implementer

from ...timing.timers import cancel

INTERVAL_SECONDS: Final = 1.0
MAX_WATCHERS: Final = 64
"""Pages that are open at once."""
RETRY: Final = b"retry: 2000\n"
"""How soon a browser connects again, in milliseconds."""


class Feed:
    """Made by a page, discarded with L{stop}."""

    def __init__(self, clock: IReactorTime, take: Callable[[], bytes]) -> None:
        """
        @param take: makes a snapshot: a line.
        """
        self._clock = clock
        self._take = take
        self._watchers: list[_Watcher] = []
        self._timer: IDelayedCall | None = None

    def __len__(self) -> int:
        return len(self._watchers)

    @property
    def full(self) -> bool:
        """Whether no more can look."""
        return len(self._watchers) >= MAX_WATCHERS

    def add(self, request: Request) -> None:
        """Send this request snapshots, the first at once, until it is gone."""
        watcher = _Watcher(request)
        self._watchers.append(watcher)
        request.registerProducer(watcher, True)
        request.notifyFinish().addBoth(lambda _: self._remove(watcher))
        # a page that has just opened would show nothing until the next tick
        watcher.write(RETRY + event(self._take()))
        # where nobody looks, no snapshot is made
        if self._timer is None:
            self._timer = self._clock.callLater(INTERVAL_SECONDS, self._tick)

    def stop(self) -> None:
        """End all of them."""
        cancel(self._timer)
        self._timer = None
        for watcher in list(self._watchers):
            watcher.end()

    def _tick(self) -> None:
        self._timer = self._clock.callLater(INTERVAL_SECONDS, self._tick)
        # made once, however many look
        data = event(self._take())
        for watcher in list(self._watchers):
            watcher.write(data)

    def _remove(self, watcher: _Watcher) -> None:
        self._watchers.remove(watcher)
        if not self._watchers:
            cancel(self._timer)
            self._timer = None


@implementer(IPushProducer)
class _Watcher:
    """A browser. One that does not keep up misses snapshots: nothing is kept for it."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._paused = False

    def write(self, data: bytes) -> None:
        if not self._paused:
            self._request.write(data)

    def end(self) -> None:
        self._request.unregisterProducer()
        self._request.finish()

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False

    def stopProducing(self) -> None:
        self._paused = True


def event(line: bytes) -> bytes:
    """A message of server-sent events."""
    return b"data: " + line + b"\n\n"

"""
Calls put off to the next turn of the reactor, because the object that would be called is the caller.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from .timers import cancel


class EventualQueue:
    """
    Calls for the next turn of the reactor, in order. One delayed call serves all of them. If one raises, the
    others follow a turn later.

    False while nothing is queued.
    """

    __slots__ = ("_calls", "_clock", "_timer")

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._calls: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._timer: IDelayedCall | None = None

    def __len__(self) -> int:
        return len(self._calls)

    def call(self, function: Callable[..., object], *arguments: Any) -> None:
        """Call this in the next turn, after everything queued before it."""
        self._calls.append((function, arguments))
        self._schedule()

    def run(self) -> None:
        """Make all queued calls now, and those that they queue."""
        while self._calls:
            function, arguments = self._calls.popleft()
            function(*arguments)
        # last, since the calls above may have queued others and set it
        cancel(self._timer)
        self._timer = None

    def cancel(self) -> None:
        """Drop all queued calls."""
        self._calls.clear()
        cancel(self._timer)
        self._timer = None

    def _schedule(self) -> None:
        if self._timer is None and self._calls:
            self._timer = self._clock.callLater(0, self._turn)

    def _turn(self) -> None:
        self._timer = None
        # What is queued from here on waits for the next turn, so that calls which queue each other
        # cannot keep the reactor from its sockets.
        due = len(self._calls)
        try:
            while due and self._calls:
                due -= 1
                function, arguments = self._calls.popleft()
                function(*arguments)
        finally:
            self._schedule()

"""
What is to happen soon, but not now, since the one who would be called is the caller.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from .timers import cancel


class Soon:
    """
    Calls for the next turn of the reactor, in order. None of them may raise. One delayed call serves all.
    """

    __slots__ = ("_calls", "_clock", "_timer")

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._calls: deque[Callable[[], None]] = deque()
        self._timer: IDelayedCall | None = None

    def call(self, call: Callable[[], None]) -> None:
        """Have something called in the next turn."""
        self._calls.append(call)
        if self._timer is None:
            self._timer = self._clock.callLater(0, self._turn)

    def run(self) -> None:
        """Call what is still to be called, now."""
        while self._calls:
            self._calls.popleft()()
        cancel(self._timer)
        self._timer = None

    def _turn(self) -> None:
        self._timer = None
        calls, self._calls = self._calls, deque()
        while calls:
            calls.popleft()()

"""
Draining: a daemon that is told to end lets what is open finish, for a while, and takes on nothing new.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from ...timing.timers import cancel
from ..forward.registry import ForwardRegistry

LOOK_EVERY_SECONDS: Final = 0.25
"""Between two looks for whether anything is left."""
WHY: Final = "this node is about to stop, and finishes what is open"
_ENDING: Final = (signal.SIGTERM, signal.SIGINT)


class Drain:
    """Made when a daemon is told to end; over when its Deferred has fired."""

    log = Logger()

    def __init__(self, registry: ForwardRegistry, reactor: Any, seconds: float) -> None:
        """
        @param seconds: for how long at most; 0 ends everything at once.
        """
        self._registry = registry
        self._reactor = reactor
        self._seconds = seconds
        self._until = 0.0
        self._timer: IDelayedCall | None = None
        self._over: Deferred[None] | None = None
        self._handlers: dict[int, Any] = {}

    @property
    def left(self) -> float | None:
        """For how many seconds it goes on at most; C{None} if it does not."""
        return None if self._over is None else max(0.0, self._until - self._reactor.seconds())

    def start(self) -> Deferred[None]:
        """
        Refuse what is new, and wait for what is open.

        @return: fires with C{None} when nothing is left, or the time is over, or L{end} was called.
        """
        if not self._seconds or not self._open:
            return succeed(None)
        self.log.info(
            "draining: {count} streams may finish within {seconds:g} s, and new ones are refused; another "
            "SIGTERM ends them at once",
            count=self._open,
            seconds=self._seconds,
            event="draining",
        )
        self._registry.drain(WHY)
        self._until = self._reactor.seconds() + self._seconds
        over = self._over = Deferred()
        for number in _ENDING:
            self._handlers[number] = _handle(number, self._signalled)
        self._look()
        return over

    def end(self) -> None:
        """Wait no more. Idempotent."""
        over, self._over = self._over, None
        if over is not None:
            cancel(self._timer)
            for number, handler in self._handlers.items():
                signal.signal(number, handler)
            over.callback(None)

    @property
    def _open(self) -> int:
        return sum(map(len, self._registry.streams.numbers().values()))

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        # the handler runs in the midst of anything
        self._reactor.callFromThread(self.end)

    def _look(self) -> None:
        left = self.left
        if left is None:
            return
        if not self._open or not left:
            if self._open:
                self.log.info("the time to drain is over: {count} streams end", count=self._open)
            self.end()
        else:
            self._timer = self._reactor.callLater(min(LOOK_EVERY_SECONDS, left), self._look)


def _handle(number: int, handler: Callable[[int, FrameType | None], None]) -> Any:
    return signal.signal(number, handler)

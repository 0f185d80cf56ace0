"""
Turns: what is put off to a later turn of the reactor, and what has to be over before crust has stopped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Turns:
    """
    Calls that must not happen now, since the one who would be called is the caller. They keep their order.

    @ivar idle: whether nothing is put off or waited for.
    """

    def __init__(self, clock: IReactorTime, settled: Callable[[], None]) -> None:
        """
        @param settled: called whenever something was done or is over.
        """
        self._clock = clock
        self._settled = settled
        self._calls: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._next: IDelayedCall | None = None
        self._waiting_for = 0

    @property
    def idle(self) -> bool:
        """Whether nothing is put off or waited for."""
        return not self._calls and not self._waiting_for

    def later(self, call: Callable[..., object], *arguments: Any) -> None:
        """Call it in the next turn, after all that was put off before."""
        self._calls.append((call, arguments))
        self._schedule()

    def wait_for(self, end: Deferred[Any] | None) -> None:
        """Not idle until this has fired, however it does."""
        if end is not None:
            self._waiting_for += 1
            end.addBoth(self._over)

    def _schedule(self) -> None:
        if self._next is None and self._calls:
            self._next = self._clock.callLater(0, self._run)

    def _run(self) -> None:
        self._next = None
        call, arguments = self._calls.popleft()
        try:
            call(*arguments)
        finally:
            self._schedule()
            self._settled()

    def _over(self, _: object) -> None:
        self._waiting_for -= 1
        self._settled()

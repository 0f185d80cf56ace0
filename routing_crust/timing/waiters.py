"""
Waiters: the Deferreds of all callers that wait for one event.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

_Result = TypeVar("_Result")


class Waiters(Generic[_Result]):
    """
    Deferreds that wait for one event. Each can be cancelled by its caller, which changes nothing for the
    others. After the event the same object serves for the next one.

    False while there are no waiters.
    """

    __slots__ = ("_left", "_waiting")

    def __init__(self, left: Callable[[], object] | None = None) -> None:
        """
        @param left: called after each caller that cancels, so that work without waiters can be ended.
        """
        self._left = left
        self._waiting: dict[Deferred[_Result], None] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def wait(self) -> Deferred[_Result]:
        """
        @return: fires with the event.
        """
        waiter: Deferred[_Result] = Deferred(self._cancelled)
        self._waiting[waiter] = None
        return waiter

    def fire(self, result: _Result | Failure) -> None:
        """The event is here, or has failed: tell all that wait now."""
        for waiter in self.take():
            # the callback of an earlier one may have cancelled it
            if not waiter.called:
                waiter.callback(result)

    def fail(self, problem: Exception) -> None:
        """The event will not come: tell all that wait now."""
        for waiter in self.take():
            if not waiter.called:
                waiter.errback(problem)

    def take(self) -> tuple[Deferred[_Result], ...]:
        """Hand over the Deferreds that wait now; it is up to the caller to fire them."""
        # replaced first: a callback may wait for the next event, which must not fire it now
        waiting, self._waiting = self._waiting, {}
        return tuple(waiting)

    def _cancelled(self, waiter: Deferred[_Result]) -> None:
        # one that was taken waits no longer: its event is being told just now
        if waiter in self._waiting:
            del self._waiting[waiter]
            if self._left is not None:
                self._left()

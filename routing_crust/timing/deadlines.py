"""
Deadlines: many waits of one length, with one delayed call for all of them.

Where thousands of waits begin and end in a second, a delayed call for each would cost more than the rest of
the work. Since all are equally long they end in the order in which they began, so only the first needs one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from .timers import cancel

_Key = TypeVar("_Key", bound=Hashable)


class Deadlines(Generic[_Key]):
    """
    Calls back for each key that was added and not cancelled in time. Each input takes constant time.

    Made by the object that waits, discarded by it after L{stop}. The delayed call is set when there is
    something to wait for, and not moved when that is cancelled, since the next one will need it; so after the
    last cancellation one may still be pending, for no longer than one wait.
    """

    def __init__(self, clock: IReactorTime, seconds: float, expired: Callable[[_Key], object]) -> None:
        """
        @param seconds: how long each wait is; more than 0.
        @param expired: called with the key when its time is over; it may call anything here. Must not raise.
        """
        self._clock = clock
        self._seconds = seconds
        self._expired = expired
        self._ends: OrderedDict[_Key, float] = OrderedDict()
        self._timer: IDelayedCall | None = None
        self._timer_end = 0.0
        self._stopped = False

    def __len__(self) -> int:
        return len(self._ends)

    def __contains__(self, key: object) -> bool:
        return key in self._ends

    def add(self, key: _Key) -> None:
        """Begin a wait; one for the same key starts over. After L{stop}, does nothing."""
        if self._stopped:
            return
        # a key that is added again goes to the end: the first must always be the next to expire
        self._ends.pop(key, None)
        self._ends[key] = self._clock.seconds() + self._seconds
        if self._timer is None:
            self._set_timer()

    def cancel(self, key: _Key) -> bool:
        """
        End a wait without a call.

        @return: whether there was one.
        """
        return self._ends.pop(key, None) is not None

    def rest(self) -> None:
        """Cancel the delayed call if nothing waits: the next one is not expected soon."""
        if not self._ends:
            cancel(self._timer)
            self._timer = None

    def stop(self) -> None:
        """End all waits without a call, for good. Idempotent."""
        self._stopped = True
        self._ends.clear()
        cancel(self._timer)

    def _set_timer(self) -> None:
        """Wait for the first to end, if there is one."""
        for end in self._ends.values():
            self._timer_end = end
            self._timer = self._clock.callLater(max(0.0, end - self._clock.seconds()), self._tick)
            return

    def _tick(self) -> None:
        # What the call was set for is due even if the clock, by a rounding error, says that it is not yet.
        due = max(self._clock.seconds(), self._timer_end)
        ends = self._ends
        try:
            while ends:
                key, end = next(iter(ends.items()))
                if end > due:
                    break
                del ends[key]
                self._expired(key)
        finally:
            self._timer = None
            self._set_timer()

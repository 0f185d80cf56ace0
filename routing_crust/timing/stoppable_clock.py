"""
A clock that can be stopped: then none of its delayed calls is made any more.

A node is stopped from the inside as well: by an application that hears of an event, in the middle of what the
node was doing. The code that goes on after that call may still start a timer. With one clock for all parts
of a node, stopped last, no part has to know.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

from .timers import cancel

MIN_SWEEP_CALLS: Final = 64
"""Fewer calls that are over are not worth a clean-up."""


@implementer(IReactorTime)
class StoppableClock:
    """An C{IReactorTime} over another one. Made with each start of a node, discarded after L{stop}."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._calls: list[IDelayedCall] = []
        self._sweep_at = MIN_SWEEP_CALLS
        self._stopped = False
        self.seconds: Callable[[], float] = clock.seconds

    @property
    def behind(self) -> float:
        """How many seconds the reactor's time is behind this clock's, if that is a C{SteadyClock}."""
        return float(getattr(self._clock, "behind", 0.0))

    def callLater(
        self, delay: float, callable: Callable[..., object], *args: object, **kw: object
    ) -> IDelayedCall:
        """
        Schedule a call.

        @return: the call; after L{stop} it is cancelled already.
        """
        # a stopped clock still returns a call, since callers keep it to cancel it
        call = self._clock.callLater(delay, callable, *args, **kw)
        if self._stopped:
            call.cancel()
            return call
        self._calls.append(call)
        # finished calls are swept when the list has doubled: constant time for each call on average
        if len(self._calls) >= self._sweep_at:
            self._calls = self.getDelayedCalls()
            self._sweep_at = max(MIN_SWEEP_CALLS, 2 * len(self._calls))
        return call

    def getDelayedCalls(self) -> list[IDelayedCall]:
        """The pending calls of this clock, in the order in which they were scheduled."""
        return [each for each in self._calls if each.active()]

    def stop(self) -> None:
        """Cancel every call, and each that is scheduled from now on. Idempotent."""
        self._stopped = True
        calls, self._calls = self._calls, []
        for each in calls:
            cancel(each)

"""
A clock that does not go back, over a reactor's, which does.

Twisted's reactors go by the wall clock. When that is set back by an hour, every call that is pending is made
an hour late: no timeout, no heartbeat; and every stored time or expiry is an hour in the future again. A
process is not notified of such a step, but it can see it by reading the clock often enough. So a
L{SteadyClock} keeps track of its delayed calls, and when it finds that the clock was set back, it brings each
of them forward by as much; its own time goes on.

A step forward needs nothing: pending calls are then made too early, which every timer must bear anyway.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from weakref import ref

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from zope.interface import alsoProvides, implementer, providedBy

MIN_STEP_SECONDS: Final = 1.0
"""Seconds by which a clock must have gone back at once to be taken as set; less is a clock that is slewed."""
MIN_SWEEP_CALLS: Final = 64
"""Stale calls up to which a clean-up is never worth its cost."""


@implementer(IReactorTime)
class SteadyClock:
    """
    An C{IReactorTime} over another one. It has all other methods of the reactor too, so it can be used in its
    place. Its time is the reactor's plus all that the reactor's was set back since this was made.

    It reads the clock in L{seconds} and L{callLater}. Where neither is called for long, call L{seconds} for
    its side effect: calls are late by the time since the last reading.

    @ivar behind: how many seconds the reactor's time is behind this one.
    """

    log = Logger()

    def __init__(self, reactor: Any) -> None:
        """
        @param reactor: provides C{IReactorTime}. There must be weak references to its calls.
        """
        self._reactor = reactor
        # endpoints ask what a reactor provides, and do without what it does not name
        alsoProvides(self, providedBy(reactor))
        self._now: Callable[[], float] = reactor.seconds
        self._call_later: Callable[..., IDelayedCall] = reactor.callLater
        self._calls: list[ref[IDelayedCall]] = []
        self._most = MIN_SWEEP_CALLS
        self._latest: float = reactor.seconds()
        self.behind = 0.0

    def seconds(self) -> float:
        """The time, which never goes back by more than L{MIN_STEP_SECONDS}."""
        now = self._now()
        if now < self._latest - MIN_STEP_SECONDS:
            self._set_back(now)
        self._latest = now
        return now + self.behind

    def callLater(
        self, delay: float, callable: Callable[..., object], *args: object, **kw: object
    ) -> IDelayedCall:
        """
        Schedule a call.

        @return: the reactor's own call, whose C{getTime} is in the reactor's time; L{time_left} converts it.
        """
        now = self._now()
        if now < self._latest - MIN_STEP_SECONDS:
            self._set_back(now)
        self._latest = now
        call = self._call_later(delay, callable, *args, **kw)
        calls = self._calls
        # weak references: a strong one would keep each finished call alive until the next clean-up
        calls.append(ref(call))
        if len(calls) > self._most:
            self._sweep()
        return call

    def getDelayedCalls(self) -> list[IDelayedCall]:
        """The pending calls that were scheduled here, in the order in which they were scheduled."""
        self._sweep()
        return [call for each in self._calls if (call := each()) is not None]

    def _sweep(self) -> None:
        self._calls = [each for each in self._calls if (call := each()) is not None and call.active()]
        self._most = max(MIN_SWEEP_CALLS, 2 * len(self._calls))

    def _set_back(self, now: float) -> None:
        step, self._latest = self._latest - now, now
        self.behind += step
        calls = self.getDelayedCalls()
        for call in calls:
            call.delay(-step)
        self.log.info(
            "the clock of this host was set back by {step:.1f} s, and {calls} timers with it",
            step=step,
            calls=len(calls),
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)


def steady(reactor: Any) -> SteadyClock:
    """A L{SteadyClock} over this reactor, or the reactor itself if it is one."""
    return reactor if isinstance(reactor, SteadyClock) else SteadyClock(reactor)


def time_left(call: IDelayedCall, clock: IReactorTime) -> float:
    """Seconds until a call of this clock is made; negative if it is overdue."""
    now = clock.seconds()
    return call.getTime() - (now - getattr(clock, "behind", 0.0))

"""
A clock that does not go back, over a reactor's, which does.

Twisted's reactors go by the wall clock. When that is set back by an hour, every call that is pending is made
an hour late: no timeout, no heartbeat; and whatever remembers when something was, or until when it holds,
remembers a time that is an hour away again. Nothing tells a process of such a step, but whoever looks at the
clock often enough can see it. So what a L{SteadyClock} is asked to call later it remembers, and when it finds
that the clock was set back, it brings each of these calls forward by as much; and its own time goes on.

A step forward needs nothing: what was pending is then called too early, which every timer must bear anyway.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from weakref import ref

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

STEP: Final = 1.0
"""Seconds by which a clock must have gone back at once to be taken as set; less is a clock that is slewed."""
FEW: Final = 64
"""So many calls that mean nothing any more are never worth a clean-up."""


@implementer(IReactorTime)
class SteadyClock:
    """
    An C{IReactorTime} over another one. Whatever else the reactor can do is to be had here as well, so it can
    stand for the reactor. It shows the reactor's time, and what that has been set back since it was made.

    It looks at the time whenever it is asked for it or has to call somebody later. Where neither happens for
    long, call L{seconds} for what it does: calls are late by as long as nobody has looked.

    @ivar behind: how many seconds the reactor's time is behind this one.
    """

    log = Logger()

    def __init__(self, reactor: Any) -> None:
        """
        @param reactor: provides C{IReactorTime}. There must be weak references to its calls.
        """
        self._reactor = reactor
        self._now: Callable[[], float] = reactor.seconds
        self._call_later: Callable[..., IDelayedCall] = reactor.callLater
        self._calls: list[ref[IDelayedCall]] = []
        self._most = FEW
        self._latest: float = reactor.seconds()
        self.behind = 0.0

    def seconds(self) -> float:
        """See Twisted's interface."""
        now = self._now()
        if now < self._latest - STEP:
            self._set_back(now)
        self._latest = now
        return now + self.behind

    def callLater(
        self, delay: float, callable: Callable[..., object], *args: object, **kw: object
    ) -> IDelayedCall:
        """
        See Twisted's interface.

        @return: the reactor's own call, whose C{getTime} is in the reactor's time: see L{time_left}.
        """
        now = self._now()
        if now < self._latest - STEP:
            self._set_back(now)
        self._latest = now
        call = self._call_later(delay, callable, *args, **kw)
        calls = self._calls
        calls.append(ref(call))
        if len(calls) > self._most:
            self._sweep()
        return call

    def getDelayedCalls(self) -> list[IDelayedCall]:
        """See Twisted's interface: those that were made here, in the order in which they were asked for."""
        self._sweep()
        return [call for each in self._calls if (call := each()) is not None]

    def _sweep(self) -> None:
        self._calls = [each for each in self._calls if (call := each()) is not None and call.active()]
        self._most = max(FEW, 2 * len(self._calls))

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
    """In how many seconds a call will be made that this clock was asked for; negative if it is overdue."""
    now = clock.seconds()
    return call.getTime() - (now - getattr(clock, "behind", 0.0))

"""
Simulated time: one heap of calls for everything, and for each host a clock that can be wrong.

Twisted's own C{task.Clock} sorts all that is pending with each call, which a thousand nodes cannot afford.
Here a call costs the logarithm of their number. Calls that fall on the same moment are made in the order in
which they were asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from math import inf
from typing import Any, Final

from twisted.internet.error import AlreadyCalled, AlreadyCancelled
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

MIN_SWEEP_ENTRIES: Final = 64
"""Stale entries up to which a clean-up is never worth its cost."""


@implementer(IDelayedCall)
class SimulatedCall:
    """
    A call that is to be made. Made by the clocks; see Twisted's interface.
    """

    __slots__ = (
        "__weakref__", "_args", "_function", "_kwargs", "_owner", "called", "cancelled", "order", "time",
    )  # fmt: skip

    def __init__(
        self,
        owner: HostClock,
        time: float,
        order: int,
        function: Callable[..., object],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        """
        @param time: in the simulation's time.
        @param order: tells calls of the same moment apart.
        """
        self._owner = owner
        self._function = function
        self._args = args
        self._kwargs = kwargs
        self.time = time
        self.order = order
        self.called = self.cancelled = False

    def getTime(self) -> float:
        """In the time of the clock that made it."""
        return self.time + self._owner.offset

    def cancel(self) -> None:
        self._must_wait()
        self.cancelled = True
        self._owner.cancelled(self)
        del self._function, self._args, self._kwargs  # no need to keep alive what they hold

    def reset(self, secondsFromNow: float) -> None:
        self._must_wait()
        self._owner.moved(self, self._owner.now + max(0.0, secondsFromNow))

    def delay(self, secondsLater: float) -> None:
        self._must_wait()
        self._owner.moved(self, max(self._owner.now, self.time + secondsLater))

    def active(self) -> bool:
        return not (self.called or self.cancelled)

    def make(self) -> None:
        """Make the call."""
        self.called = True
        del self._owner.pending[self]
        self._function(*self._args, **self._kwargs)

    def _must_wait(self) -> None:
        if self.cancelled:
            raise AlreadyCancelled
        if self.called:
            raise AlreadyCalled

    def __repr__(self) -> str:
        if self.cancelled:
            return "<SimulatedCall cancelled>"
        return f"<SimulatedCall {'made' if self.called else f'at {self.time:.3f}'}: {self._function!r}>"


@implementer(IReactorTime)
class HostClock:
    """
    The clock of one host: an C{IReactorTime} that shows another time than the simulation, if it is told to.

    As a real reactor it goes by the wall clock: when that jumps forward, what is then overdue is called at
    once, and when it jumps back, what was pending waits longer by as much.

    @ivar offset: how many seconds it is ahead of the simulation.
    @ivar pending: its calls that wait, in the order in which they were asked for; for the calls.
    """

    def __init__(self, simulation: SimulatedClock, offset: float = 0.0) -> None:
        self._simulation = simulation
        self.pending: dict[SimulatedCall, None] = {}
        self.offset = offset

    @property
    def now(self) -> float:
        """The simulation's time."""
        return self._simulation.now

    def seconds(self) -> float:
        return self._simulation.now + self.offset

    def callLater(
        self, delay: float, callable: Callable[..., object], *args: object, **kw: object
    ) -> SimulatedCall:
        if not delay >= 0:
            raise ValueError(f"a call cannot be made {-delay} seconds ago")
        simulation = self._simulation
        time = simulation.now + delay
        # as push does, without the calls: here most of the time of small networks is spent
        order = simulation.order = simulation.order + 1
        call = SimulatedCall(self, time, order, callable, args, kw)
        self.pending[call] = None
        heappush(simulation.heap, (time, order, call))
        return call

    def getDelayedCalls(self) -> list[SimulatedCall]:
        """The calls of this clock, in the order in which they were asked for."""
        return list(self.pending)

    def jump(self, seconds: float) -> None:
        """Set the clock forward, or back where C{seconds} is negative."""
        self.offset += seconds
        self._move_all(lambda time: time - seconds)

    def sleep(self, seconds: float) -> None:
        """Make no call for this time, as on a host that sleeps; what is overdue then is called at once."""
        wakes = self.now + seconds
        self._move_all(lambda time: max(time, wakes))

    def _move_all(self, new_time: Callable[[float], float]) -> None:
        # moving gives each a new number, and calls of the same moment are made by that: keep their order
        for call in sorted(self.pending, key=lambda each: (each.time, each.order)):
            self.moved(call, max(self.now, new_time(call.time)))

    def next_process(self) -> HostClock:
        """
        Take the clock from a process that has died, and return that of the host's next one. None of its calls
        is made, nor any that is asked for in its name later, as by an application that cancels its waits.
        """
        for call in list(self.pending):
            call.cancel()
        successor = HostClock(self._simulation, self.offset)
        # one that nobody plays
        self._simulation = SimulatedClock(self.now)
        return successor

    # What its calls tell.

    def moved(self, call: SimulatedCall, time: float) -> None:
        """A call is to be made at another time."""
        self._simulation.stale += 1
        call.time = time
        self._simulation.push(call)

    def cancelled(self, call: SimulatedCall) -> None:
        """A call is not to be made."""
        del self.pending[call]
        self._simulation.stale += 1
        self._simulation.clean_up()


class SimulatedClock(HostClock):
    """
    The time of a simulation, which goes from one call to the next. It is a host's clock too: one that is
    right.

    @ivar now: the time, in seconds.
    @ivar calls: how many calls have been made.
    @ivar stale: how many entries of the heap mean nothing any more; for the clocks.
    @ivar order: the number of the last entry of the heap; for the clocks.
    @ivar heap: the calls by their times, with stale entries among them; for the clocks.
    """

    now: float = 0.0

    def __init__(self, start: float = 0.0) -> None:
        """
        @param start: the time at which it begins.
        """
        self.now = start
        self.calls = 0
        self.stale = 0
        self.order = 0
        self.heap: list[tuple[float, int, SimulatedCall]] = []
        super().__init__(self)

    def host_clock(self, offset: float = 0.0) -> HostClock:
        """A clock for a host, C{offset} seconds ahead."""
        return HostClock(self, offset)

    def next_time(self) -> float | None:
        """When the next call is due; C{None} if there is none."""
        heap = self.heap
        while heap:
            time, order, call = heap[0]
            if call.order == order and not call.cancelled and not call.called:
                return time
            heappop(heap)
            self.stale -= 1
        return None

    def step(self) -> bool:
        """
        Go to the next call and make it.

        @return: whether there was one.
        """
        return self.step_before(inf)

    def step_before(self, end: float) -> bool:
        """The same, if the next call is due by then."""
        heap = self.heap
        while heap:
            time, order, call = heap[0]
            if call.order != order or call.cancelled or call.called:
                heappop(heap)
                self.stale -= 1
            elif time > end:
                return False
            else:
                heappop(heap)
                if time > self.now:
                    self.now = time
                self.calls += 1
                call.make()
                return True
        return False

    def run_to(self, time: float) -> None:
        """Make every call that is due by then, and let it be that time."""
        while self.step_before(time):
            continue
        self.now = max(self.now, time)

    def advance(self, seconds: float) -> None:
        """Let C{seconds} pass."""
        self.run_to(self.now + seconds)

    # What the clocks tell.

    def push(self, call: SimulatedCall) -> None:
        """A call is to be made at its C{time}; an earlier entry of it means nothing any more."""
        # an old entry stays in the heap, where finding it would cost a look at every one; its number no
        # longer fits the call, so it is skipped when it comes up
        self.order = call.order = self.order + 1
        heappush(self.heap, (call.time, call.order, call))

    def clean_up(self) -> None:
        """Forget what means nothing any more, if that is most of it."""
        # a sweep looks at every entry, so it has to free half of them to be worth its cost
        if self.stale > MIN_SWEEP_ENTRIES and self.stale > len(self.heap) // 2:
            # calls that were made have left the heap already
            self.heap = [each for each in self.heap if each[1] == each[2].order and not each[2].cancelled]
            heapify(self.heap)
            self.stale = 0

"""What the actors of all sides share: a meter at the receiver, concurrent repetition, and memory."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

SETTLE_SECONDS: Final = 0.3
SLOTS: Final = 16
"""How many connections are being made at a time."""

_Done = TypeVar("_Done")


class Meter:
    """
    Times what arrives, from the first to the last.

    It hears of these two alone: the counter has an attribute C{left}, subtracts one for each arrival, and
    calls L{mark} at zero.

    @ivar done: fires with how many came in a second.
    """

    def __init__(self, counter: Any, expected: int) -> None:
        self.done: Deferred[float] = Deferred()
        self._counter = counter
        self._more = expected - 1
        self._first = 0.0
        counter.left = 1

    def mark(self) -> None:
        """The first or the last is there."""
        if not self._first:
            self._first = perf_counter()
            self._counter.left = self._more
        else:
            self.done.callback(self._more / (perf_counter() - self._first))


class Window:
    """
    Asks again and again, with several questions on their way at any time.

    @ivar done: fires with how many answers came in a second.
    """

    def __init__(self, ask: Callable[..., object], arguments: Sequence[Any], count: int, window: int) -> None:
        """
        @param ask: sends one question, given the arguments; L{answered} is to be called for each answer.
        """
        self.done: Deferred[float] = Deferred()
        self._ask = ask
        self._arguments = arguments
        self._count = count
        self._to_ask = count
        self._to_come = count
        self._size = window
        self._start = 0.0

    def start(self) -> Deferred[float]:
        """Send the first questions."""
        self._start = perf_counter()
        for _ in range(min(self._size, self._count)):
            self._to_ask -= 1
            self._ask(*self._arguments)
        return self.done

    def answered(self, answer: object = None) -> None:
        """One answer is there."""
        self._to_come -= 1
        if self._to_ask:
            self._to_ask -= 1
            self._ask(*self._arguments)
        elif not self._to_come:
            self.done.callback(self._count / (perf_counter() - self._start))


async def ask_all(ask: Callable[[], Deferred[Any]], count: int, window: int) -> float:
    """
    Like L{Window}, where each question gives a Deferred.

    @return: how many were answered in a second.
    """

    def next_one() -> None:
        ask().addCallbacks(requests.answered, failed)

    def failed(failure: Failure) -> None:
        if not requests.done.called:
            requests.done.errback(failure)

    requests = Window(next_one, (), count, window)
    return await requests.start()


async def in_parallel(work: Callable[[int], Awaitable[_Done]], count: int, slots: int) -> list[_Done]:
    """
    Do C{work} C{count} times, in C{slots} slots of which each does one after the other.

    @param work: is given a number of its own, from 0.
    @return: what it came to each time, in no order.
    """
    numbers = iter(range(count))
    done: list[_Done] = []

    async def slot() -> None:
        for number in numbers:
            made = await work(number)
            done.append(made)

    await gatherResults([Deferred.fromCoroutine(slot()) for _ in range(slots)], consumeErrors=True)
    return done


async def time_set_ups(
    connect: Callable[[int], Awaitable[_Done]],
    disconnect: Callable[[_Done], Awaitable[object]],
    count: int,
    batch: int,
) -> float:
    """
    Make connections, in batches that are closed again while no time is taken.

    @param connect: is given a number below C{batch}, which no other connection has at that time.
    @return: how many were made in a second.
    """
    spent = 0.0
    left = count
    while left:
        size = min(left, batch)
        left -= size
        start = perf_counter()
        made = await in_parallel(connect, size, SLOTS)
        spent += perf_counter() - start
        for each in made:
            await disconnect(each)
    return count / spent


async def settle(clock: IReactorTime) -> None:
    """Let what is under way come to its end."""
    pause: Deferred[None] = Deferred()
    clock.callLater(SETTLE_SECONDS, pause.callback, None)
    await pause


def memory() -> int:
    """How many bytes of this process are in memory and belong to it alone."""
    gc.collect()
    trim_heap()
    rollup = Path("/proc/self/smaps_rollup")
    if rollup.exists():
        lines = rollup.read_text().splitlines()
        return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


def trim_heap() -> None:
    """Give freed memory back to the system, where that can be asked for."""
    if os.name == "posix" and sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)

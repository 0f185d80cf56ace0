"""
Wires with delay, loss and a rate, in one process: C{wire.py DELAY LOSS ONE OTHER [ONE OTHER ...]}.

DELAY is in seconds, LOSS is the share of frames that is lost, and each ONE and OTHER are the two descriptors
at the ends of a wire, which this process inherits. A line on its standard input, C{DELAY LOSS RATE}, changes
all of them, to a RATE in bytes a second each way. It ends when its standard input does.

It stands alone, so that it starts quickly.
"""

from __future__ import annotations

import os
import selectors
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from math import inf
from random import Random

_FRAME = 65536
_AT_ONCE = 64
"""Upper bound of frames taken from one end before the next end has its turn."""
_MOST = 10_000
"""Upper bound of frames on their way to an end; more are lost, as on any wire that is too slow."""
_QUEUED_SECONDS = 2.0
"""For how long a frame may wait for those before it where there is a rate; others are lost."""
_LINE = 4096


class Frames:
    """The frames on their way. To each end the first in is the first out."""

    def __init__(self, delay: float, loss: float, random: Random) -> None:
        self._random = random
        self._queues: dict[int, deque[tuple[float, bytes]]] = {}
        self._free: dict[int, float] = {}
        self.change(delay, loss, inf)

    def change(self, delay: float, loss: float, rate: float) -> None:
        """Treat those that set out from now on like this."""
        self._delay, self._loss, self._rate = delay, loss, rate

    def add(self, now: float, end: int, frame: bytes) -> None:
        """A frame sets out for an end, unless it gets lost."""
        queue = self._queues.setdefault(end, deque())
        sent = max(now, self._free.get(end, now)) + len(frame) / self._rate
        if self._random.random() < self._loss or len(queue) >= _MOST or sent - now > _QUEUED_SECONDS:
            return
        self._free[end] = sent
        # none overtakes those that set out while the wire was longer
        queue.append((max(sent + self._delay, queue[-1][0] if queue else 0.0), frame))

    def arrived(self, now: float) -> list[tuple[int, bytes]]:
        """Those that have come to their end, in order."""
        there = []
        for end, queue in self._queues.items():
            while queue and queue[0][0] <= now:
                there.append((end, queue.popleft()[1]))
        return there

    def wait(self, now: float) -> float | None:
        """Seconds until the next one arrives; C{None} if none is on its way."""
        first = min((queue[0][0] for queue in self._queues.values() if queue), default=None)
        return None if first is None else max(0.0, first - now)


def take(end: int) -> list[bytes]:
    """The frames that are there at an end."""
    frames: list[bytes] = []
    # none is there, or the device is down
    with suppress(OSError):
        while len(frames) < _AT_ONCE:
            frames.append(os.read(end, _FRAME))
    return frames


def give(end: int, frame: bytes) -> None:
    """Write a frame at an end. It is lost if that end cannot take it."""
    with suppress(OSError):
        os.write(end, frame)


def carry(frames: Frames, ends: Sequence[int], orders: int, clock: Callable[[], float]) -> None:
    """
    Carry frames until the other end of a descriptor is closed.

    @param ends: two of each wire, one after the other.
    @param orders: the descriptor, which lines come from that change the wires.
    """
    with selectors.DefaultSelector() as selector:
        selector.register(orders, selectors.EVENT_READ)
        for one, other in zip(ends[::2], ends[1::2], strict=True):
            selector.register(one, selectors.EVENT_READ, other)
            selector.register(other, selectors.EVENT_READ, one)
        while True:
            for key, _ in selector.select(frames.wait(clock())):
                if key.fd == orders:
                    lines = os.read(orders, _LINE).splitlines()
                    if not lines:
                        return
                    frames.change(*map(float, lines[-1].split()))
                    continue
                for frame in take(key.fd):
                    frames.add(clock(), key.data, frame)
            for end, frame in frames.arrived(clock()):
                give(end, frame)


if __name__ == "__main__":
    carry(
        Frames(float(sys.argv[1]), float(sys.argv[2]), Random()),
        [int(each) for each in sys.argv[3:]],
        sys.stdin.fileno(),
        time.monotonic,
    )

"""
Wires with delay and loss, in one process: C{wire.py DELAY LOSS ONE OTHER [ONE OTHER ...]}.

DELAY is in seconds, LOSS is the share of frames that is lost, and each ONE and OTHER are the two descriptors
at the ends of a wire, which this process inherits. It ends when its standard input does.

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
from random import Random

_FRAME = 65536
_AT_ONCE = 64
"""Upper bound of frames taken from one end before the next end has its turn."""
_MOST = 10_000
"""Upper bound of frames on their way; more are lost, as on any wire that is too slow."""


class Frames:
    """The frames on their way. All take equally long, so the first in is the first out."""

    def __init__(self, delay: float, loss: float, random: Random) -> None:
        self._delay = delay
        self._loss = loss
        self._random = random
        self._queue: deque[tuple[float, int, bytes]] = deque()

    def add(self, now: float, end: int, frame: bytes) -> None:
        """A frame sets out for an end, unless it gets lost."""
        if self._random.random() >= self._loss and len(self._queue) < _MOST:
            self._queue.append((now + self._delay, end, frame))

    def arrived(self, now: float) -> list[tuple[int, bytes]]:
        """Those that have come to their end, in order."""
        there = []
        while self._queue and self._queue[0][0] <= now:
            _, end, frame = self._queue.popleft()
            there.append((end, frame))
        return there

    def wait(self, now: float) -> float | None:
        """Seconds until the next one arrives; C{None} if none is on its way."""
        return max(0.0, self._queue[0][0] - now) if self._queue else None


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


def carry(frames: Frames, ends: Sequence[int], until: int, clock: Callable[[], float]) -> None:
    """
    Carry frames until this descriptor has something to read, or its other end is closed.

    @param ends: two of each wire, one after the other.
    """
    with selectors.DefaultSelector() as selector:
        selector.register(until, selectors.EVENT_READ)
        for one, other in zip(ends[::2], ends[1::2], strict=True):
            selector.register(one, selectors.EVENT_READ, other)
            selector.register(other, selectors.EVENT_READ, one)
        while True:
            for key, _ in selector.select(frames.wait(clock())):
                if key.fd == until:
                    return
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

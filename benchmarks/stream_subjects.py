"""
Subjects that are streams of bytes, made by the actors of L{benchmarks.streaming}.
"""

from __future__ import annotations

from .subjects import Pair, Spawn

OPENED_AT_ONCE = 16


class Bulk(Pair):
    """Blocks of 64 KiB one way over this many streams at once, per second at the client."""

    rate = 0
    """Which of the results is wanted: of all streams together."""
    first_guess = 256

    def __init__(self, spawn: Spawn, actor: str, streams: int = 1) -> None:
        super().__init__(spawn, actor)
        self._streams = streams

    def start(self) -> None:
        super().start()
        self.client.call("open_streams", mode=self.mode, count=self._streams)

    def calibrate(self, seconds: float) -> None:
        """One sample; the count follows from the rate of all streams."""
        wanted, self.rate = self.rate, 0
        super().calibrate(seconds)
        self.rate = wanted

    def sample(self) -> float:
        results: list[float] = self.client.call("send", blocks=self.count)
        return results[self.rate]


class Slowest(Bulk):
    """The rate of the slowest of the streams, by the mean of all."""

    rate = 1


class Fastest(Bulk):
    """The rate of the fastest of the streams, by the mean of all."""

    rate = 2


class Even(Pair):
    """What the rate by the mean would be if all were alike."""

    def start(self) -> None:
        """There is nothing to start."""

    def calibrate(self, seconds: float) -> None:
        """Nothing is counted."""

    def sample(self) -> float:
        return 1.0


class Opens(Pair):
    """Streams that are opened, some at a time, and closed, per second."""

    mode = "echo"

    def sample(self) -> float:
        rate: float = self.client.call("open", count=self.count, slots=OPENED_AT_ONCE)
        return rate


class Latency(Pair):
    """The median time of a small echo, in microseconds."""

    mode = "echo"

    def __init__(self, spawn: Spawn, actor: str, beside: bool) -> None:
        """
        @param beside: whether another stream over the same link sends all the time.
        """
        super().__init__(spawn, actor)
        self._beside = beside

    def calibrate(self, seconds: float) -> None:
        """Enough for a median that can be trusted; this also warms everything up."""
        self.count = 50
        self.count = max(50, min(1000, round(seconds * 1e6 / self.sample() / 2)))

    def sample(self) -> float:
        microseconds: float = self.client.call("echo", count=self.count, beside=self._beside)
        return microseconds

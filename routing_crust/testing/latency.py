"""
Latency: how long what is sent takes from one end to the other.

The numbers are drawn with arithmetic that is the same on every Python, since a run has to be the same too.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import exp, fsum
from random import Random

LONGEST = 2.0
"""In seconds: nothing is drawn that is longer."""


class Latency(ABC):
    """Something that seconds are drawn from."""

    @abstractmethod
    def draw(self, random: Random) -> float:
        """The next one, in seconds."""

    def between(self, here: str, there: str, random: Random) -> float:
        """The next one between two hosts, given their addresses, in seconds; by default as for all."""
        return self.draw(random)


@dataclass(frozen=True, slots=True)
class Uniform(Latency):
    """Evenly between two bounds, in seconds."""

    low: float
    high: float

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high <= LONGEST:
            raise ValueError(f"{self} is no latency: it goes from 0 to {LONGEST:g} s")

    def draw(self, random: Random) -> float:
        return self.low + (self.high - self.low) * random.random()


class ByPair(Latency):
    """
    One for each pair of hosts, the same both ways, where it was set; for all other pairs a common one.

    @ivar common: that one, in seconds. It may be changed at any time, as those of pairs may.
    """

    def __init__(self, common: float) -> None:
        self.common = common
        self._pairs: dict[frozenset[str], float] = {}

    def draw(self, random: Random) -> float:
        return self.common

    def between(self, here: str, there: str, random: Random) -> float:
        return self._pairs.get(frozenset((here, there)), self.common)

    def place(self, one: str, two: str, seconds: float) -> None:
        """
        Set it between two hosts.

        @param seconds: one way.
        """
        if not 0 <= seconds <= LONGEST:
            raise ValueError(f"{seconds:g} s is no latency: it goes from 0 to {LONGEST:g} s")
        self._pairs[frozenset((one, two))] = seconds


@dataclass(frozen=True, slots=True)
class LongTailed(Latency):
    """
    Mostly near a median, seldom many times as much, as on the internet: a log-normal distribution, cut off at
    L{LONGEST}.

    @ivar median: in seconds.
    @ivar spread: the standard deviation of the logarithm; 0.5 makes one in forty longer than 2.7 medians.
    """

    median: float
    spread: float = 0.5

    def __post_init__(self) -> None:
        if not (0 < self.median <= LONGEST and 0 <= self.spread <= 3):
            raise ValueError(f"{self} is no latency: the median is at most {LONGEST:g} s, the spread 3")

    def draw(self, random: Random) -> float:
        # the sum of twelve even numbers is near enough to a normal one, and needs no logarithm of a chance
        # sum() rounds in another way from Python 3.12 on
        deviation = fsum([random.random() for _ in range(12)]) - 6.0
        return min(LONGEST, self.median * exp(self.spread * deviation))

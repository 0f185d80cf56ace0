"""
Latency: how long what is sent takes from one end to the other.

The numbers are drawn with arithmetic that is the same on every Python, since a run has to be the same too.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import exp, fsum, sqrt
from random import Random
from typing import Final

LONGEST_SECONDS = 2.0
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
        if not 0 <= self.low <= self.high <= LONGEST_SECONDS:
            raise ValueError(f"{self} is no latency: it goes from 0 to {LONGEST_SECONDS:g} s")

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
        if not 0 <= seconds <= LONGEST_SECONDS:
            raise ValueError(f"{seconds:g} s is no latency: it goes from 0 to {LONGEST_SECONDS:g} s")
        self._pairs[frozenset((one, two))] = seconds


@dataclass(frozen=True, slots=True)
class LongTailed(Latency):
    """
    Mostly near a median, seldom many times as much, as on the internet: a log-normal distribution, cut off at
    L{LONGEST_SECONDS}.

    @ivar median: in seconds.
    @ivar spread: the standard deviation of the logarithm; 0.5 makes one in forty longer than 2.7 medians.
    """

    median: float
    spread: float = 0.5

    def __post_init__(self) -> None:
        if not (0 < self.median <= LONGEST_SECONDS and 0 <= self.spread <= 3):
            raise ValueError(
                f"{self} is no latency: the median is at most {LONGEST_SECONDS:g} s, the spread 3"
            )

    def draw(self, random: Random) -> float:
        # the sum of twelve even numbers is near enough to a normal one, and needs no logarithm of a chance
        # sum() rounds in another way from Python 3.12 on
        deviation = fsum([random.random() for _ in range(12)]) - 6.0
        return min(LONGEST_SECONDS, self.median * exp(self.spread * deviation))


class Regions(Latency):
    """
    As far apart as hosts on four continents are, each at a place of its own, with the line to its home.

    Within Europe a round trip takes some 10 to 60 ms, to North America 60 to 140, to Asia 170 to 260; each
    line adds 1 to 8 ms, and one in ten 20 to 40. The same address is always at the same place.
    """

    JITTER: Final = 0.05
    """The share by which something takes longer at most."""
    _CONTINENTS: Final = (
        # where it is and how far it goes, in seconds of one way, and how many of ten hosts it has
        (0.0, 0.0, 0.010, 4),
        (0.045, 0.0, 0.015, 3),
        (0.095, 0.05, 0.018, 2),
        (0.06, -0.055, 0.012, 1),
    )

    def __init__(self) -> None:
        self._places: dict[str, tuple[float, float, float]] = {}

    def draw(self, random: Random) -> float:
        return 0.05

    def between(self, here: str, there: str, random: Random) -> float:
        return self.one_way(here, there) * (1 + self.JITTER * random.random())

    def one_way(self, here: str, there: str) -> float:
        """The least that something takes, in seconds."""
        (x, y, line), (u, v, other_line) = self._place(here), self._place(there)
        return sqrt((x - u) * (x - u) + (y - v) * (y - v)) + line + other_line

    def _place(self, host: str) -> tuple[float, float, float]:
        if host not in self._places:
            random = Random(f"place of {host}")
            of_ten = [each for each in self._CONTINENTS for _ in range(each[3])]
            x, y, size, _ = of_ten[int(random.random() * len(of_ten))]
            slow = random.random() < 0.1
            line = 0.01 + 0.01 * random.random() if slow else 0.0005 + 0.0035 * random.random()
            self._places[host] = (
                x + size * (2 * random.random() - 1),
                y + size * (2 * random.random() - 1),
                line,
            )
        return self._places[host]

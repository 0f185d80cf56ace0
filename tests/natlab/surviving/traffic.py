"""
What goes on over a forward while its link is broken: a program that says when something has come.
"""

from __future__ import annotations

import sys
import time
from itertools import pairwise
from typing import ClassVar, Final

from ..namespaces import PATIENCE
from .household import Household
from .program import NothingCame, Program

STEADY_SECONDS: Final = 2.0
"""Something comes again when it has come for so long"""
MAX_STEADY_GAP_SECONDS: Final = 0.5
"""without a longer pause than this."""


class Traffic:
    """
    Begun when it is made; its programs end with the laboratory. Its client, on I{alice}, prints C{at} with
    the time of L{time.monotonic} and a number whenever something has come, and another line when all is over.

    @cvar label: what a table calls it.
    """

    label: ClassVar[str] = ""

    def __init__(self, household: Household, script: str, *arguments: str) -> None:
        """
        @param script: the client, in Python.
        """
        self._arrivals: list[tuple[float, int]] = []
        self._said: list[str] = []
        command = (sys.executable, "-u", "-c", script, *arguments)
        self._client = Program(household.lab, "alice", *command, heard=self._heard)
        self.flows(time.monotonic())

    def _heard(self, line: str) -> None:
        word, *values = line.split() or [""]
        if word == "at":
            self._arrivals.append((float(values[0]), int(values[1])))
        else:
            self._said.append(line)

    @property
    def came(self) -> int:
        """The number that came last."""
        return self._arrivals[-1][1] if self._arrivals else 0

    def goes_on(self, number: int) -> None:
        """
        Wait until the number has grown by so much.

        @raise NothingCame: it does not.
        """
        wanted = self.came + number
        self._client.until(lambda: self.came >= wanted, f"nothing comes: {self._said}")

    def flows(self, since: float, seconds: float = PATIENCE) -> None:
        """
        Wait until something has come steadily after this time.

        @raise NothingCame: it does not.
        """
        self._client.until(lambda: self._is_steady(since), f"{self.label}: nothing comes", seconds)

    def _is_steady(self, since: float) -> bool:
        recent = [at for at, _ in self._arrivals[-500:] if at > since]
        if self._said:
            raise NothingCame(f"{self.label} has ended: {self._said[-20:]}")
        last = recent[-1] if recent else 0.0
        recent = [each for each in recent if each >= last - STEADY_SECONDS]
        gaps = [later - earlier for earlier, later in pairwise(recent)]
        return bool(gaps) and last - recent[0] > STEADY_SECONDS * 0.8 and max(gaps) < MAX_STEADY_GAP_SECONDS

    def pause(self, since: float, until: float) -> float:
        """
        The longest pause that began after the one time or was going on then, less what of it was before the
        other time, when the path was back.
        """
        times = [at for at, _ in self._arrivals]
        gaps = [
            (later - earlier, max(0.0, later - max(earlier, until)))
            for earlier, later in pairwise(times)
            if later > since
        ]
        return max(gaps, default=(0.0, 0.0))[1]

    def finish(self, seconds: float) -> None:
        """
        Have it come to its end, and see whether all has come.

        @raise AssertionError: it has not.
        """
        raise NotImplementedError

    def _last_line(self, seconds: float) -> str:
        self._client.until(lambda: bool(self._said), f"{self.label} did not end", seconds)
        return self._said[-1]

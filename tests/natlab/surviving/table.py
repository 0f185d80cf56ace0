"""
What was measured, as a table.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Final

_ALONE: Final = ("seconds until the next byte", "at most")


@dataclass(frozen=True, slots=True)
class Played:
    """
    @ivar kind: of the break.
    @ivar seconds: from the return of the path to the next byte, for each program.
    """

    kind: str
    seconds: Mapping[str, float]

    @property
    def longest(self) -> float:
        """The longest of them."""
        return max(self.seconds.values())


def as_csv(played: Iterable[Played]) -> str:
    """
    A row for each kind of break: how often, and how long until the next byte. With several programs there is
    a column for each, with the longest time.
    """
    kinds: dict[str, list[Played]] = {}
    for each in played:
        kinds.setdefault(each.kind, []).append(each)
    programs = next((tuple(each[0].seconds) for each in kinds.values()), ())
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    alone = len(programs) == 1
    rows.writerow(("what happens", "times", *(_ALONE if alone else programs)))
    for kind, times in kinds.items():
        columns = [[each.seconds[program] for each in times] for program in programs]
        longest = [max(each) for each in columns]
        values = [median(columns[0]), *longest] if alone else longest
        rows.writerow((kind, len(times), *(f"{each:.1f}" for each in values)))
    return text.getvalue()

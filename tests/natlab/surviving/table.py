"""
What was measured, as a table.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Played:
    """
    @ivar kind: of the break.
    @ivar seconds: from the return of the path to the next byte.
    """

    kind: str
    seconds: float


def as_csv(played: Iterable[Played]) -> str:
    """A row for each kind of break: how often, and how long until the next byte."""
    kinds: dict[str, list[float]] = {}
    for each in played:
        kinds.setdefault(each.kind, []).append(each.seconds)
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("what happens", "times", "seconds until the next byte", "at most"))
    for kind, seconds in kinds.items():
        rows.writerow((kind, len(seconds), f"{median(seconds):.1f}", f"{max(seconds):.1f}"))
    return text.getvalue()

"""What was measured, as a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Final

from .measure import Measured

_TITLES: Final = ("network", "joined", "link", "first message", "a message again after")


def row(each: Measured) -> tuple[str, ...]:
    """The line of a network."""
    kind = each.first.path_kind.value if each.first.path_kind else "nothing"
    again = ", ".join(f"{what}: {seconds:.1f} s ({kind})" for what, (seconds, kind) in each.again.items())
    mark = "" if each.is_good else " **(not as it must be)**"
    return (
        each.network.name + mark,
        f"{each.joined:.1f} s",
        f"{kind}, {each.first.linked:.1f} s",
        f"{each.first.message:.1f} s",
        again,
    )


def as_csv(measured: Iterable[Measured]) -> str:
    """A line for each network."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([_TITLES, *map(row, measured)])
    return text.getvalue()

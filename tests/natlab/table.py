"""
What was measured, as a table in reStructuredText.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from routing_crust.endpoints import PathKind

from .matrix import Pair, Try
from .router import Stray

_TITLES = {Stray.DROP: "that drop", Stray.REJECT: "that reject", Stray.ANSWER: "that answer"}


def cell(tries: Sequence[Try], expected: frozenset[PathKind]) -> str:
    """The path kinds and how often each was reached, and the median seconds to it and to the message."""
    path_kinds = Counter(each.path_kind.value if each.path_kind else "nothing" for each in tries)
    words = [kind if count == len(tries) else f"{count} {kind}" for kind, count in path_kinds.most_common()]
    linked, message = (
        median(times) for times in zip(*((each.linked, each.message) for each in tries), strict=True)
    )
    mark = "" if all(each.is_good(expected) for each in tries) else " **(not as it must be)**"
    return f"{', '.join(words)}, {linked:.2f} s, {message:.2f} s{mark}"


def table(
    pairs: Sequence[Pair], strays: Sequence[Stray], measured: Mapping[tuple[Pair, Stray], Sequence[Try]]
) -> str:
    """A row for each pair, a column for each kind of router."""
    lines = [".. list-table::", "   :header-rows: 1", "", "   * - Between"]
    lines += [f"     - Routers {_TITLES[each]}" for each in strays]
    for pair in pairs:
        lines.append(f"   * - {pair}")
        lines += [f"     - {cell(measured[pair, each], pair.expected)}" for each in strays]
    return "\n".join(lines)


def shares(cells: Iterable[Sequence[Try]]) -> str:
    """The share of all tries that reached each path kind."""
    path_kinds = Counter(
        each.path_kind.value if each.path_kind else "nothing" for tries in cells for each in tries
    )
    total = sum(path_kinds.values())
    words = ", ".join(f"{kind} {count / total:.0%}" for kind, count in path_kinds.most_common())
    return f"{total} tries: {words}"

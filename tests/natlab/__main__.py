"""
C{python -m tests.natlab}: the path kind that two nodes get in each pair of places, as a table for the
documentation.

The exit status is 0 only if every try ended as it must.
"""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import Final, NamedTuple

from .command import Command
from .matrix import Pair, Try, all_pairs, measure
from .router import Stray
from .table import cell, shares, table

_EXAMPLES: Final = """\
examples:
  python -m tests.natlab
  python -m tests.natlab --pairs 'symmetric - symmetric' --stray drop --tries 10
  python -m tests.natlab --delay 0 --stray reject
"""

SHOWN: Final = 300
"""Characters of a problem; C{--json} has all of them."""


class Measured(NamedTuple):
    """A cell of the table."""

    pair: Pair
    stray: Stray
    tries: list[Try]

    @property
    def is_good(self) -> bool:
        """Whether every try ended as it must."""
        return all(each.is_good(self.pair.expected) for each in self.tries)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure. Returns the exit status."""
    options = _command().read(arguments)
    pairs = [each for each in all_pairs() if options.pairs in str(each)]
    if not pairs:
        print(f"no pair has {options.pairs!r} in its name; see --list", file=sys.stderr)
        return 2
    if options.list:
        print(*pairs, sep="\n")
        return 0
    strays = [Stray(each) for each in options.stray] or list(Stray)
    cells = []
    for each in _measure(pairs, strays, options):
        cells.append(each)
        print(
            f"{each.pair!s:45} {each.stray.value:7} {cell(each.tries, each.pair.expected)}", file=sys.stderr
        )
    print(_json(cells) if options.json else table(pairs, strays, {each[:2]: each.tries for each in cells}))
    print(shares(each.tries for each in cells), file=sys.stderr)
    bad = [each for each in cells if not each.is_good]
    for each in bad:
        for one in each.tries:
            if not one.is_good(each.pair.expected):
                what = (
                    f"{one.path_kind and one.path_kind.value} after {one.linked:.2f} s; {one.problem[:SHOWN]}"
                )
                print(f"not as it must be: {each.pair}, {each.stray.value}: {what}", file=sys.stderr)
    return 1 if bad else 0


def _command() -> Command:
    command = Command(
        "tests.natlab",
        "Let two nodes behind each kind of router find each other: which path do they get?",
        _EXAMPLES,
    )
    command.add_choice("--pairs", "pairs")
    command.add_list("pairs")
    command.add_argument(
        "--stray",
        action="append",
        default=[],
        choices=[each.value for each in Stray],
        help="what routers do with what they do not let in (default: all, one after the other)",
    )
    command.add_tries(3)
    command.add_delay()
    command.add_jobs()
    command.add_argument("--json", action="store_true", help="print every try as JSON, and no table")
    return command


def _measure(pairs: list[Pair], strays: list[Stray], options: Namespace) -> Iterator[Measured]:
    def one(what: tuple[Pair, Stray]) -> Measured:
        return Measured(*what, measure(*what, options.delay / 1000, options.tries))

    with ThreadPoolExecutor(options.jobs) as threads:
        yield from threads.map(one, product(pairs, strays))


def _json(cells: list[Measured]) -> str:
    return json.dumps(
        [
            {
                "pair": str(each.pair),
                "stray": each.stray.value,
                "good": each.is_good,
                "rung": one.path_kind.value if one.path_kind else None,
                "linked": one.linked,
                "message": one.message,
                "problem": one.problem,
            }
            for each in cells
            for one in each.tries
        ],
        indent=1,
    )


if __name__ == "__main__":
    sys.exit(main())

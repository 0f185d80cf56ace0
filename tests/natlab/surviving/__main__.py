"""
C{python -m tests.natlab.surviving}: one download through a forward, while each kind of break is played; how
soon it goes on after each, as a table for the documentation.

The exit status is 0 only if every byte came, once and in order, and each pause was short enough.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ..lab import why_not
from ..router import Nat
from .breaks import DIRECT, KILLED, TUNNELLED, Break
from .download import Download
from .household import Household
from .program import NothingCame
from .table import Played, as_csv

MAX_PAUSE_SECONDS: Final = 3.0
"""From the return of the path to the next byte."""
_GOES_ON_SECONDS: Final = 120.0
_MIB: Final = 1 << 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure. Returns the exit status."""
    options = _parser().parse_args(arguments)
    problem = why_not(delay=True)
    if problem:
        print(f"no NATs can be had here: {problem}", file=sys.stderr)
        return 2
    chosen = [
        each
        for each in (*TUNNELLED, *DIRECT)
        if options.only in each.kind and not (options.short and each.long)
    ]
    # behind others that keep ports, a direct link outlives what its routers forget
    nat = Nat.SYMMETRIC if any(each in TUNNELLED for each in chosen) else Nat.PORT_RESTRICTED
    played: list[Played] = []
    with Household(nat) as household:
        size = int(options.size * _MIB)
        download = Download(household, size, options.rate * _MIB)
        for each in chosen:
            played.append(play(household, download, each, options.verbose))
            print(f"{played[-1].kind}: {played[-1].seconds:.2f} s", file=sys.stderr, flush=True)
        download.finish(max(600.0, options.size))
    print(f"{size} bytes came, once and in order, with {len(played)} breaks", file=sys.stderr)
    table = as_csv(played)
    if options.table is None:
        print(table, end="")
    else:
        options.table.write_text(table)
    return 1 if any(each.seconds > MAX_PAUSE_SECONDS for each in played) else 0


def play(household: Household, download: Download, each: Break, verbose: bool = False) -> Played:
    """
    Break the connection once, and see how soon it goes on.

    @param verbose: whether to print what the two daemons have logged meanwhile.
    @raise NothingCame: it does not.
    """
    began = time.monotonic()
    lines = {each: len(each.lines) for each in (household.alice, household.bob)}
    relay = household.alice.link(household.bob.name).get("via", "")
    back = each.play(household)
    try:
        download.flows(back, _GOES_ON_SECONDS)
    except NothingCame as problem:
        raise NothingCame(f"{each.kind}: {problem}\n{household.alice.lines[-30:]}") from None
    seconds = download.pause(began, back)
    if each.kind == KILLED:
        household.restart_relay(relay)
    if verbose:
        for daemon, count in lines.items():
            print(f"  {daemon.host}:", *daemon.lines[count:], sep="\n    ", file=sys.stderr)
    return Played(each.kind, seconds)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.natlab.surviving",
        description="Break the link of a download in every way: how soon does it go on?",
    )
    parser.add_argument("--table", type=Path, metavar="FILE", help="write the table there, as CSV")
    parser.add_argument(
        "--size", type=float, default=1024, metavar="MIB", help="of the download (default: %(default)g)"
    )
    parser.add_argument(
        "--rate",
        type=float,
        default=1,
        metavar="MIB",
        help="a second, while breaks are played; the rest comes as fast as it can (default: %(default)g)",
    )
    parser.add_argument("--only", metavar="TEXT", default="", help="only breaks with this text in their kind")
    parser.add_argument("--short", action="store_true", help="leave out breaks that last a minute or more")
    parser.add_argument("--verbose", action="store_true", help="print what the daemons log at each break")
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""
C{python -m tests.natlab.networks}: what two nodes have in each network that is hard on them, as a table for
the documentation.

The exit status is 0 only if everything was as it must be.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..lab import why_not
from .measure import Measured, measure
from .network import networks
from .table import as_csv, row


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure. Returns the exit status."""
    options = _parser().parse_args(arguments)
    problem = why_not(delay=True)
    if problem:
        print(f"no NATs can be had here: {problem}", file=sys.stderr)
        return 2
    chosen = [each for each in networks() if options.only in each.name]
    if options.list:
        print(*chosen, sep="\n")
        return 0
    measured: list[Measured] = []
    with ThreadPoolExecutor(options.jobs) as threads:
        for each in threads.map(measure, chosen):
            measured.append(each)
            print("; ".join(row(each)), each.first.problem[-400:], file=sys.stderr, flush=True)
    if options.table is None:
        print(as_csv(measured), end="")
    else:
        options.table.write_text(as_csv(measured))
    bad = [each.network.name for each in measured if not each.is_good]
    for name in bad:
        print(f"not as it must be: {name}", file=sys.stderr)
    print(f"{len(measured) - len(bad)} of {len(measured)} networks are as they must be", file=sys.stderr)
    return 1 if bad else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.natlab.networks",
        description="Let two nodes find each other in networks that are hard on them, and then change these.",
    )
    parser.add_argument("--only", metavar="TEXT", default="", help="only networks with this text in the name")
    parser.add_argument("--list", action="store_true", help="print the networks and measure nothing")
    parser.add_argument("--table", type=Path, metavar="FILE", help="write the table there, as CSV")
    parser.add_argument(
        "--jobs",
        type=int,
        default=os.cpu_count() or 1,
        metavar="N",
        help="at once (default: one for each core)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())

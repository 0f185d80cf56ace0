"""The command: C{python -m benchmarks}."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from .figures import FIGURES
from .measuring import Plan, Result, measure
from .processes import Worker
from .report import HEADING, line, write_json

FULL: Final = Plan(repeats=7, seconds=1.0)
QUICK: Final = Plan(repeats=3, seconds=0.2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print the table. Returns 0: whether goals are reached is in the table."""
    options = _parser().parse_args(arguments)
    plan = QUICK if options.quick else FULL
    if options.repeats is not None:
        plan = Plan(options.repeats, plan.seconds)
    chosen = [each for each in FIGURES if not options.only or each.name in options.only]
    spawn = partial(Worker, pin=options.pin, profile=options.profile)
    results: list[Result] = []
    print(HEADING)
    for figure in chosen:
        if not figure.can_be_measured:
            print(f"{figure.name:<15} not measured: {figure.needs} is not installed")
            continue
        results.append(measure(figure, plan, spawn))
        print(line(results[-1]), flush=True)
        if options.json is not None:
            write_json(options.json, plan, results)
    return 0


def _parser() -> argparse.ArgumentParser:
    names = [each.name for each in FIGURES]
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="three samples of 0.2 s each, to see that it works"
    )
    parser.add_argument("--only", action="append", choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--repeats", type=_positive, metavar="N", help="how many samples of each side (7)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write all samples")
    parser.add_argument(
        "--pin", action="store_true", help="give each process a core of its own, if these are idle"
    )
    parser.add_argument(
        "--profile", metavar="PREFIX", help="write a profile of each process; distorts the figures"
    )
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1 is needed")
    return number


if __name__ == "__main__":
    sys.exit(main())

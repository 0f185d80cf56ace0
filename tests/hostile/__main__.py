"""
C{python -m tests.hostile}: play hostile behaviours against a live daemon, and print a table of the outcomes.

Each behaviour has a daemon of its own, with default settings. The exit status is 0 only if no daemon died and
every honest newcomer got in within five seconds.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from . import (  # noqa: F401  they add their behaviours
    breaches,
    breaches_of_attached,
    breaches_of_doors,
    breaches_of_streams,
    floods,
    floods_of_doors,
    floods_of_links,
)
from .behaviour import BEHAVIOURS, Behaviour
from .measure import Outcome, Stage

MAX_JOIN_SECONDS: Final = 5.0
HEAD: Final = (
    "behaviour", "reaction", "memory", "core", "descriptors", "ping", "newcomers", "slowest", "log",
)  # fmt: skip


def row(behaviour: Behaviour, outcome: Outcome) -> tuple[str, ...]:
    """A line of the table."""
    tried = len(outcome.joins) + len(outcome.waiting)
    return (
        f"{behaviour.name}: {behaviour.what}",
        outcome.reactions[0][:48],
        f"{outcome.memory / 2**20:+.1f} MiB",
        f"{100 * outcome.processor:.0f} %",
        f"{outcome.descriptors:+d}",
        f"{1000 * outcome.ping:.1f} ms" + (f", {outcome.failed_pings} lost" if outcome.failed_pings else ""),
        f"{len(outcome.joins)} of {tried}" if tried else "-",
        f"{max(*outcome.joins, *outcome.waiting, 0.0, 0.0):.1f} s" if tried else "-",
        f"yes, {outcome.explanations}" if outcome.explanations else "no",
    )


def as_text(rows: Sequence[tuple[str, ...]]) -> str:
    """The table for a terminal."""
    short = [HEAD, *((each[0].partition(":")[0], *each[1:]) for each in rows)]
    widths = [max(len(each[column]) for each in short) for column in range(len(HEAD))]
    return "\n".join("  ".join(map(str.ljust, each, widths)).rstrip() for each in short)


def update_table(path: Path, rows: Sequence[tuple[str, ...]]) -> None:
    """
    Write the table of the documentation. What it has of behaviours that were not played stays, if there still
    are such behaviours.
    """
    kept: dict[str, tuple[str, ...]] = {}
    if path.exists():
        with path.open(encoding="utf-8", newline="") as file:
            _, *old = csv.reader(file)
        kept = {each[0].partition(":")[0]: tuple(each) for each in old}
    kept |= {each[0].partition(":")[0]: each for each in rows}
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEAD)
        writer.writerows(kept[name] for name in BEHAVIOURS if name in kept)


async def play(options: argparse.Namespace) -> int:
    """Play the chosen behaviours one after the other."""
    rows, bad = [], []
    for name in options.only or BEHAVIOURS:
        behaviour = BEHAVIOURS[name]
        stage = Stage(options.private)
        try:
            await stage.begin()
            await stage.settle()
            outcome = await stage.play([behaviour], options.seconds, newcomers=behaviour.flood)
        finally:
            await stage.end()
        rows.append(row(behaviour, outcome))
        if max((*outcome.joins, *outcome.waiting), default=0.0) > MAX_JOIN_SECONDS:
            bad.append(name)
        print(as_text(rows[-1:]).split("\n")[1], file=sys.stderr, flush=True)
        if options.log:
            print("\n".join(outcome.log), file=sys.stderr)
    if options.table:
        update_table(options.table, rows)
    print(as_text(rows))
    if bad:
        print(f"honest newcomers were kept out by: {', '.join(bad)}")
    return 1 if bad else 0


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description="play hostile behaviours")
    parser.add_argument(
        "--only", action="append", choices=BEHAVIOURS, metavar="NAME", help="only this one; may be repeated"
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="how long a flood lasts (default 10)")
    parser.add_argument(
        "--table", type=Path, metavar="FILE", help="write the table of the documentation, docs/behaviours.csv"
    )
    parser.add_argument("--log", action="store_true", help="print what the daemon logged")
    parser.add_argument("--private", action="store_true", help="in a private network, without a certificate")
    parser.add_argument("--list", action="store_true", help="only say what there is")
    options = parser.parse_args(arguments)
    if options.list:
        print("\n".join(f"{each.name}: {each.what}" for each in BEHAVIOURS.values()))
        return
    status: list[int] = []

    async def run(_: object) -> None:
        status.append(await play(options))

    react(lambda reactor: Deferred.fromCoroutine(run(reactor)))
    sys.exit(status[0] if status else 1)


if __name__ == "__main__":
    main()

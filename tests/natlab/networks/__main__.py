"""
C{python -m tests.natlab.networks}: what two nodes have in each network that is hard on them, as a table for
the documentation.

The exit status is 0 only if everything was as it must be.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from ..command import Command
from .measure import Measured, measure
from .network import networks
from .table import as_csv, row


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure. Returns the exit status."""
    options = _command().read(arguments)
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


def _command() -> Command:
    command = Command(
        "tests.natlab.networks",
        "Let two nodes find each other in networks that are hard on them, and then change these.",
    )
    command.add_choice("--only", "networks")
    command.add_list("networks")
    command.add_table()
    command.add_jobs()
    return command


if __name__ == "__main__":
    sys.exit(main())

"""
What the commands of the laboratory have in common: arguments that several of them take, and that they stop
where there can be no laboratory.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from .lab import why_not

CANNOT_RUN: Final = 2
"""The exit status where something is missing, as that of wrong arguments."""


class Command(argparse.ArgumentParser):
    """Reads the arguments of one command."""

    def __init__(self, module: str, description: str, epilog: str | None = None) -> None:
        super().__init__(
            prog=f"python -m {module}",
            description=description,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def add_choice(self, flag: str, what: str) -> None:
        """Which of all are measured."""
        self.add_argument(flag, metavar="TEXT", default="", help=f"only {what} with this text in their names")

    def add_list(self, what: str) -> None:
        """C{--list}."""
        self.add_argument("--list", action="store_true", help=f"print the {what} and measure nothing")

    def add_tries(self, number: int) -> None:
        """C{--tries}."""
        self.add_argument(
            "--tries", type=int, default=number, metavar="N", help="of each (default: %(default)s)"
        )

    def add_delay(self) -> None:
        """C{--delay}."""
        self.add_argument(
            "--delay",
            type=float,
            default=10.0,
            metavar="MS",
            help="of each access to the internet, one way (default: %(default)g); a round trip has four",
        )

    def add_jobs(self) -> None:
        """C{--jobs}."""
        self.add_argument(
            "--jobs",
            type=int,
            default=os.cpu_count() or 1,
            metavar="N",
            help="at once (default: one for each core)",
        )

    def add_table(self) -> None:
        """C{--table}."""
        self.add_argument("--table", type=Path, metavar="FILE", help="write the table there, as CSV")

    def read(self, arguments: Sequence[str] | None) -> argparse.Namespace:
        """
        Read the arguments.

        @raise SystemExit: they are wrong, or there can be no laboratory here.
        """
        options = self.parse_args(arguments)
        # a command that cannot choose the delay always has one
        problem = why_not(delay=getattr(options, "delay", 1.0) > 0)
        if problem:
            self.exit(CANNOT_RUN, f"no NATs can be had here: {problem}\n")
        return options

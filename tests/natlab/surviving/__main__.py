"""
C{python -m tests.natlab.surviving}: one download through a forward, or several programs of others, while each
kind of break is played; how soon they go on after each, as a table for the documentation.

The exit status is 0 only if every byte came, once and in order, and each pause was short enough.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final

from ..command import CANNOT_RUN, Command
from ..router import Nat
from .breaks import DIRECT, KILLED, TUNNELLED, Break
from .download import Download
from .household import Household
from .program import NothingCame
from .servers import PORTS, Servers, why_not
from .sessions import SESSIONS
from .table import Played, as_csv
from .traffic import Traffic

MAX_PAUSE_SECONDS: Final = 3.0
"""From the return of the path to the next byte."""
_GOES_ON_SECONDS: Final = 120.0
_MIB: Final = 1 << 20
_CUT: Final = re.compile("waiting for another one|resumed over another link")
"""What a daemon says of streams whose link is lost."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure. Returns the exit status."""
    options = _command().read(arguments)
    problem = why_not() if options.programs else ""
    if problem:
        print(f"the programs cannot be run: {problem}", file=sys.stderr)
        return CANNOT_RUN
    chosen = [
        each
        for each in ((*TUNNELLED, *DIRECT) if not options.direct else DIRECT)
        if options.only in each.kind and not (options.short and each.long)
    ]
    # behind others that keep ports, a direct link outlives what its routers forget
    nat = Nat.SYMMETRIC if any(each in TUNNELLED for each in chosen) else Nat.PORT_RESTRICTED
    played: list[Played] = []
    with ExitStack() as stack:
        household = stack.enter_context(Household(nat, others=PORTS if options.programs else None))
        traffic: list[Traffic] = []
        if options.programs:
            servers = Servers(household, stack)
            traffic += [each(household, servers) for each in SESSIONS]
        else:
            traffic.append(Download(household, int(options.size * _MIB), options.rate * _MIB))
        for each in chosen:
            played.append(play(household, traffic, each, options.verbose))
            said = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in played[-1].seconds.items())
            print(f"{each.kind}: {said}", file=sys.stderr, flush=True)
        for program in traffic:
            program.finish(max(600.0, options.size))
            print(f"{program.label}: {program.came} came, once and in order", file=sys.stderr, flush=True)
    print(f"there were {len(played)} breaks", file=sys.stderr)
    table = as_csv(played)
    if options.table is None:
        print(table, end="")
    else:
        options.table.write_text(table)
    return 1 if any(each.longest > MAX_PAUSE_SECONDS for each in played) else 0


def play(household: Household, traffic: Sequence[Traffic], each: Break, verbose: bool = False) -> Played:
    """
    Break the connection once, and see how soon everything on it goes on.

    @param verbose: whether to print what the two daemons have logged meanwhile.
    @raise NothingCame: it does not.
    @raise AssertionError: the link was cut, which it must not be.
    """
    began = time.monotonic()
    lines = {each: len(each.lines) for each in (household.alice, household.bob)}
    relay = household.alice.link(household.bob.name).get("via", "")
    back = each.play(household)
    try:
        for program in traffic:
            program.flows(back, _GOES_ON_SECONDS)
    except NothingCame as problem:
        raise NothingCame(f"{each.kind}: {problem}\n{household.alice.lines[-30:]}") from None
    if each.spares_link:
        cut = [line for daemon, count in lines.items() for line in daemon.lines[count:] if _CUT.search(line)]
        assert not cut, f"{each.kind}: {cut}"
    seconds = {program.label: program.pause(began, back) for program in traffic}
    if each.kind == KILLED:
        household.restart_relay(relay)
    if verbose:
        for daemon, count in lines.items():
            print(f"  {daemon.host}:", file=sys.stderr)
            for at, line in list(zip(daemon.times, daemon.lines, strict=True))[count:]:
                print(f"    {at - back:+8.3f} {line}", file=sys.stderr)
    return Played(each.kind, seconds)


def _command() -> Command:
    command = Command(
        "tests.natlab.surviving",
        "Break the link of a forward in every way: how soon does what goes on over it go on?",
    )
    command.add_table()
    command.add_argument(
        "--size", type=float, default=1024, metavar="MIB", help="of the download (default: %(default)g)"
    )
    command.add_argument(
        "--rate",
        type=float,
        default=1,
        metavar="MIB",
        help="a second, while breaks are played; the rest comes as fast as it can (default: %(default)g)",
    )
    command.add_argument(
        "--programs",
        action="store_true",
        help="no download, but an interactive ssh, a psql transaction, an scp and a WebSocket at once",
    )
    command.add_choice("--only", "breaks")
    command.add_argument("--short", action="store_true", help="leave out breaks that last a minute or more")
    command.add_argument("--direct", action="store_true", help="leave out breaks of tunnels")
    command.add_argument(
        "--verbose",
        action="store_true",
        help="print what the daemons log at each break, with seconds since the path was back",
    )
    return command


if __name__ == "__main__":
    sys.exit(main())

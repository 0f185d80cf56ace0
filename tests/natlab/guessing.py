"""
C{python -m tests.natlab.guessing}: a symmetric NAT and a port-restricted one, with real daemons and a
connection through a forward between them; how soon its tunnel is replaced by guessing ports, and by how many.

The exit status is 0 only if each tunnel was replaced. It is no test of the suite, since the two have six
seconds for it, once in an hour, which a busy machine may let pass.
"""

from __future__ import annotations

import re
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from statistics import median
from typing import Final

from .command import Command
from .lab import Lab
from .namespaces import PATIENCE
from .router import Nat, Router, Stray
from .surviving.household import FORWARDED, SERVED, Daemon, Household
from .surviving.program import NothingCame

GIVEN_SECONDS: Final = 60.0
"""From the program's connection to the link."""
NO_LINK: Final = float("inf")
_EXAMPLES: Final = """\
examples:
  python -m tests.natlab.guessing
  python -m tests.natlab.guessing --tries 20 --delay 50
  python -m tests.natlab.guessing --stray-at-symmetric reject
"""


@dataclass(frozen=True, slots=True)
class Guessed:
    """
    One try.

    @ivar seconds: from the program's connection to the link that replaced the tunnel; C{NO_LINK} for none.
    @ivar opened: ports that the symmetric end opened.
    @ivar guessed: ports that the other end guessed.
    """

    seconds: float
    opened: int
    guessed: int

    def __str__(self) -> str:
        what = "no link" if self.seconds == NO_LINK else f"{self.seconds:.1f} s"
        return f"{what}, {self.opened} ports opened, {self.guessed} guessed"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure. Returns the exit status."""
    options = _command().read(arguments)
    tries: list[Guessed] = []
    for _ in range(options.tries):
        homes = {
            "alice": Router(Nat.SYMMETRIC, stray=Stray(options.stray_at_symmetric)),
            "bob": Router(Nat.PORT_RESTRICTED, stray=Stray(options.stray_at_other)),
        }
        with Household(Nat.PORT_RESTRICTED, options.delay / 1000, homes=homes) as household:
            tries.append(play(household))
        print(tries[-1], flush=True)
    good = [each for each in tries if each.seconds != NO_LINK]
    print(f"{len(good)} of {len(tries)} tunnels were replaced")
    if good:
        seconds, ports = median(each.seconds for each in good), median(each.guessed for each in good)
        print(f"medians of these: {seconds:.1f} s, {ports:.0f} ports guessed")
    return 0 if len(good) == len(tries) else 1


def play(household: Household) -> Guessed:
    """Use the tunnel between the two, and see what becomes of it."""
    alice, bob = household.alice, household.bob
    with closing(household.lab.socket("bob")) as program:
        program.bind(("127.0.0.1", SERVED))
        program.listen()
        with closing(_connection(household.lab)):
            began = time.monotonic()
            try:
                alice.wait(rf" {bob.name} .*punched", GIVEN_SECONDS)
                seconds = time.monotonic() - began
            except NothingCame:
                seconds = NO_LINK
            return Guessed(seconds, _ports(alice, bob), _ports(bob, alice))


def _connection(lab: Lab) -> socket.socket:
    """A program's connection through the forward, once that listens; it stays open."""
    end = time.monotonic() + PATIENCE
    while True:
        own = lab.socket("alice")
        try:
            own.connect(("127.0.0.1", FORWARDED))
            return own
        except ConnectionRefusedError:
            own.close()
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def _ports(daemon: Daemon, peer: Daemon) -> int:
    """How many ports a daemon says that it has opened or guessed for its peer."""
    said = [re.match(r"(\d+) ports were ", each["outcome"]) for each in daemon.explain(peer.name)["attempts"]]
    return sum(int(each.group(1)) for each in said if each)


def _command() -> Command:
    command = Command(
        "tests.natlab.guessing",
        "Replace the tunnel between a symmetric NAT and a port-restricted one by guessing ports.",
        _EXAMPLES,
    )
    command.add_tries(8)
    command.add_delay()
    for end in ("symmetric", "other"):
        command.add_argument(
            f"--stray-at-{end}",
            choices=[each.value for each in Stray],
            default=Stray.DROP.value,
            help="what that router does with what it does not let in (default: %(default)s)",
        )
    return command


if __name__ == "__main__":
    sys.exit(main())

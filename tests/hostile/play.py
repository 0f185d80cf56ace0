"""
Behaviours in a process of their own, all at once. The arguments are their names, with commas, the host, port,
network and name of their target, the name of an honest node, and seconds.

It prints the daemon's reactions, a line each. The client blocks, so it must not run in the process that
measures.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor

from . import breaches, breaches_of_streams, floods, floods_of_links  # noqa: F401  they add their behaviours
from .behaviour import BEHAVIOURS, SOURCES, Target
from .keys import name_of


def main(arguments: list[str]) -> None:
    """Play them, and print the reactions."""
    names, host, port, network, target, other, seconds = arguments
    end = time.monotonic() + float(seconds)

    def play(numbered: tuple[int, str]) -> str:
        number, name = numbered
        source = f"{SOURCES}.{number}.6"  # no two share a limit by prefix
        return BEHAVIOURS[name].play(
            Target((host, int(port)), network, name_of(target), name_of(other), end, source)
        )

    chosen = names.split(",")
    with ThreadPoolExecutor(len(chosen)) as threads:
        for reaction in threads.map(play, enumerate(chosen)):
            print(reaction)


if __name__ == "__main__":
    main(sys.argv[1:])

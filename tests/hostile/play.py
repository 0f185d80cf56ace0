"""
Behaviours in a process of their own, all at once. The arguments are their names, with commas, the host, port,
network and name of their target, the name of an honest node, seconds, and the ports of its proxy and of its
forwarded UDP.

It prints the daemon's reactions, a line each. The client blocks, so it must not run in the process that
measures.
"""

from __future__ import annotations

import resource
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from . import (  # noqa: F401  they add their behaviours
    breaches,
    breaches_of_attached,
    breaches_of_doors,
    breaches_of_streams,
    floods,
    floods_of_doors,
    floods_of_links,
)
from .behaviour import BEHAVIOURS, SOURCES, Target
from .keys import name_of


def main(arguments: list[str]) -> None:
    """Play them, and print the reactions."""
    names, host, port, network, target, other, seconds, *ports = arguments
    proxy, forwarded = (("127.0.0.1", int(each)) for each in ports)
    # all floods at once hold more than the usual thousand
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    end = time.monotonic() + float(seconds)

    def play(numbered: tuple[int, str]) -> str:
        number, name = numbered
        source = f"{SOURCES}.{number}.6"  # no two share a limit by prefix
        return BEHAVIOURS[name].play(
            Target(
                (host, int(port)),
                network,
                name_of(target),
                name_of(other),
                end,
                source,
                proxy=proxy,
                forwarded=forwarded,
            )
        )

    chosen = names.split(",")
    with ThreadPoolExecutor(len(chosen)) as threads:
        for reaction in threads.map(play, enumerate(chosen)):
            print(reaction)


if __name__ == "__main__":
    main(sys.argv[1:])

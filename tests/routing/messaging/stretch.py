"""
How much longer a message by name takes than one straight to its destination, in a simulated internet.

As a command it grows a network on four continents, sends messages between pairs that have no link with each
other by the tables as they are, and prints a row for the documentation::

    python -m tests.routing.messaging.stretch 300
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from statistics import mean, median

from routing_crust import Name
from routing_crust.routing.core import RoutingCore
from routing_crust.routing.messaging.near_hops import NearHops
from routing_crust.testing import Regions, SimulatedNetwork, SimulatedNode

ARRIVALS_PER_SECOND = 10
SETTLED_SECONDS = 120.0
PAIRS = 1_000
MAX_HOPS = 20

Choice = Callable[[RoutingCore, Name], Name | None]


def by_name_alone(core: RoutingCore, goal: Name) -> Name | None:
    """The next hop of greedy routing."""
    entry = core.table.next_hop(goal)
    return None if entry is None else entry.name


def by_round_trips(core: RoutingCore, goal: Name) -> Name | None:
    """The next hop that the forwarder takes."""
    return NearHops(core.table, core.links).next_hop(goal)


class Earth:
    """Such a network, joined and at rest."""

    def __init__(self, nodes: int, settled: float = SETTLED_SECONDS, seed: int = 0) -> None:
        self.regions = Regions()
        self.network = SimulatedNetwork(seed, latency=self.regions)
        self.network.node()
        for _ in range(nodes - 1):
            self.network.run_for(1 / ARRIVALS_PER_SECOND)
            self.network.node()
        self.network.run_until(self.network.joined, 600, every=1.0)
        self.network.run_for(settled)
        self._nodes = {node.name: node for node in self.network}

    def pairs(self, count: int) -> list[tuple[SimulatedNode, SimulatedNode]]:
        """Pairs of nodes without a link."""
        found: list[tuple[SimulatedNode, SimulatedNode]] = []
        while len(found) < count:
            here, there = self.network.random.sample(self.network.all, 2)
            if here.core is not None and here.core.links.link_to(there.name) is None:
                found.append((here, there))
        return found

    def way(self, start: SimulatedNode, goal: SimulatedNode, choose: Choice) -> tuple[int, float]:
        """How many links a message takes, and how many seconds, as there are between the hosts."""
        here, hops, seconds = start, 0, 0.0
        while here is not goal:
            assert here.core is not None
            name = choose(here.core, goal.name)
            if name is None or hops == MAX_HOPS:
                raise AssertionError(f"no way from {start} to {goal}")
            there = self._nodes[name]
            seconds += self.regions.one_way(here.host, there.host)
            here, hops = there, hops + 1
        return hops, seconds


def main(arguments: list[str]) -> None:
    """Grow networks of these sizes, and measure them."""
    for nodes in (int(each) for each in arguments or ["100"]):
        earth = Earth(nodes)
        pairs = earth.pairs(PAIRS)
        direct = [earth.regions.one_way(here.host, there.host) for here, there in pairs]
        for word, choose in (("by name alone", by_name_alone), ("by round trips", by_round_trips)):
            ways = [earth.way(here, there, choose) for here, there in pairs]
            seconds = [each for _, each in ways]
            shares = [each / least for each, least in zip(seconds, direct, strict=True)]
            print(
                f"{nodes} nodes, {word}: {mean(hops for hops, _ in ways):.2f} hops, "
                f"{1000 * mean(seconds):.0f} ms ({1000 * mean(direct):.0f} ms direct), "
                f"stretch {mean(seconds) / mean(direct):.2f}, median {median(shares):.2f}"
            )


if __name__ == "__main__":
    main(sys.argv[1:])

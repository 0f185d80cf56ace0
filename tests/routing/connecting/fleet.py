"""
A fleet: nodes behind symmetric NATs, none of which can be punched, and a public member that carries all of
their tunnels. C{python -m tests.routing.connecting.fleet 50} opens a stream between every two of 50, both
ways and all at once, and tells how long that took.
"""

from __future__ import annotations

import sys
from typing import Any, Final

from twisted.internet.protocol import Factory, Protocol

from routing_crust import RoutingService, Settings
from routing_crust.streams import streams_of
from routing_crust.testing import SYMMETRIC, SimulatedNetwork, SimulatedNode

PROTOCOL: Final = "fleet"


class Fleet:
    """
    The simulated network with all of them.

    @ivar took: for each pair whose stream is open the seconds that it took.
    @ivar problems: why others failed.
    """

    def __init__(
        self,
        size: int,
        seed: int = 1,
        latency: float | None = None,
        places: int = Settings().max_same_prefix_in_table,
        **relay: Any,
    ) -> None:
        """
        @param latency: between any two hosts, in seconds; the default is 10 to 50 ms.
        @param places: how many of the others may be in a node's table.
        @param relay: settings of the public member.
        """
        self.network = SimulatedNetwork(seed=seed, latency=latency, internet=True)
        self.relay = self.network.node(setup=self._serve, **relay)
        self.nodes = [
            self.network.node(nat=SYMMETRIC, setup=self._serve, max_same_prefix_in_table=places)
            for _ in range(size)
        ]
        self.took: dict[tuple[SimulatedNode, SimulatedNode], float] = {}
        self.problems: list[str] = []

    @staticmethod
    def _serve(service: RoutingService) -> None:
        streams_of(service).listen(PROTOCOL, Factory.forProtocol(Protocol))

    @property
    def pairs(self) -> list[tuple[SimulatedNode, SimulatedNode]]:
        """All pairs, both ways."""
        return [(one, other) for one in self.nodes for other in self.nodes if one is not other]

    @property
    def carried(self) -> int:
        """How many tunnels the public member carries."""
        assert self.relay.core is not None
        return self.relay.core.crust._tunnels.carried  # type: ignore[attr-defined, no-any-return]

    def settle(self, seconds: float) -> None:
        """Let them join, and make what tunnels their routing tables want."""
        self.network.run_for(seconds)

    def open(self, one: SimulatedNode, other: SimulatedNode) -> None:
        """Open a stream."""
        began = self.network.clock.seconds()

        def opened(_: Any) -> None:
            self.took[one, other] = self.network.clock.seconds() - began

        stream = streams_of(one.service).open(other.name, PROTOCOL, Factory.forProtocol(Protocol))
        stream.addCallbacks(opened, lambda failure: self.problems.append(failure.getErrorMessage()))

    def open_all(self) -> None:
        """Open a stream for every pair at once."""
        for pair in self.pairs:
            self.open(*pair)


def main(arguments: list[str]) -> None:
    """Try a fleet of some size, with some seed."""
    size = int(arguments[0]) if arguments else 50
    seed = int(arguments[1]) if arguments[1:] else 1
    fleet = Fleet(size, seed)
    fleet.settle(40)
    print(f"{size} nodes, {fleet.carried} tunnels for their tables", flush=True)
    fleet.open_all()
    fleet.network.run_for(10)
    last = max(fleet.took.values())
    print(f"{len(fleet.took)} of {len(fleet.pairs)} streams open, the last after {last:.2f} s")
    print(f"{fleet.carried} tunnels, {len(fleet.problems)} failures")


if __name__ == "__main__":
    main(sys.argv[1:])

"""
Where nodes are at home: by chance on the internet, or behind a NAT or firewall of any kind, alone, with
others, or behind two of them.
"""

from __future__ import annotations

from random import Random
from typing import Final

from ..memory.internet import Router
from ..memory.nat import FIREWALL, FULL_CONE, HAIRPIN, PORT_RESTRICTED, RESTRICTED, SYMMETRIC, Nat
from ..simulation import SimulatedNetwork

PUBLIC: Final = 3
"""The first nodes are public: without a node that can be dialled no other could join."""
KINDS: Final = (FULL_CONE, RESTRICTED, PORT_RESTRICTED, HAIRPIN, SYMMETRIC, FIREWALL)
WEIGHTS: Final = (3, 3, 6, 2, 4, 3)
SHARED: Final = 0.2
"""The share of nodes behind NATs that stand behind one that is there already."""
DOUBLE: Final = 0.15
"""The share that stands behind two."""


class Homes:
    """
    Made with a network, asked once for each of its nodes.

    @ivar routers: all boxes that nodes stand behind, oldest first.
    """

    def __init__(self, network: SimulatedNetwork, seed: int, share: float) -> None:
        """
        @param share: of the nodes that stand behind something, 0 to 1.
        """
        self.routers: list[Router] = []
        self._network = network
        self._random = Random(f"homes of {seed}")  # whatever else is drawn is the same without NATs
        self._share = share
        self._nodes = 0

    def next(self) -> Router | None:
        """What the next node stands behind; C{None} for nothing."""
        self._nodes += 1
        random = self._random
        if self._nodes <= PUBLIC or random.random() >= self._share:
            return None
        if self.routers and random.random() < SHARED:
            return random.choice(self.routers)
        outer = self._network.nat(self._kind()) if random.random() < DOUBLE else None
        router = self._network.nat(self._kind(), outer)
        # only the inner one: others share a home, and not its provider's NAT
        self.routers.append(router)
        return router

    def _kind(self) -> Nat:
        return self._random.choices(KINDS, WEIGHTS)[0]

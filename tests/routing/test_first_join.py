"""The first minute of a network of two: one founds it, and one behind a NAT comes."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.testing.memory.nat import PORT_RESTRICTED
from routing_crust.testing.simulation import SimulatedNetwork

JOIN_SECONDS = 1.4
"""Some round trips of 20 to 100 ms each, and the wait for the first round, 0.75 s at most."""


class FirstJoinTests(SynchronousTestCase):
    def test_node_behind_a_nat_is_a_member_soon(self) -> None:
        """Neither end waits for a dial that the NAT does not let in."""
        for seed in range(6):  # which of the two decides depends on their names
            net = SimulatedNetwork(seed=seed, internet=True)
            self.addCleanup(net.stop)
            net.node()
            net.run_for(5)
            began = net.clock.now
            node = net.node(nat=PORT_RESTRICTED)
            net.run_until(lambda node=node: node.connected)  # type: ignore[misc]
            self.assertLess(net.clock.now - began, JOIN_SECONDS, seed)

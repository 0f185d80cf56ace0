"""Two nodes that know only each other, started together, as on a local network after a power cut."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from routing_crust import Contact, Role, Settings
from routing_crust.endpoints import Endpoint
from routing_crust.routing.events import LinkGained, LinkLost
from routing_crust.testing.identity import KeyRing, SimulatedIdentity
from routing_crust.testing.latency import Uniform
from tests.routing.net import Net

STARTS = 200
"""Seeded starts. In most of them the two dial each other at about the same time."""
PLACES = (Endpoint("198.18.0.1", 5483), Endpoint("198.18.0.2", 5483))


class ColdStartTests(SynchronousTestCase):
    def test_two_nodes_that_know_only_each_other_never_lose_their_link(self) -> None:
        """The second direction comes up while the first is the link of the proxy, which must live."""
        lost = {seed: losses for seed in range(STARTS) if (losses := self.losses(seed))}
        self.assertEqual(lost, {})

    def losses(self, seed: int) -> list[LinkLost]:
        """Start two nodes, until each is in the other's table; what links they lose."""
        net = Net(seed)
        net.network.latency = Uniform(0.001, 0.05)
        ring = KeyRing()
        identities = [SimulatedIdentity(ring, net.random.randbytes(32)) for _ in PLACES]
        gained: list[LinkGained] = []
        lost: list[LinkLost] = []
        for own, other in ((0, 1), (1, 0)):
            settings = Settings(
                role=Role.NODE,
                lan_discovery=False,
                contacts=(Contact(PLACES[other], identities[other].name),),
            )
            node = net.make(identities[own], settings, endpoints=(PLACES[own],))
            node.observe(LinkGained, gained.append)
            node.observe(LinkLost, lost.append)
            net.nodes.append(node)
            net.clock.callLater(net.random.uniform(0, 0.3), node.startService)
        net.settle(0.3)
        net.run(lambda: all(len(each.status()["table"]) == 1 for each in net.nodes), 60)
        net.settle(3)  # what is left of the attempts comes to its end
        self.assertEqual([len(each.status()["links"]) for each in net.nodes], [1, 1])
        self.assertEqual(len(gained), 2)
        losses = list(lost)
        net.stop()
        return losses

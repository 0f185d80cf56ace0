"""What nodes find out of how others can reach them, in simulated networks on the internet."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.testing.memory.nat import FIREWALL, FULL_CONE, PORT_RESTRICTED, SYMMETRIC, Nat
from routing_crust.testing.simulation import SimulatedNetwork


class VerdictTests(SynchronousTestCase):
    def verdicts(self, net: SimulatedNetwork) -> set[tuple[object, object]]:
        found = (each.service.status() for each in net)
        return {(each["nat"], each["dialable"]) for each in found}

    def test_public_nodes_know_within_25_seconds_that_they_can_be_dialled(self) -> None:
        """They are all linked with each other, so that none is a stranger to another."""
        net = SimulatedNetwork(seed=3, internet=True)
        self.addCleanup(net.stop)
        for _ in range(12):
            net.node()
            net.run_for(0.3)
        net.run_for(25)
        self.assertEqual(self.verdicts(net), {("open", "yes")})

    def test_nodes_behind_filters_know_within_a_minute_that_they_cannot_be_dialled(self) -> None:
        """A node that could be asked is linked with them already, so its failure means even more."""
        expected: dict[Nat, str] = {PORT_RESTRICTED: "cone", SYMMETRIC: "symmetric", FIREWALL: "cone"}
        for kind, nat in expected.items():
            net = SimulatedNetwork(seed=4, internet=True)
            self.addCleanup(net.stop)
            net.nodes(3)
            net.run_until(net.joined)
            node = net.node(nat=kind)
            net.run_for(60)
            status = node.service.status()
            self.assertEqual((status["nat"], status["dialable"]), (nat, "no"), kind.name)

    def test_node_behind_a_full_cone_does_not_believe_that_it_cannot_be_dialled(self) -> None:
        net = SimulatedNetwork(seed=4, internet=True)
        self.addCleanup(net.stop)
        net.nodes(3)
        net.run_until(net.joined)
        node = net.node(nat=FULL_CONE)
        net.run_for(60)
        self.assertNotEqual(node.service.status()["dialable"], "no")

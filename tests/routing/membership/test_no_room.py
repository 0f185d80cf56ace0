"""What becomes of nodes that have no place in a routing table, since too many behind their NAT have one."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.routing.core import RoutingCore
from routing_crust.routing.events import GroupConnectedChanged, LinkLost
from routing_crust.testing.host import SimulatedNode
from routing_crust.testing.memory.nat import PORT_RESTRICTED
from routing_crust.testing.play.scenario import groups_are_right
from routing_crust.testing.simulation import SimulatedNetwork


def core_of(node: SimulatedNode) -> RoutingCore:
    """What a node is made of."""
    assert node.core is not None
    return node.core


class NoRoomTests(SynchronousTestCase):
    """Five nodes behind one NAT, and three on the internet, in whose buckets is room for two of them."""

    def setUp(self) -> None:
        self.net = SimulatedNetwork(seed=3, internet=True)
        self.addCleanup(self.net.stop)
        self.public = self.net.nodes(3)
        router = self.net.nat(PORT_RESTRICTED)
        self.inside = [self.net.node(nat=router) for _ in range(5)]
        self.net.run_until(lambda: self.net.joined() and groups_are_right(self.net), 60)
        self.net.run_for(60)
        self.pairs = [
            (one, other)
            for one in self.inside
            for other in self.public
            if other.name not in core_of(one).table and one.name not in core_of(other).table
        ]
        self.assertTrue(self.pairs)

    def test_group_is_reached_without_the_members_that_have_no_room(self) -> None:
        """Each has the neighbours that it can have: that does not change each time they ask again."""
        changes: list[GroupConnectedChanged] = []
        for node in self.net:
            node.service.observe(GroupConnectedChanged, changes.append)
        self.net.run_for(600)
        self.assertEqual(changes, [])
        self.assertTrue(self.net.joined())

    def test_requested_link_outlives_a_refused_membership(self) -> None:
        """It stays, and is not taken away when they ask to be neighbours."""
        one, other = self.pairs[0]
        lost: list[LinkLost] = []
        one.service.observe(LinkLost, lost.append)
        self.net.result_of(one.service.connect(other.name))
        self.net.run_for(600)
        self.assertIsNotNone(core_of(one).links.link_to(other.name))
        self.assertEqual([each for each in lost if each.link.name == other.name], [])
        self.assertTrue(self.net.joined())

    def test_place_that_becomes_free_goes_to_another(self) -> None:
        """When one of those who have a place is gone, another gets it."""
        outside = core_of(self.pairs[0][1])
        for node in self.inside:
            if node.name in outside.table:
                node.stop()
        self.net.run_until(lambda: self.pairs[0][0].name in outside.table, 200)

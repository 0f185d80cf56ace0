"""A crowd that joins at once: in the end every node can reach every other."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from routing_crust import RoutingService
from routing_crust.routing.envelopes import MAX_HOPS
from tests.routing.net import Net


def reaches(start: RoutingService, goal: RoutingService, nodes: dict[object, RoutingService]) -> bool:
    """Whether greedy routing leads from one node to another."""
    here = start
    for _ in range(MAX_HOPS):
        assert here._core is not None
        entry = here._core.table.next_hop(goal.node_name)
        if entry is None:
            return here is goal
        here = nodes[entry.name]
    return here is goal


class CrowdTests(SynchronousTestCase):
    def test_every_node_reaches_every_other(self) -> None:
        """
        Sixteen nodes know nobody but the first and start in one moment. Neighbours may all lack the same
        node, so that none of them can tell another of it; it must come out all the same.
        """
        for seed in (2, 4):
            net = Net(seed)
            net.network.latency = 0.002
            nodes = [net.node() for _ in range(16)]
            net.settle(30)
            names: dict[object, RoutingService] = {node.node_name: node for node in nodes}
            lost = [
                (start.node_name, goal.node_name)
                for start in nodes
                for goal in nodes
                if start is not goal and not reaches(start, goal, names)
            ]
            self.assertEqual(lost, [], f"seed {seed}")
            self.assertTrue(all(node.group_connected for node in nodes))
            net.stop()

"""
Nodes come, go, crash and are cut off in random order; once that is over, all that must hold does.

Each seed is one run, always the same. C{CHURN_SEEDS=100} in the environment tries that many.
"""

from __future__ import annotations

import os
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from routing_crust import Role, RoutingService, State
from tests.routing.net import Net
from tests.routing.test_network import table_of

SEEDS = int(os.environ.get("CHURN_SEEDS", "2"))
NODES = 12


class Churn:
    """One run."""

    def __init__(self, seed: int) -> None:
        self.net = Net(seed)
        self.down: list[RoutingService] = []
        self.sent: list[Any] = []

    def up(self) -> list[RoutingService]:
        return [node for node in self.net.nodes if node.running]

    def step(self) -> None:
        random = self.net.random
        what = random.choice(
            ("crash", "silent", "restart", "restart", "cut", "split", "heal", "send", "wait")
        )
        nodes = self.up()
        node = random.choice(nodes)
        if what in ("crash", "silent") and len(nodes) > 4:
            self.net.crash(node, silently=what == "silent")
            self.down.append(node)
        elif what == "restart" and self.down:
            self.net.restart(self.down.pop(random.randrange(len(self.down))))
        elif what == "cut" and self.net.crust(node).links:
            self.net.network.cut(random.choice(self.net.crust(node).links))
        elif what == "split":
            crusts = [self.net.crust(each) for each in self.net.nodes]
            random.shuffle(crusts)
            middle = random.randrange(1, len(crusts))
            self.net.network.partition([crusts[:middle], crusts[middle:]])
        elif what == "heal":
            self.net.network.heal()
        elif what == "send":
            self.sent.append(node.send(random.choice(nodes).node_name, b"x" * random.randrange(50_000)))
        self.net.settle(random.choice((0.01, 0.1, 1, 10)))

    def end(self) -> None:
        self.net.network.heal()
        while self.down:
            self.net.restart(self.down.pop())


def neighbours(node: RoutingService, nodes: list[RoutingService]) -> set[str]:
    """The close group of a node's own name, computed from all nodes."""
    others = sorted((each.node_name for each in nodes if each is not node), key=node.node_name.distance)
    return {str(name) for name in others[: node.settings.group_size]}


class ChurnTests(SynchronousTestCase):
    def run_one(self, seed: int) -> None:
        churn = Churn(seed)
        net = churn.net
        net.grow(NODES)
        for _ in range(40):
            churn.step()
        churn.end()
        nodes = net.nodes
        net.run(lambda: all(node.state is State.CONNECTED for node in nodes), 300)
        net.run(lambda: all(neighbours(node, nodes) <= table_of(node) for node in nodes), 300)
        net.settle(120)  # what is left of dead links has gone by now
        for node in nodes:
            self.assertLessEqual(neighbours(node, nodes), table_of(node), seed)
            for other in nodes:
                both = {str(other.node_name) in table_of(node), str(node.node_name) in table_of(other)}
                self.assertEqual(len(both), 1, f"seed {seed}: only one of two has the other in its table")
        self.check_links(net, seed)
        for sent in churn.sent:
            self.assertTrue(sent.called, f"seed {seed}: a message that was neither acknowledged nor given up")
            sent.addErrback(lambda _: None)
        for node in nodes:
            self.assertIsNone(net.result(nodes[0].send(node.node_name, b"all well?")))
        net.stop()
        self.assertEqual(net.clock.getDelayedCalls(), [], seed)
        self.assertEqual(self.flushLoggedErrors(), [], seed)

    def check_links(self, net: Net, seed: int) -> None:
        """Between two nodes there is one link at the most."""
        pairs = [frozenset((link.host.host, link.other.host.host)) for link in net.network.links]
        self.assertEqual(len(pairs), len(set(pairs)), f"seed {seed}: two links between the same nodes")
        for node in net.nodes:
            self.assertEqual(node.status()["unconfirmed_links"], 0, seed)

    def test_network_holds_together_while_nodes_come_and_go(self) -> None:
        for seed in range(SEEDS):
            self.run_one(seed)

    def test_clients_outlive_their_proxies(self) -> None:
        """Clients outlive any number of proxies, and are found by name in the end."""
        churn = Churn(99)
        net = churn.net
        net.grow(NODES)
        clients = [net.make_client() for _ in range(3)]
        for client in clients:
            client.set_request_handler(lambda message: b"client")
        for _ in range(20):
            churn.step()
        churn.end()
        net.run(lambda: all(each.state is State.CONNECTED for each in (*net.nodes, *clients)), 300)
        net.settle(60)
        for client in clients:
            self.assertIs(client.settings.role, Role.CLIENT)
            self.assertEqual(net.result(net.nodes[5].request(client.node_name, b"?")), b"client")
            net.result(client.stopService())
        net.stop()

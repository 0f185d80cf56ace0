"""What routing does when crust says that the network has changed: nothing waits any longer."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import Role
from routing_crust.errors import CloseReason
from routing_crust.routing.core import RoutingCore
from routing_crust.routing.membership.lifecycle import FIRST_RETRY_SECONDS
from routing_crust.routing.state import State
from routing_crust.testing.host import SimulatedNode
from routing_crust.testing.simulation import SimulatedNetwork


def core_of(node: SimulatedNode) -> RoutingCore:
    """What the node is made of."""
    assert node.core is not None
    return node.core


class NetworkChangedTests(SynchronousTestCase):
    """In a network of four and a client."""

    def setUp(self) -> None:
        self.net = SimulatedNetwork(seed=11)
        self.nodes = self.net.nodes(4)
        self.client = self.net.node(role=Role.CLIENT)
        self.net.run_until(self.net.joined)

    def tearDown(self) -> None:
        self.net.stop()

    def cut_off(self, node: SimulatedNode) -> None:
        """It has no link, and the next attempt to bootstrap is far away."""
        others = [each for each in self.net if each is not node]
        self.net.partition([node], others)
        self.net.run_until(lambda: node.service.state is State.DISCONNECTED, 300)
        for _ in range(30):
            core_of(node).lifecycle._backoff.next_wait()
        self.net.run_until(lambda: self.waits_long(node), 600)
        self.net.heal()

    def waits_long(self, node: SimulatedNode) -> bool:
        """Whether it waits for more than ten seconds."""
        retry = core_of(node).lifecycle._retry
        return retry is not None and retry.active() and retry.getTime() - node.clock.seconds() > 10

    def test_node_without_a_link_bootstraps_at_once(self) -> None:
        """A node without a link, or a client, does not wait for the back-off."""
        for node in (self.nodes[2], self.client):
            self.cut_off(node)
            core_of(node).network_changed()
            self.assertIs(node.service.state, State.BOOTSTRAPPING)
            self.net.run_for(2)
            self.assertTrue(node.connected)

    def test_node_that_loses_its_links_to_a_change_bootstraps_at_once(self) -> None:
        """Once: its next attempts wait as ever."""
        node = self.nodes[2]
        core = core_of(node)
        core.network_changed()
        for _ in range(3):
            core.lifecycle._backoff.next_wait()
        for peer in core.links.peers:
            core.links.drop(peer.name, CloseReason.INACTIVE)
        assert core.lifecycle._retry is not None
        self.assertEqual(core.lifecycle._retry.getTime(), node.clock.seconds())
        self.net.partition([node], [each for each in self.net if each is not node])
        self.net.run_until(lambda: node.service.state is State.BOOTSTRAPPING)
        self.net.run_until(lambda: node.service.state is State.DISCONNECTED)
        self.assertGreater(core.lifecycle._retry.getTime(), node.clock.seconds())
        self.net.heal()

    def test_back_off_begins_at_its_first_wait(self) -> None:
        """If it fails all the same, the next attempts follow quickly."""
        node = self.nodes[2]
        self.cut_off(node)
        self.net.partition([node], [each for each in self.net if each is not node])
        core = core_of(node)
        core.network_changed()
        self.net.run_until(lambda: node.service.state is State.DISCONNECTED, 60)
        assert core.lifecycle._retry is not None
        self.assertLessEqual(core.lifecycle._retry.getTime() - node.clock.seconds(), FIRST_RETRY_SECONDS)
        self.net.heal()

    def test_connected_node_looks_around_at_once(self) -> None:
        """A node begins a round and asks silent nodes again; a client has no round to begin."""
        core = core_of(self.nodes[1])
        gone = self.nodes[3].name
        core.connector.requests.cooldown.note(gone)
        self.assertTrue(core.connector.requests.is_cooling_down(gone))
        core.network_changed()
        self.assertFalse(core.connector.requests.is_cooling_down(gone))
        assert core.joiner._timer is not None
        self.assertLess(core.joiner._timer.getTime() - self.net.clock.now, 1)
        client = core_of(self.client)
        client.network_changed()
        self.assertIsNone(client.joiner._timer)

    def test_waiting_first_node_and_stopped_node_do_nothing(self) -> None:
        """A first node that waits for others goes on waiting, and a stopped one does nothing at all."""
        other = SimulatedNetwork(seed=12)
        (first,) = other.nodes(1)
        core_of(first).network_changed()
        self.assertIs(first.service.state, State.DISCONNECTED)
        core = core_of(first)
        other.stop()
        core.network_changed()
        self.assertIs(first.service.state, State.TERMINATED)

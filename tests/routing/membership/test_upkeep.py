"""Probing, publishing, refusing and letting go: what a node does beside joining and talking."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from routing_crust import Identity, Name, Role, RoutingService, Settings, State
from routing_crust.crust.link.link import CLOSE_TIMEOUT_SECONDS
from routing_crust.endpoints import Contact, Endpoint
from routing_crust.errors import (
    CannotListen,
    LimitReached,
    NotConnected,
    PeerUnreachable,
)
from routing_crust.routing.events import LinkGained, Observers, PeerJoined, PeerLeft
from routing_crust.wire.messages import LinkUse
from tests.routing.net import Net
from tests.routing.test_network import NetworkCase, table_of


class ProbingTests(NetworkCase):
    def test_no_contact_is_probed_while_all_are_linked(self) -> None:
        """A node with a link to every known contact makes no dial."""
        self.net.grow(3)
        self.net.settle(30)
        dials = self.net.network.dials
        self.net.settle(300)
        self.assertEqual(self.net.network.dials, dials)

    def test_dead_contacts_are_dialled_slowly(self) -> None:
        """A contact that does not answer is tried about once in C{PROBE_INTERVAL_SECONDS}, by each node."""
        nodes = self.net.grow(3)
        self.net.crash(nodes[2])
        self.net.settle(5)
        dials = self.net.network.dials
        self.net.settle(600)
        self.assertLess(self.net.network.dials - dials, 2 * 600 / 30 * 1.5)
        self.assertGreater(self.net.network.dials - dials, 10)

    def test_probe_leaves_no_link(self) -> None:
        """A contact that does not want to be in our table is let go after it was asked."""
        nodes = self.net.grow(3)
        client = self.net.node(role=Role.CLIENT, listen=())
        self.net.result(client.when_connected())
        for node in nodes:
            self.net.crust(node).remember(Contact(nodes[0].endpoints[0], self.net.identity().name))
        self.net.settle(120)
        self.assertEqual(len(self.net.network.links), 4)


class ClientTests(NetworkCase):
    def test_client_finds_another_proxy_when_its_own_dies(self) -> None:
        """The client finds another proxy, and is found there."""
        nodes = self.net.grow(5)
        client = self.net.node(role=Role.CLIENT, listen=())
        client.set_request_handler(lambda message: b"here")
        self.net.result(client.when_connected())
        self.net.settle(5)
        self.net.crash(nodes[0])
        self.net.run(lambda: client.state is not State.CONNECTED, 5)
        self.net.run(lambda: client.state is State.CONNECTED, 90)
        self.net.settle(5)
        self.assertEqual(self.net.result(nodes[3].request(client.node_name, b"?")), b"here")

    def test_client_has_no_close_group(self) -> None:
        nodes = self.net.grow(3)
        client = self.net.node(role=Role.CLIENT, listen=())
        self.net.result(client.when_connected())
        self.net.settle(60)
        self.assertFalse(client.group_connected)
        group = self.net.result(client.close_group(client.node_name))
        self.assertEqual(set(group), {node.node_name for node in nodes})

    def test_first_node_and_client_are_a_network(self) -> None:
        first = self.net.node()
        client = self.net.node(role=Role.CLIENT, listen=())
        self.net.result(client.when_connected())
        self.net.settle(1)
        self.assertIs(first.state, State.CONNECTED)
        first.set_request_handler(lambda message: b"first")
        client.set_request_handler(lambda message: b"client")
        self.assertEqual(self.net.result(client.request(first.node_name, b"?")), b"first")
        self.assertEqual(self.net.result(first.request(client.node_name, b"?")), b"client")
        self.net.result(client.stopService())
        self.net.run(lambda: first.state is State.DISCONNECTED, 5)

    def test_client_is_refused_as_proxy(self) -> None:
        """A node that dials a client by mistake does not join through it."""
        self.net.grow(2)
        client = self.net.node(role=Role.CLIENT, listen=())
        self.net.result(client.when_connected())
        self.assertEqual(client.endpoints, ())
        self.assertIsNone(client.contact)


class TogetherTests(NetworkCase):
    def test_two_nodes_that_know_each_other_need_no_first_node(self) -> None:
        """Two nodes that know each other find together, though neither is in a network."""
        nodes = self.net.grow(3)
        for node in nodes:
            self.net.crash(node)
        self.net.settle(1)
        two, three = (self.net.restart(node) for node in nodes[1:])
        self.net.run(lambda: two.state is State.CONNECTED and three.state is State.CONNECTED, 60)
        self.assertIn(str(three.node_name), table_of(two))

    def test_stranger_is_refused_by_a_node_that_is_not_connected(self) -> None:
        """A node that is not in the network yet admits only its own contacts."""
        gone = Contact(Endpoint("198.18.99.99", 5483), self.net.identity().name)
        self.net.nodes.append(self.net.make(self.net.identity(), Settings(role=Role.FIRST)))
        node = self.net.node(contacts=(gone,))
        stranger = self.net.node(contacts=(self.net.contact(node),))
        self.net.settle(60)
        self.assertIsNot(stranger.state, State.CONNECTED)
        self.assertEqual(stranger.status()["links"], [])


class TableTests(NetworkCase):
    def test_far_nodes_make_room_for_near_ones_in_a_full_table(self) -> None:
        """In a table of small buckets the far ones make room for the near, and both ends hear of it."""
        left: list[PeerLeft] = []
        for _ in range(25):
            node = self.net.node(group_size=2, bucket_size=1)
            node.observe(PeerLeft, left.append)
            self.net.settle(5)
        self.net.settle(90)
        self.assertTrue(left)
        for node in self.net.nodes:
            self.assertLess(len(table_of(node)), 20)
            for name in table_of(node):
                other = next(each for each in self.net.nodes if str(each.node_name) == name)
                self.assertIn(str(node.node_name), table_of(other))


class ApplicationTests(NetworkCase):
    def test_observers_hear_what_each_link_is_for(self) -> None:
        nodes = self.net.grow(2)
        gained: list[LinkGained] = []
        stop = nodes[0].observe(LinkGained, gained.append)
        client = self.net.node(role=Role.CLIENT, listen=())
        self.net.result(client.when_connected())
        self.net.settle(1)
        self.assertEqual(
            [(each.link.name, each.link.use) for each in gained], [(client.node_name, LinkUse.ATTACHED)]
        )
        self.assertTrue(gained[0].link.is_client)
        stop()
        stop()
        self.net.node()
        self.net.settle(5)
        self.assertEqual(len(gained), 1)

    def test_connect_to_an_unknown_name_fails_in_time(self) -> None:
        """There is an answer in the end, and it says so."""
        nodes = self.net.grow(2)
        started = self.net.clock.seconds()
        result = nodes[0].connect(self.net.identity().name)
        self.assertRaises(PeerUnreachable, self.net.result, result, 200)
        self.assertLess(self.net.clock.seconds() - started, 5)

    def test_connect_fails_when_the_network_is_lost(self) -> None:
        nodes = self.net.grow(2)
        result = nodes[1].connect(self.net.identity().name)
        self.net.crash(nodes[0])
        self.assertRaises(NotConnected, self.net.result, result, 120)

    def test_body_that_is_too_large_or_not_bytes_is_refused(self) -> None:
        nodes = self.net.grow(2)
        result = nodes[1].send_to_group(nodes[0].node_name, b"x" * (nodes[1].settings.max_message + 1))
        self.assertRaises(LimitReached, self.net.result, result)
        self.assertRaises(TypeError, nodes[1].send_to_group, nodes[0].node_name, "text")
        self.assertRaises(TypeError, nodes[1].send, nodes[0].node_name, "text")

    def test_status_before_while_and_after_the_run(self) -> None:
        """A snapshot before, while and after."""
        settings = Settings(role=Role.FIRST)
        node = self.net.make(self.net.identity(), settings)
        self.assertEqual(node.status()["state"], "disconnected")
        self.assertNotIn("links", node.status())
        self.net.nodes.append(node)
        node.startService()
        self.assertEqual(node.status()["links"], [])

    def test_start_fails_if_the_port_is_in_use(self) -> None:
        """The caller of C{startService} gets the error, and the service does not run."""
        first = self.net.node()
        settings = Settings(role=Role.FIRST)
        other = self.net.make(self.net.identity(), settings, endpoints=first.endpoints)
        self.assertRaises(CannotListen, other.startService)
        self.assertFalse(other.running)

    def test_stop_without_start_succeeds(self) -> None:
        node = RoutingService(Settings(), reactor=Clock(), crust=self.net.crust(self.net.node()))
        self.successResultOf(node.stopService())
        self.assertIsInstance(node.identity, Identity)
        self.assertIsInstance(node.node_name, Name)

    def test_observer_that_raises_is_logged_and_the_others_hear(self) -> None:
        observers = Observers()
        heard: list[Any] = []
        observers.add(PeerJoined, lambda event: 1 // 0)
        observers.add(PeerJoined, heard.append)
        event = PeerJoined(Name(bytes(32)))
        observers.tell(event)
        self.assertEqual(heard, [event])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class ShutdownTests(SynchronousTestCase):
    def test_stop_at_any_time_leaves_nothing(self) -> None:
        """Whenever a node stops, nothing of it is left: no delayed call, no link, no waiting Deferred."""
        for tenth in range(0, 60, 3):
            net = Net(seed=3)
            for _ in range(4):
                net.node()
            net.settle(tenth / 10)
            pending = [net.nodes[2].send(net.nodes[0].node_name, b"x"), net.nodes[3].when_group_connected()]
            for node in net.nodes:
                node.stopService()
            net.settle(CLOSE_TIMEOUT_SECONDS + 1)
            self.assertEqual(net.clock.getDelayedCalls(), [])
            self.assertEqual(len(net.network.links), 0)
            for each in pending:
                self.assertTrue(each.called)
                each.addErrback(lambda _: None)
        self.assertEqual(self.flushLoggedErrors(), [])

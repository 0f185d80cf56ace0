"""
Whole nodes, together: joining, talking by name, losing and finding each other again.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from routing_crust import Message, Name, Role, RoutingService, State
from routing_crust.errors import (
    AlreadyRunning,
    CannotListen,
    NotConnected,
    PeerUnreachable,
    RequestRefused,
    ServiceStopped,
)
from routing_crust.routing.events import GroupConnectedChanged, LinkLost, PeerJoined, PeerLeft, StateChanged
from routing_crust.testing.memory.transport import end_of
from tests.routing.net import Net


def table_of(node: RoutingService) -> set[str]:
    table = node.status()["table"]
    assert isinstance(table, list)
    return set(table)


class NetworkCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.net = Net()

    def assert_full_mesh(self, nodes: list[RoutingService]) -> None:
        names = {str(node.node_name) for node in nodes}
        for node in nodes:
            self.assertIs(node.state, State.CONNECTED)
            self.assertEqual(table_of(node), names - {str(node.node_name)})

    def tearDown(self) -> None:
        self.net.stop()
        self.assertEqual(self.net.clock.getDelayedCalls(), [])
        self.assertEqual(self.flushLoggedErrors(), [])


class JoiningTests(NetworkCase):
    def test_first_node_waits_for_another_to_connect(self) -> None:
        """It makes no dial, and is CONNECTED as soon as a node has connected to it."""
        first = self.net.node()
        self.net.settle(100)
        self.assertIs(first.state, State.DISCONNECTED)
        self.assertEqual(self.net.network.dials, 0)
        connected = first.when_connected()
        self.assertNoResult(connected)
        self.net.node()
        self.net.run(lambda: first.state is State.CONNECTED)
        self.successResultOf(connected)

    def test_node_is_bootstrapped_by_its_proxy_before_it_is_a_member(self) -> None:
        self.net.grow(3)
        node = self.net.node()
        states: list[State] = []
        for _ in range(2):
            self.net.result(node.when_bootstrapped().addCallback(lambda _: states.append(node.state)))
        self.assertEqual(states, [State.BOOTSTRAPPING] * 2)
        self.net.run(lambda: node.state is State.CONNECTED)
        self.successResultOf(node.when_bootstrapped())

    def test_five_nodes_are_in_each_others_tables(self) -> None:
        for _ in range(5):
            self.net.node()
        self.net.until_joined(timeout=10)
        self.net.settle(1)
        self.assert_full_mesh(self.net.nodes)

    def test_each_pair_keeps_one_link_after_joining(self) -> None:
        nodes = self.net.grow(5)
        self.net.settle(60)
        for node in nodes:
            links = node.status()["links"]
            assert isinstance(links, list)
            self.assertEqual(len(links), 4)
            self.assertEqual({each["use"] for each in links}, {"member"})
            self.assertEqual({each["two_way"] for each in links}, {True})
            self.assertEqual(node.status()["unconfirmed_links"], 0)
            self.assertEqual(node.status()["expected_connections"], 0)
            self.assertIsNone(node.status()["proxy"])
        self.assertEqual(len(self.net.network.links), 10)

    def test_twenty_nodes_know_their_nearest(self) -> None:
        nodes = self.net.grow(20)
        self.net.settle(90)
        for node in nodes:
            others = sorted(
                (each.node_name for each in nodes if each is not node), key=node.node_name.distance
            )
            nearest = {str(name) for name in others[: node.settings.group_size]}
            self.assertLessEqual(nearest, table_of(node))

    def test_requester_is_left_out_of_the_close_group_it_gets(self) -> None:
        """
        A node that asks for its own group hears of C{group_size} others; it is in the group of a name itself.
        """
        nodes = self.net.grow(12)
        self.net.settle(60)
        node, other = nodes[3], nodes[7]
        core = node._core
        assert core is not None
        answer = self.net.result(core.lookup.look_up(node.node_name, of=other.node_name))
        self.assertEqual(len(answer.members), node.settings.group_size)
        self.assertNotIn(node.node_name, answer.members)
        nearby = Name((node.node_name.number ^ 1).to_bytes(32, "big"))
        group = self.net.result(node.close_group(nearby))
        self.assertEqual(group[0], node.node_name)
        self.assertEqual(group, self.net.result(other.close_group(nearby)))

    def test_bootstrapping_is_repeated_until_a_contact_answers(self) -> None:
        """Bootstrapping is tried again and again, and works once the contact is there."""
        first = self.net.node()
        contact = self.net.contact(first)
        self.net.result(first.stopService())
        node = self.net.node(contacts=(contact,))
        self.net.settle(120)
        self.assertIn(node.state, (State.DISCONNECTED, State.BOOTSTRAPPING))
        first.startService()
        self.net.run(lambda: node.state is State.CONNECTED, timeout=70)

    def test_start_in_the_middle_of_a_run_or_of_a_stop_is_refused(self) -> None:
        first = self.net.node()
        other = self.net.node()
        self.net.until_joined()
        incarnation, core = other.incarnation, other._core
        self.assertRaises(AlreadyRunning, other.startService)
        stopped = other.stopService()
        error = self.assertRaises(AlreadyRunning, other.startService)
        self.assertIn("wait for the Deferred of stopService()", str(error))
        self.assertIs(other._core, core)
        self.assertEqual((other.state, other.incarnation), (State.TERMINATED, incarnation))
        self.assertFalse(other.running)
        # the Deferred of the stop is the moment from which it may be started again
        stopped.addCallback(lambda _: other.startService())
        self.net.result(stopped)
        self.net.until_joined()
        self.assertEqual(self.net.result(first.send(other.node_name, b"x")), None)

    def test_start_that_failed_may_be_tried_again(self) -> None:
        self.net.node()
        other = self.net.node()
        self.net.until_joined()
        self.net.result(other.stopService())
        crust = self.net.crust(other)

        def start(events: object) -> None:
            raise CannotListen("the port is taken")

        self.patch(crust, "start", start)
        self.assertRaises(CannotListen, other.startService)
        self.failureResultOf(other.send(other.node_name, b"x"), ServiceStopped)
        del crust.__dict__["start"]
        other.startService()
        self.net.until_joined()

    def test_messages_of_a_denied_name_are_dropped(self) -> None:
        """Through other nodes, too: a link is not the only way to a node."""
        first = self.net.node()
        outsider = self.net.node()
        self.net.until_joined()
        # a node that denies the nearest one hears from nobody that it is in the network
        nearer = (
            each
            for each in iter(self.net.identity, None)
            if each.name.distance(first.node_name) < each.name.distance(outsider.node_name)
        )
        node = self.net.node(identity=next(nearer), deny=(str(outsider.node_name),))
        self.net.settle(60)
        self.assertEqual(node.state, State.CONNECTED)
        got: list[Message] = []
        node.set_message_handler(got.append)
        node.set_request_handler(lambda request: b"an answer")
        first.set_message_handler(got.append)
        for sent in (
            outsider.send(node.node_name, b"x"),
            outsider.request(node.node_name, b"x"),
        ):
            with self.assertRaises(PeerUnreachable):
                self.net.result(sent)
        self.assertEqual(got, [])
        self.net.result(first.send(node.node_name, b"of somebody else"))
        self.net.result(outsider.send(first.node_name, b"to somebody else"))
        self.assertEqual([each.body for each in got], [b"of somebody else", b"to somebody else"])

    def test_observers_hear_of_states_group_and_table(self) -> None:
        first = self.net.node()
        heard: list[object] = []
        for kind in (StateChanged, GroupConnectedChanged, PeerJoined, PeerLeft, LinkLost):
            first.observe(kind, heard.append)
        other = self.net.node()
        self.net.until_joined()
        self.assertEqual(
            heard,
            [
                StateChanged(State.DISCONNECTED, State.CONNECTED),
                PeerJoined(other.node_name),
                GroupConnectedChanged(True),
            ],
        )
        heard.clear()
        self.net.result(other.stopService())
        self.net.run(lambda: first.state is State.DISCONNECTED)
        kinds = [type(each) for each in heard]
        self.assertEqual(kinds[:3], [PeerLeft, GroupConnectedChanged, LinkLost])


class TalkingTests(NetworkCase):
    def test_messages_carry_their_proven_source_and_requests_are_answered(self) -> None:
        """Messages arrive with their proven source, requests are answered."""
        nodes = self.net.grow(5)
        got: list[Message] = []
        nodes[4].set_message_handler(got.append)
        nodes[4].set_request_handler(lambda message: message.body.upper())
        self.assertIsNone(self.net.result(nodes[0].send(nodes[4].node_name, b"hello")))
        self.assertEqual(got, [Message(nodes[0].node_name, b"hello")])
        self.assertEqual(self.net.result(nodes[0].request(nodes[4].node_name, b"hello")), b"HELLO")
        self.assertIsInstance(
            self.net.result(nodes[0].request(nodes[3].node_name, b"x").addErrback(lambda f: f.value)),
            RequestRefused,
        )

    def test_group_message_reaches_each_of_the_nearest_nodes(self) -> None:
        """A group message reaches each of the nearest nodes, ourselves too if we are one."""
        nodes = self.net.grow(12)
        target = self.net.identity().name
        nearest = sorted((node.node_name for node in nodes), key=target.distance)[:8]
        got = []
        for node in nodes:
            node.set_message_handler(lambda message, name=node.node_name: got.append((name, message)))
        reached = self.net.result(nodes[0].send_to_group(target, b"all"))
        self.assertEqual(list(reached), nearest)
        self.assertEqual(
            sorted(got, key=lambda each: target.distance(each[0])),
            [(name, Message(nodes[0].node_name, b"all", target)) for name in nearest],
        )
        self.assertEqual(list(self.net.result(nodes[3].close_group(target))), nearest)

    def test_message_to_an_unknown_name_fails_in_time(self) -> None:
        nodes = self.net.grow(5)
        result = nodes[0].send(self.net.identity().name, b"?")
        self.assertRaises(PeerUnreachable, self.net.result, result, 170)

    def test_client_reaches_and_is_reached_by_name(self) -> None:
        nodes = self.net.grow(12)
        client = self.net.node(role=Role.CLIENT, listen=())
        self.net.result(client.when_connected())
        self.assertEqual(len(client.status()["links"]), 1)  # type: ignore[arg-type]
        for node in nodes:
            node.set_request_handler(lambda message: b"to " + str(message.source).encode())
            answer = self.net.result(client.request(node.node_name, b"who am I?"))
            self.assertEqual(answer, b"to " + str(client.node_name).encode())
        client.set_request_handler(lambda message: b"client")
        self.net.settle(5)
        for node in nodes:
            self.assertEqual(self.net.result(node.request(client.node_name, b"?")), b"client")
            self.assertNotIn(str(client.node_name), table_of(node))

    def test_clients_with_different_proxies_reach_each_other(self) -> None:
        nodes = self.net.grow(6)
        one = self.net.node(role=Role.CLIENT, listen=())
        two = self.net.node(role=Role.CLIENT, listen=(), contacts=(self.net.contact(nodes[5]),))
        for client in (one, two):
            self.net.result(client.when_connected())
        two.set_request_handler(lambda message: b"here")
        self.net.settle(5)
        self.assertEqual(self.net.result(one.request(two.node_name, b"?")), b"here")

    def test_connect_gives_the_same_link_each_time(self) -> None:
        nodes = self.net.grow(3)
        client = self.net.node(role=Role.CLIENT, listen=())
        self.net.result(client.when_connected())
        link = self.net.result(client.connect(nodes[2].node_name))
        self.assertEqual(link.name, nodes[2].node_name)
        self.assertEqual(self.net.result(client.connect(nodes[2].node_name)), link)

    def test_application_frames_go_to_the_frame_handler(self) -> None:
        """An application's own frames go to the other end's handler, and nowhere without one."""
        nodes = self.net.grow(2)
        link = self.net.result(nodes[1].connect(nodes[0].node_name))
        link.send(200, b"nobody hears this")
        self.net.settle(1)
        heard: list[tuple[Name, int, bytes]] = []
        nodes[0].set_frame_handler(lambda link, kind, payload: heard.append((link.name, kind, payload)))
        link.send(200, b"one")
        link.send(255, b"two")
        self.net.settle(1)
        self.assertEqual(heard, [(nodes[1].node_name, 200, b"one"), (nodes[1].node_name, 255, b"two")])
        nodes[0].set_frame_handler(lambda link, kind, payload: 1 // 0)
        link.send(128, b"three")
        self.net.settle(1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertIs(nodes[1].state, State.CONNECTED)

    def test_calls_fail_at_once_without_a_link_or_after_the_stop(self) -> None:
        """Without a link, and after the stop, everything fails at once and says why."""
        node = self.net.node()
        other = self.net.identity().name
        self.failureResultOf(node.close_group(other), NotConnected)
        self.failureResultOf(node.connect(other), NotConnected)
        waiting = [node.when_connected(), node.when_bootstrapped(), node.when_group_connected()]
        self.net.result(node.stopService())
        for each in waiting:
            self.failureResultOf(each, ServiceStopped)
        for each in (node.send(other, b""), node.request(other, b""), node.when_connected()):
            self.failureResultOf(each, ServiceStopped)


class LossTests(NetworkCase):
    def test_network_survives_the_death_of_its_contact(self) -> None:
        """The others stay connected and sending; when it is back it is admitted at once."""
        nodes = self.net.grow(5)
        self.net.crash(nodes[0])
        self.net.settle(5)
        self.assert_full_mesh(nodes[1:])
        self.net.result(nodes[1].send(nodes[4].node_name, b"still here"))
        again = self.net.restart(nodes[0])
        self.net.run(lambda: again.group_connected, timeout=10)
        self.net.settle(5)
        self.assert_full_mesh(self.net.nodes)

    def test_silent_death_is_noticed_by_inactivity(self) -> None:
        """A node that says nothing is noticed within the inactivity timeout."""
        nodes = self.net.grow(5)
        self.net.crash(nodes[2], silently=True)
        gone = str(nodes[2].node_name)
        left = [node for node in nodes if node is not nodes[2]]
        self.net.run(lambda: not any(gone in table_of(node) for node in left), timeout=81)
        self.assert_full_mesh(left)

    def test_last_node_joins_again_when_the_others_return(self) -> None:
        """The last one bootstraps, and joins again when the others return."""
        nodes = self.net.grow(5)
        for node in nodes[:4]:
            self.net.crash(node)
        self.net.run(lambda: nodes[4].state in (State.DISCONNECTED, State.BOOTSTRAPPING), timeout=5)
        self.net.settle(30)
        self.assertIsNot(nodes[4].state, State.CONNECTED)
        for node in nodes[:4]:
            self.net.restart(node)
        self.net.until_joined(timeout=120)
        self.net.settle(60)
        self.assert_full_mesh(self.net.nodes)

    def test_restarted_peer_replaces_its_old_link_at_once(self) -> None:
        """A peer that comes back before its old links were noticed dead is let in at once."""
        nodes = self.net.grow(3)
        self.net.crash(nodes[2], silently=True)
        again = self.net.restart(nodes[2])
        self.net.run(lambda: again.group_connected, timeout=10)
        self.net.settle(1)
        self.assert_full_mesh(self.net.nodes)

    def lose_one_end(self, node: RoutingService, other: RoutingService) -> float:
        """
        A router forgets a link, and says so to one node only.

        @return: how many seconds pass until both are in each other's tables again.
        """
        (link,) = (each for each in self.net.crust(node).links if each.peer == other.node_name)
        self.net.network.half_open(link)
        end_of(link).lose()
        self.net.run(lambda: str(other.node_name) not in table_of(node), timeout=1)
        self.assertIn(str(node.node_name), table_of(other))
        since = self.net.clock.seconds()
        self.net.run(lambda: str(other.node_name) in table_of(node), timeout=120)
        took = self.net.clock.seconds() - since
        self.net.settle(60)
        self.assert_full_mesh(self.net.nodes)
        return took

    def test_peer_that_has_lost_its_link_is_linked_again_soon(self) -> None:
        """Who has lost a link that the other end keeps is let in again soon."""
        one, other = self.net.grow(2)
        self.net.settle(60)
        for node, peer in ((one, other), (other, one)):
            self.assertLess(self.lose_one_end(node, peer), 8)

    def test_lost_link_is_made_again_soon_through_other_nodes(self) -> None:
        """So it is where others carry its requests."""
        _, one, other = self.net.grow(3)
        self.net.settle(60)
        for node, peer in ((one, other), (other, one)):
            self.assertLess(self.lose_one_end(node, peer), 8)

    def test_halves_of_a_partition_become_one_network(self) -> None:
        """Two halves that were apart for an hour become one network again."""
        nodes = self.net.grow(6)
        crusts = [node._crust for node in nodes]
        self.net.network.partition([crusts[:3], crusts[3:]])  # type: ignore[list-item]
        self.net.settle(3600)
        self.assertEqual(len(table_of(nodes[0])), 2)
        self.net.network.heal()
        self.net.run(lambda: all(len(table_of(node)) == 5 for node in nodes), timeout=120)
        self.assert_full_mesh(nodes)

    def test_peers_of_a_stopped_node_drop_it_at_once(self) -> None:
        """Who stops says so, and the others let it go at once."""
        nodes = self.net.grow(3)
        self.net.result(nodes[1].stopService())
        self.assertIs(nodes[1].state, State.TERMINATED)
        self.net.settle(1)
        self.assert_full_mesh([nodes[0], nodes[2]])

    def test_stopped_service_starts_with_a_new_incarnation(self) -> None:
        """A stopped service can be started again, under the same name and with a new incarnation."""
        nodes = self.net.grow(3)
        before = nodes[2].status()["incarnation"]
        self.net.result(nodes[2].stopService())
        nodes[2].startService()
        self.net.until_joined()
        self.net.settle(1)
        self.assertGreater(nodes[2].status()["incarnation"], before)  # type: ignore[operator]
        self.assert_full_mesh(nodes)

"""What is expected after a request ends with a link of that use, and not with one of less."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.crust.interfaces import Rendezvous
from routing_crust.endpoints import PathKind
from routing_crust.errors import CloseReason, ExpectedConnectionExpired, ServiceStopped
from routing_crust.names import Name
from routing_crust.routing.connecting.signing import REQUEST_LABEL
from routing_crust.routing.links.peer import Peer
from routing_crust.routing.messaging.outbox import LATEST_RETRY
from routing_crust.testing.memory.nat import PORT_RESTRICTED, SYMMETRIC
from routing_crust.testing.play.scenario import groups_are_right
from routing_crust.testing.simulation import SimulatedNetwork
from routing_crust.wire.framing import FrameKind
from routing_crust.wire.messages import EnvelopeKind, LinkUse, NatKind
from tests.routing.net import Net
from tests.routing.test_intruder import Intruder


class ExpectationTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.net = Net()
        self.node = self.net.grow(2)[0]
        assert self.node._core is not None
        self.core = self.node._core
        self.expected = self.core.attempts.expected
        self.peer = Intruder(self.net)
        self.addCleanup(self.net.stop)

    def expect(self, age: float = 0.0) -> bytes:
        """The node answers a request for membership, and expects a link with this nonce."""
        request = self.peer.request(self.node, issued=self.net.clock.seconds() - age)
        body = self.peer.signed(REQUEST_LABEL, request)
        link = self.peer.dial(self.node)
        link.send(FrameKind.HELLO, self.peer.hello(link))
        envelope = self.peer.open_envelope(self.node, EnvelopeKind.CONNECT_REQUEST, body)
        self.core.responder.request_received(envelope, self.peer.identity.name, None)
        return request.nonce

    def confirm(self, name: Name, link: Any, use: LinkUse) -> None:
        """Have the connector hear that a link to this peer was confirmed."""
        facts = self.core.links.peers[0].facts
        self.core.connector.peer_established(Peer(name, link, use, True, facts, 0.0), None)

    def test_a_lesser_link_settles_nothing(self) -> None:
        """An attachment is confirmed while membership is being arranged: that goes on."""
        nonce = self.expect()
        link = self.node._core and self.net.crust(self.node).links[0]
        assert link is not None
        self.confirm(self.peer.identity.name, link, LinkUse.ATTACHED)
        self.assertIsNotNone(self.expected.match(self.peer.identity.name, nonce))
        self.confirm(self.peer.identity.name, link, LinkUse.MEMBER)
        self.assertIsNone(self.expected.match(self.peer.identity.name, nonce))

    def test_history_tells_an_expected_link_that_is_lost_too_early(self) -> None:
        """
        A link that was expected is found by its connection until it is lost, and the history says that it
        was lost before both ends agreed on it; of one that was not expected it says only that it was lost.
        """
        nonce = self.expect()
        link = self.net.result(
            self.peer.crust.connect(self.node.endpoints, self.node.node_name, nonce, False)
        )
        link.send(FrameKind.HELLO, self.peer.hello(link, purpose=nonce))
        self.net.settle(0.05)
        name = self.peer.identity.name
        crust = self.net.crust(self.node)
        plain = next(each for each in crust.links if each.peer == name)
        (expected,) = [each for each in crust.links if each.connection.peer == link.connection.local]
        entry = self.expected.of_connection(expected.connection)
        self.assertIs(entry, self.expected.match(name, nonce))
        self.assertIsNone(self.expected.of_connection(plain.connection))
        for each in (expected, plain):
            each.abort(CloseReason.STOPPING)
        self.net.settle(0.5)
        self.assertIsNone(self.expected.of_connection(expected.connection))
        self.assertIsNotNone(self.expected.match(name, nonce))
        lost = [each.text for each in crust.history.of(name).outcomes if each.text.startswith("lost")]
        self.assertEqual(
            lost,
            ["lost before both ends agreed on it: the service is stopping", "lost: the service is stopping"],
        )

    def test_expected_until_it_is_settled(self) -> None:
        """Connections for a rendezvous are taken until the link is confirmed, and not for a tunnel's sake."""
        nonce = self.expect()
        name = self.peer.identity.name
        crust = self.net.crust(self.node)
        self.assertEqual(crust.expected, [(name, nonce, False)])
        link = crust.links[0]
        link.path_kind = PathKind.TUNNEL
        self.confirm(name, link, LinkUse.MEMBER)
        self.assertEqual(crust.expected, [(name, nonce, False)])
        link.path_kind = PathKind.PUNCHED
        self.confirm(name, link, LinkUse.MEMBER)
        self.assertEqual(crust.expected, [])

    def test_the_latest_request_counts(self) -> None:
        """
        Requests that were held up on their way come all at once: those that the peer has given up for the
        last one take no place from it.
        """
        name = self.peer.identity.name
        for age in (60.0, 40.0, 20.0, 0.0):
            nonce = self.expect(age)
            self.assertEqual([each.nonce for each in self.expected.of_peer(name)], [nonce])
            self.assertEqual(self.net.crust(self.node).expected, [(name, nonce, False)])

    def test_an_earlier_request_ends_no_later_one(self) -> None:
        """One that comes after those that were sent after it may have what place there is."""
        late, early = self.expect(), self.expect(20.0)
        expected = self.expected.of_peer(self.peer.identity.name)
        self.assertEqual([each.nonce for each in expected], [late, early])

    def test_expected_for_so_long(self) -> None:
        """If nothing comes, it ends."""
        self.expect()
        crust = self.net.crust(self.node)
        self.net.settle(self.node.settings.expected_timeout + 1)
        self.assertEqual(crust.expected, [])


class RendezvousTests(SynchronousTestCase):
    """A third node asks those of a network for connections, all of them behind NATs."""

    def setUp(self) -> None:
        self.net = Net()
        self.addCleanup(self.net.stop)
        self.nodes = self.net.grow(3)

    def test_both_punch(self) -> None:
        """The requester says when, and both punch for the same request, one as the requester."""
        for node in self.nodes:
            self.net.crust(node).nat = NatKind.CONE
        newcomer = self.net.node()
        self.net.crust(newcomer).nat = NatKind.CONE
        self.net.until_joined()
        asked = dict(self.net.crust(newcomer).rendezvous)
        self.assertTrue(asked)
        answered = {token: each for node in self.nodes for token, each in self.net.crust(node).rendezvous}
        self.assertEqual(asked.keys(), answered.keys() & asked.keys())
        for token, ours in asked.items():
            self.assertNotEqual(ours.requester, answered[token].requester)
            requesters = ours if ours.requester else answered[token]
            # the way there and back is two to four latencies, within what a clock can tell apart
            self.assertTrue(0.0099 <= requesters.after <= 0.0501, requesters)
            self.assertIn(Rendezvous(False), (ours, answered[token]))
        self.net.settle(100)
        for node in (*self.nodes, newcomer):
            self.assertEqual(self.net.crust(node).expected, [])

    def test_nobody_punches_in_the_open(self) -> None:
        """Where plain dials do, nothing is punched."""
        self.net.node()
        self.net.until_joined()
        for node in self.net.nodes:
            self.assertEqual(self.net.crust(node).rendezvous, [])


class WayTests(SynchronousTestCase):
    """By which ways a request goes."""

    def setUp(self) -> None:
        self.net = Net()
        self.addCleanup(self.net.stop)
        self.nodes = self.net.grow(2)

    def test_whoever_told_cannot_reach_it(self) -> None:
        """Where there is a link already, the request goes by it too."""
        client = self.net.make_client()
        self.net.settle(5)
        proxy, other = sorted(
            (node._core for node in self.nodes if node._core is not None),
            key=lambda core: core.links.link_to(client.node_name) is None,
        )
        asked = proxy.connector.request_link(client.node_name, LinkUse.DIRECT, None, other.identity.name)
        self.assertEqual(self.net.result(asked).peer, client.node_name)

    def test_no_way_on(self) -> None:
        """After a hint the request takes another way, by another first hop each time, so many times."""
        core = self.nodes[0]._core
        assert core is not None
        connector, nobody = core.connector, self.net.identity().name
        sent: list[tuple[Name | None, int]] = []

        def send(
            kind: EnvelopeKind, name: Name, body: bytes, proxy: Name | None, via: object, attempt: int = 0
        ) -> int:
            sent.append((proxy, attempt))
            return len(sent)

        connector._send = send
        informant = self.nodes[1].node_name
        asked = connector.request_link(nobody, LinkUse.MEMBER, None, informant)
        connector.undeliverable(99)
        for number in range(1, 20):
            connector.undeliverable(number)
            connector.undeliverable(number)  # it waits for its turn already
            self.net.settle(LATEST_RETRY)
        most = self.nodes[0].settings.max_attempts
        self.assertEqual(sent, [(informant, 0), *((None, attempt) for attempt in range(most - 1))])
        with self.assertRaises(ExpectedConnectionExpired):
            self.net.result(asked)

    def test_stopped_after_a_hint(self) -> None:
        """Nothing is sent by a request that is settled."""
        core = self.nodes[0]._core
        assert core is not None
        connector = core.connector
        sent: list[object] = []
        connector._send = lambda *way: sent.append(way) or 7
        asked = connector.request_link(self.net.identity().name, LinkUse.MEMBER)
        connector.undeliverable(7)
        connector.stop()
        with self.assertRaises(ServiceStopped):
            self.net.result(asked)
        self.net.settle(5)
        self.assertEqual(len(sent), 1)

    def test_asked_again(self) -> None:
        """After a request without an answer the next one is left to the table too."""
        core = self.nodes[0]._core
        assert core is not None
        informant, nobody = self.nodes[1].node_name, self.net.identity().name
        ways: list[Name | None] = []
        core.connector._send = lambda kind, name, body, proxy, via, attempt=0: ways.append(proxy)
        for expected in ([informant], [None, informant]):
            ways.clear()
            asked = core.connector.request_link(nobody, LinkUse.MEMBER, None, informant)
            with self.assertRaises(ExpectedConnectionExpired):
                self.net.result(asked)
            self.assertEqual(ways, expected)


class GiveWayTests(SynchronousTestCase):
    """Nodes behind one NAT, and one to which only tunnels lead from there."""

    def test_tunnels_keep_nobody_out(self) -> None:
        """Every few seconds both ends try to replace a tunnel: that leaves room for who has no link yet."""
        network = SimulatedNetwork(
            seed=2, internet=True, max_same_prefix_in_bucket=8, max_expected_per_prefix=2
        )
        self.addCleanup(network.stop)
        network.nodes(3)
        router = network.nat(PORT_RESTRICTED)
        inside = [network.node(nat=router) for _ in range(4)]
        network.run_until(lambda: groups_are_right(network), 100)
        node = network.node(nat=SYMMETRIC)
        core = node.core
        assert core is not None
        network.run_until(lambda: all(each.name in core.table for each in inside), 60)
        links = [core.links.link_to(each.name) for each in inside]
        self.assertEqual({each.path_kind for each in links if each is not None}, {PathKind.TUNNEL})

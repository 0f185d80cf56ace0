"""What is expected after a request ends with a link of that use, and not with one of less."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.errors import CloseReason
from routing_crust.routing.requests import REQUEST_LABEL
from routing_crust.wire.framing import FrameKind
from routing_crust.wire.messages import EnvelopeKind, LinkUse
from tests.routing.net import Net
from tests.routing.test_intruder import Intruder


class ExpectationTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.net = Net()
        self.node = self.net.grow(2)[0]
        assert self.node._core is not None
        self.connector = self.node._core.connector
        self.peer = Intruder(self.net)
        self.addCleanup(self.net.stop)

    def expect(self) -> bytes:
        """The node answers a request for membership, and expects a link with this nonce."""
        request = self.peer.request(self.node)
        body = self.peer.signed(REQUEST_LABEL, request)
        link = self.peer.dial(self.node)
        link.send(FrameKind.HELLO, self.peer.hello(link))
        self.connector.request_received(
            self.peer.open_envelope(self.node, EnvelopeKind.CONNECT_REQUEST, body), None
        )
        return request.nonce

    def test_a_lesser_link_settles_nothing(self) -> None:
        """An attachment is confirmed while membership is being arranged: that goes on."""
        nonce = self.expect()
        link = self.node._core and self.net.crust(self.node).links[0]
        assert link is not None
        self.connector.linked(self.peer.identity.name, link, LinkUse.ATTACHED)
        self.assertIsNotNone(self.connector.expected.match(self.peer.identity.name, nonce))
        self.connector.linked(self.peer.identity.name, link, LinkUse.MEMBER)
        self.assertIsNone(self.connector.expected.match(self.peer.identity.name, nonce))

    def test_the_connection_is_recorded(self) -> None:
        """A link that was expected can be found by its connection, until it is lost."""
        nonce = self.expect()
        link = self.net.result(
            self.peer.crust.connect(self.node.endpoints, self.node.node_name, nonce, False)
        )
        link.send(FrameKind.HELLO, self.peer.hello(link, purpose=nonce))
        self.net.settle(0.05)
        name = self.peer.identity.name
        (connection,) = self.connector.expected.connections(name, nonce)
        self.assertEqual(connection.peer, link.connection.local)
        self.assertIsNotNone(self.connector.expected.of_connection(connection))
        link.abort(CloseReason.STOPPING)
        self.net.settle(0.5)
        self.assertEqual(self.connector.expected.connections(name, nonce), ())

"""A connection through a proxy, as its factory sees it."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.interfaces import IConnector
from twisted.internet.protocol import ClientFactory, Protocol, connectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.crust.proxying.connecting import ProxiedFactory
from routing_crust.crust.proxying.negotiations import negotiation_with
from routing_crust.endpoints import Endpoint
from routing_crust.hosts.proxies import Proxy

PROXY = Proxy.from_text("http://proxy:3128")
REMOTE = Endpoint("2600::1", 5483)
ANSWER = b"HTTP/1.1 200 OK\r\n\r\n"


class Peer(Protocol):
    came = b""
    lost = False

    def dataReceived(self, data: bytes) -> None:
        self.came += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = True


class PeerFactory(ClientFactory):
    def __init__(self) -> None:
        self.problems: list[str] = []
        self.peer: Peer | None = None
        self.declines = False

    def buildProtocol(self, addr: Any) -> Peer | None:
        self.peer = None if self.declines else Peer()
        return self.peer

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        self.problems.append(reason.getErrorMessage())


class HandOverTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.factory = PeerFactory()
        self.proxied = ProxiedFactory(
            self.factory, PROXY, negotiation_with(PROXY, REMOTE.host, REMOTE.port), REMOTE
        )
        self.proxied.startedConnecting(cast(IConnector, object()))
        self.transport: Any = StringTransport()
        self.conversation = self.proxied.buildProtocol(None)
        self.transport.protocol = self.conversation
        self.conversation.makeConnection(self.transport)

    def test_peers_protocol_takes_the_transport_over(self) -> None:
        self.conversation.dataReceived(ANSWER + b"first")
        peer = self.factory.peer
        assert peer is not None
        self.assertEqual(peer.came, b"first")
        self.assertIs(self.transport.protocol, peer)
        there: Any = peer.transport
        self.assertEqual((there.getPeer().host, there.getPeer().port), (REMOTE.host, REMOTE.port))
        self.transport.clear()
        there.write(b"mine")
        self.assertEqual(self.transport.value(), b"mine")

    def test_refusal_ends_the_connection_and_is_told_once(self) -> None:
        self.conversation.dataReceived(b"HTTP/1.1 403 No\r\n\r\n")
        self.conversation.dataReceived(b"more")
        self.conversation.connectionLost()
        self.assertEqual(self.factory.problems, ["the proxy http://proxy:3128 refuses: 403 No"])
        self.assertTrue(self.transport.disconnected)

    def test_connection_that_is_not_wanted_any_more_is_cut(self) -> None:
        self.factory.declines = True
        self.conversation.dataReceived(ANSWER)
        self.assertTrue(self.transport.disconnected)
        self.assertEqual(self.factory.problems, [])

"""Connections by the reactor on a path of ours: what the kernel makes of it."""

from __future__ import annotations

import socket
import sys
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ClientFactory, Factory, Protocol
from twisted.trial.unittest import SkipTest, TestCase

from routing_crust.crust.netstate.connecting import connect_tcp
from routing_crust.crust.netstate.paths import SYSTEM_PATH, DialPath
from routing_crust.crust.netstate.uplinks import Uplink
from routing_crust.endpoints import Endpoint

reactor: Any = _reactor


class Connected(Protocol):
    """Tells the factory of its connection."""

    def connectionMade(self) -> None:
        factory: Any = self.factory
        factory.made.callback(self.transport)


class ConnectingTests(TestCase):
    async def connect(self, path: DialPath, remote: Endpoint | None = None) -> Any:
        """The client's transport."""
        if remote is None:
            port = reactor.listenTCP(0, Factory.forProtocol(Protocol), interface="127.0.0.1")
            self.addCleanup(port.stopListening)
            remote = Endpoint("127.0.0.1", port.getHost().port)
        factory: Any = ClientFactory()
        factory.protocol = Connected
        factory.made = Deferred()
        factory.clientConnectionFailed = lambda _, reason: factory.made.errback(reason)
        closed: Deferred[None] = Deferred()
        factory.clientConnectionLost = lambda *_: closed.callback(None)
        connect_tcp(reactor, remote, factory, None, path)
        transport = await factory.made
        self.addCleanup(lambda: closed)
        self.addCleanup(transport.loseConnection)
        return transport

    async def test_connection_has_the_segments_of_its_path(self) -> None:
        sizes = []
        for path in (SYSTEM_PATH, DialPath(None, 536)):
            transport = await self.connect(path)
            sizes.append(transport.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG))
        self.assertGreater(sizes[0], 536)
        self.assertLessEqual(sizes[1], 536)

    async def test_connection_leaves_by_the_uplink_of_its_path(self) -> None:
        if sys.platform != "linux":
            raise SkipTest("all of 127.0.0.0/8 is this host on Linux alone")
        transport = await self.connect(DialPath(Uplink("lo", "127.0.0.9")))
        self.assertEqual(transport.getHost().host, "127.0.0.9")
        bound = transport.socket.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 64)
        self.assertEqual(bound, b"lo\0")

    async def test_interface_that_is_gone_is_an_error_of_the_dial(self) -> None:
        if not hasattr(socket, "SO_BINDTODEVICE"):
            raise SkipTest("this system does not let us choose an interface")
        with self.assertRaises(Exception) as problem:
            await self.connect(DialPath(Uplink("nosuch0", "127.0.0.9")), Endpoint("127.0.0.1", 9))
        self.assertIn("No such device", str(problem.exception))

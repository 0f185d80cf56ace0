"""Connections to a host of which the name is known, over real sockets."""

from __future__ import annotations

from typing import Any

from twisted.internet import error
from twisted.internet import reactor as _reactor
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConnector, IHostnameResolver
from twisted.internet.protocol import ClientFactory, Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from routing_crust.crust.netstate.named_host import connect_to_host
from routing_crust.timing.steadyclock import steady

reactor: Any = _reactor
NAME = "proxy.example.org"


@implementer(IHostnameResolver)
class Names:
    """Knows the addresses of one name; silent ones are never told."""

    def __init__(self, *addresses: str, silent: bool = False) -> None:
        self.addresses = addresses
        self.silent = silent

    def resolveHostName(self, receiver: Any, name: str, portNumber: int = 0) -> Any:
        receiver.resolutionBegan(None)
        if not self.silent:
            for each in self.addresses if name == NAME else ():
                kind = IPv6Address if ":" in each else IPv4Address
                receiver.addressResolved(kind("TCP", each, portNumber))
            receiver.resolutionComplete()
        return None


class Told(ClientFactory):
    """What a factory hears."""

    noisy = False

    def __init__(self) -> None:
        self.events: list[str] = []
        self.made: Deferred[Any] = Deferred()
        self.problems: list[Failure] = []
        self.over: Deferred[None] = Deferred()

    def startFactory(self) -> None:
        self.events.append("start")

    def stopFactory(self) -> None:
        self.events.append("stop")
        self.over.callback(None)

    def buildProtocol(self, addr: Any) -> Protocol:
        return Conversation(self)

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        self.events.append("failed")
        self.problems.append(reason)
        # a test that waits for a connection ends here
        self.made.callback(None)


class Conversation(Protocol):
    def __init__(self, told: Told) -> None:
        self.told = told

    def connectionMade(self) -> None:
        self.told.events.append("made")
        reactor.callLater(0, self.told.made.callback, self)


class Server(Protocol):
    def connectionMade(self) -> None:
        self.factory.there.append(self)  # type: ignore[union-attr]

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.factory.there.remove(self)  # type: ignore[union-attr]
        if not self.factory.there:  # type: ignore[union-attr]
            self.factory.empty.callback(None)  # type: ignore[union-attr]


class NamedHostTests(TestCase):
    timeout = 240

    def listen(self, address: str) -> int:
        self.server: Any = Factory.forProtocol(Server)
        self.server.there, self.server.empty = [], Deferred()
        port = reactor.listenTCP(0, self.server, interface=address)
        self.addCleanup(port.stopListening)
        number: int = port.getHost().port
        return number

    def connect(self, port: int, names: Names, host: str = NAME) -> tuple[Told, IConnector]:
        old = reactor.installNameResolver(names)
        self.addCleanup(reactor.installNameResolver, old)
        told = Told()
        # as the platform has it
        return told, connect_to_host(steady(reactor), host, port, told)

    async def reached(self, port: int, names: Names, host: str = NAME) -> str:
        told, connector = self.connect(port, names, host)
        conversation = await told.made
        self.assertEqual(told.events, ["start", "made"])
        address: str = conversation.transport.getPeer().host
        connector.disconnect()
        await told.over
        await self.server.empty
        self.assertEqual(told.events, ["start", "made", "stop"])
        return address

    async def test_name_with_an_ipv6_address_only_is_reached(self) -> None:
        self.assertEqual(await self.reached(self.listen("::1"), Names("::1")), "::1")

    async def test_next_address_is_tried_when_one_refuses(self) -> None:
        """And the factory is not over between the two."""
        port = self.listen("127.0.0.1")
        self.assertEqual(await self.reached(port, Names("::1", "127.0.0.1")), "127.0.0.1")

    async def test_address_is_connected_to_without_being_resolved(self) -> None:
        self.assertEqual(await self.reached(self.listen("::1"), Names(), "::1"), "::1")

    async def test_name_without_an_address_fails_once(self) -> None:
        told, _ = self.connect(1, Names())
        await told.over
        self.assertEqual([each.type for each in told.problems], [error.DNSLookupError])
        self.assertEqual(told.events, ["start", "failed", "stop"])

    async def test_name_that_nobody_answers_for_is_called_off(self) -> None:
        told, connector = self.connect(1, Names(silent=True))
        connector.disconnect()
        await told.over
        self.assertEqual(told.events, ["start", "failed", "stop"])

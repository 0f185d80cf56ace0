"""Streams over real links on this machine."""

from __future__ import annotations

from hashlib import sha256
from random import Random
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent, readBody
from twisted.web.iweb import IAgentEndpointFactory
from twisted.web.resource import Resource
from twisted.web.server import Site
from zope.interface import implementer

from routing_crust import Contact, Endpoint, Role, RoutingService, Settings, TwoWay
from routing_crust.streams import StreamLinkLost, streams_of

from .protocols import Keeping, Noting

reactor: Any = _reactor
SIZE = 8 << 20


class Hashing(Noting):
    """Hashes what comes, and says when it is over."""

    def __init__(self) -> None:
        super().__init__()
        self.hash = sha256()
        self.count = 0
        self.over: Deferred[bytes] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.hash.update(data)
        self.count += len(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        self.over.callback(self.hash.digest())


class Hello(Resource):
    """A page."""

    isLeaf = True

    def render_GET(self, request: Any) -> bytes:
        peer = request.transport.getPeer()
        return b"hello %s " % str(peer.name).encode() + bytes(100_000)


@implementer(IAgentEndpointFactory)
class ByName:
    """Makes Twisted's HTTP client open streams."""

    def __init__(self, client: RoutingService, server: RoutingService) -> None:
        self.client, self.server = client, server

    def endpointForURI(self, uri: Any) -> Any:
        return self

    def connect(self, factory: Any) -> Any:
        return streams_of(self.client).open(self.server.node_name, "http", factory)


class LoopbackTests(TestCase):
    async def two(self) -> tuple[RoutingService, RoutingService]:
        first = self.start(role=Role.FIRST, listen=(Endpoint("127.0.0.1", 0),))
        contact = first.contact
        assert isinstance(contact, Contact)
        client = self.start(role=Role.CLIENT, listen=(), contacts=(contact,))
        await client.when_connected()
        return first, client

    def start(self, **options: Any) -> RoutingService:
        service = RoutingService(
            Settings(lan_discovery=False, two_way=TwoWay.OFF, **options), reactor=reactor
        )
        service.startService()
        self.addCleanup(service.stopService)
        return service

    async def test_bulk_streams_arrive_intact_both_ways(self) -> None:
        """Several at once in both directions, all intact, and every end clean."""
        first, client = await self.two()
        served = Keeping(Hashing)
        for node in (first, client):
            streams_of(node).listen("sink", served)
        random = Random(5)
        sent: list[bytes] = []
        for here, there in ((client, first), (first, client)) * 2:
            protocol: Any = await streams_of(here).open(there.node_name, "sink", Keeping())
            data = random.randbytes(SIZE)
            sent.append(sha256(data).digest())
            protocol.transport.write(data)
            protocol.transport.loseConnection()
        received = [await each.over for each in served.made]
        self.assertEqual(received, sent)
        self.assertEqual([type(each.reason) for each in served.made], [ConnectionDone] * 4)

    async def test_http_works_over_streams(self) -> None:
        """Twisted's own HTTP server and client, which know nothing of names; the page knows the peer's."""
        first, client = await self.two()
        port = streams_of(first).listen("http", Site(Hello(), reactor=reactor))
        self.addCleanup(port.stopListening)
        agent = Agent.usingEndpointFactory(reactor, ByName(client, first))
        for _ in range(3):
            response: Any = await agent.request(b"GET", b"http://example.net/")
            body = await readBody(response)
            self.assertEqual(body, b"hello %s " % str(client.node_name).encode() + bytes(100_000))

    async def test_stopped_service_ends_its_streams(self) -> None:
        """Streams end with their service, at both ends, and nothing stays behind."""
        first, client = await self.two()
        served, opened = Keeping(Hashing), Keeping(Hashing)
        streams_of(first).listen("sink", served)
        protocol: Any = await streams_of(client).open(first.node_name, "sink", opened)
        protocol.transport.write(bytes(SIZE))
        await first.stopService()
        await opened.made[0].over
        await served.made[0].over
        for each in (opened, served):
            self.assertIsInstance(each.made[0].reason, StreamLinkLost)
        self.assertEqual((len(streams_of(first)._peers), len(streams_of(client)._peers)), (0, 0))

"""What the tests of links over real sockets share."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.trial.unittest import TestCase

from routing_crust.crust.link.factories import LinkConnectFactory
from routing_crust.crust.link.link import Link
from routing_crust.crust.link.plan import LinkPlan
from routing_crust.endpoints import Direction
from routing_crust.errors import CloseReason, LinkClosed
from routing_crust.names import Name

from .support import (
    Owner,
    Stranger,
    StrangerFactory,
    StrangerTls,
    accepting,
)

reactor: Any = _reactor


class SocketTests(TestCase):
    """What all tests here need."""

    def setUp(self) -> None:
        self.ours = Owner(reactor, seed=1)
        self.theirs = Owner(reactor, seed=2)
        self.addCleanup(lambda: self.assertEqual(self.flushLoggedErrors(), []))

    def listen(self, owner: Owner, **options: Any) -> int:
        port = accepting(owner, reactor, **options)
        self.addCleanup(port.stopListening)
        return int(port.getHost().port)

    def listen_as_stranger(self, tls: StrangerTls) -> tuple[int, Stranger]:
        factory = StrangerFactory()
        port = reactor.listenTCP(0, tls.over(factory, False, reactor), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return int(port.getHost().port), factory.stranger

    def dial(self, owner: Owner, port: int, expected: Name | None = None, **options: Any) -> Deferred[Link]:
        plan = LinkPlan(Direction.CONNECTED, **({"initiator": True, "expected": expected} | options))
        factory = LinkConnectFactory(owner, owner.tls, plan)
        return factory.connect(TCP4ClientEndpoint(reactor, "127.0.0.1", port))

    def dial_as_stranger(self, port: int, tls: StrangerTls | None) -> Stranger:
        factory = StrangerFactory()
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port)
        endpoint.connect(factory if tls is None else tls.over(factory, True, reactor))
        return factory.stranger

    async def closed(self, dial: Deferred[Link]) -> LinkClosed:
        """Why a dial has failed."""
        error: LinkClosed = await self.assertFailure(dial, LinkClosed)
        return error

    async def pair(self, **options: Any) -> tuple[Link, Link]:
        """A link, dialled by us; returns our end and theirs."""
        dial = self.dial(self.ours, self.listen(self.theirs), **options)
        link = await dial
        (other,) = await self.theirs.next("up")
        return link, other

    async def part(self) -> None:
        """Close all links, and wait for the end."""
        for link in [*self.ours.of("up"), *self.theirs.of("up")]:
            link[0].abort(CloseReason.STOPPING)
        for owner in (self.ours, self.theirs):
            if owner.of("up"):
                await owner.next("lost")

"""Rendezvous over real sockets on loopback: both dial from their listening ports, or one accepts."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from routing_crust.crust.interfaces import Rendezvous
from routing_crust.endpoints import Direction, Rung

from .addresses import at, name
from .services import KIND, ServiceTests, turn

TOKEN = b"sixteen bytes of"


class RendezvousTests(ServiceTests):
    def two(self, **settings: Any) -> None:
        """Two nodes, of which the first is the requester."""
        self.one, self.events = self.start(1, listen=(at("127.0.0.2:0"),), **settings)
        self.two_, self.others = self.start(2, listen=(at("127.0.0.3:0"),), **settings)

    def expect(self) -> None:
        self.one.expect(name(2), TOKEN, True)
        self.two_.expect(name(1), TOKEN, False)

    def meet(self, requester: bool, after: float = 0) -> Deferred[Any]:
        here, there, peer = (self.one, self.two_, 2) if requester else (self.two_, self.one, 1)
        return here.connect(there.endpoints, name(peer), TOKEN, False, Rendezvous(requester, after))

    async def check(self, link: Any, other: Any) -> None:
        """The two ends of one link, with all that is said of it."""
        self.assertEqual((link.peer, other.peer), (name(2), name(1)))
        self.assertEqual((link.initiator, other.initiator), (True, False))
        self.assertEqual((link.token, other.token), (TOKEN, TOKEN))
        self.assertEqual(link.connection.peer, other.connection.local)
        self.assertEqual(link.connection.peer, self.two_.endpoints[0])
        self.assertEqual(link.connection.local, self.one.endpoints[0])
        self.assertEqual(link.binding, other.binding)
        link.verified()
        other.verified()
        link.send(KIND, b"hole")
        self.assertEqual(await self.others.next("message"), (other, KIND, b"hole"))

    async def test_both_dial(self) -> None:
        """Both dial each other: one link, whichever way the two SYNs met, and both Deferreds fire with it."""
        self.two()
        self.expect()
        link, other = await gatherResults([self.meet(True), self.meet(False)])
        await self.check(link, other)
        self.assertEqual(len(self.events.of("connect") + self.events.of("accept")), 1)
        self.assertEqual(len(self.others.of("connect") + self.others.of("accept")), 1)
        await turn()
        self.assertEqual((self.events.of("lost"), self.others.of("lost")), ([], []))

    async def test_requester_dials(self) -> None:
        """The other only expects: it accepts, and the requester is the TLS client as always."""
        self.two()
        self.expect()
        link = await self.meet(True)
        (other,) = await self.others.next("accept")
        await self.check(link, other)
        self.assertEqual((link.direction, other.direction), (Direction.CONNECTED, Direction.ACCEPTED))
        self.assertEqual((link.rung, other.rung), (Rung.DIRECT, Rung.DIRECT))

    async def test_responder_dials(self) -> None:
        """The requester only expects: it accepts, and is the TLS client all the same."""
        self.two()
        self.expect()
        other = await self.meet(False)
        (link,) = await self.events.next("accept")
        await self.check(link, other)
        self.assertEqual((link.direction, other.direction), (Direction.ACCEPTED, Direction.CONNECTED))
        self.assertEqual((link.rung, other.rung), (Rung.DIRECT, Rung.DIRECT))
        # the accept may come before the requester dials: then it gets what there is
        self.assertIs(await self.meet(True), link)

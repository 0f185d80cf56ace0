"""
This library's side: frames over the links of crust, made by its own factories.

As on the reference's side, the client's link counts as made once the server's first frame is there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.interfaces import IReactorTime

from routing_crust.config import Settings
from routing_crust.crust.interfaces import ILink
from routing_crust.crust.link import link as link_module
from routing_crust.crust.link import sending
from routing_crust.crust.link.factories import LinkAcceptFactory, LinkConnectFactory
from routing_crust.crust.link.plan import LinkPlan
from routing_crust.crust.link.reading import ReadingTurns
from routing_crust.crust.link.tls import LinkTls
from routing_crust.endpoints import Direction, Endpoint
from routing_crust.errors import CloseReason, LinkClosed
from routing_crust.limits import MIB

from .bare import READY, Flood
from .credentials import CLIENT, SERVER, identity
from .tools import SLOTS, Meter, Window, in_parallel, memory, settle, time_set_ups

FRAME = 128
SETTINGS = Settings()

# The benchmarks of large frames compare with transports that know no limit.
for module in (link_module, sending):
    module.MAX_FRAME_BYTES = 2 * MIB  # type: ignore[attr-defined]


class Owner:
    """Owns links as crust does, and does with their frames what the actor wants just now."""

    meter: Meter

    def __init__(self, clock: IReactorTime) -> None:
        self.clock = clock
        self.settings = SETTINGS
        self.reading = ReadingTurns(clock)
        self.ready: dict[ILink, Deferred[ILink]] = {}
        self.lost: dict[ILink, Deferred[None]] = {}
        self.answered: Callable[[], object] | None = None

    def may_accept(self, peer: Endpoint) -> bool:
        """Everyone may."""
        return True

    def link_up(self, link: ILink) -> None:
        """A link is up: the server says so."""
        link.verified()
        self.lost[link] = Deferred()
        if link.direction is Direction.ACCEPTED:
            link.send(FRAME, READY)
        else:
            self.ready[link] = Deferred()

    def link_frame(self, link: ILink, kind: int, payload: bytes) -> None:
        """The client's: the server is ready, or an answer is there."""
        if self.answered is not None:
            self.answered()
        else:
            self.ready.pop(link).callback(link)

    probe_key = b""

    def heartbeat_after(self, network: str) -> float:
        """A third of C{inactivity_timeout}."""
        return self.settings.inactivity_timeout / 3

    def link_silent(self, link: ILink) -> None:
        """No link waits for an answer for long."""

    def link_doubted(self, link: ILink) -> None:
        """Whatever is slow here is measured."""

    def link_lost(self, link: ILink, reason: LinkClosed) -> None:
        """A link is gone."""
        self.lost.pop(link).callback(None)
        if link in self.ready:
            self.ready.pop(link).errback(reason)

    @property
    def hello_timeout(self) -> float:
        """The setting."""
        return self.settings.hello_timeout

    def accepting(
        self, peer: Endpoint, link: Deferred[ILink], abort: Callable[[CloseReason, str], None]
    ) -> None:
        """Not all links come up; the client hears of it."""
        link.addErrback(lambda failure: None)

    def handshake_due(self, peer: Endpoint, begin: Callable[[], bool]) -> None:
        """It is everyone's turn."""
        begin()


class SinkOwner(Owner):
    """Counts what comes."""

    left = 0

    def link_frame(self, link: ILink, kind: int, payload: bytes) -> None:
        """One frame."""
        self.left -= 1
        if not self.left:
            self.meter.mark()


class EchoOwner(Owner):
    """Sends back what comes."""

    def link_frame(self, link: ILink, kind: int, payload: bytes) -> None:
        """One frame."""
        link.send(kind, payload)


class LinkActor:
    """Either end."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._owner = Owner(reactor)
        self._tls = LinkTls(identity(CLIENT))
        self._links: list[ILink] = []

    async def do_listen(self, mode: str) -> int:
        """Start to serve. Returns the port."""
        self._owner = (EchoOwner if mode == "echo" else SinkOwner)(self._reactor)
        factory = LinkAcceptFactory(self._owner, LinkTls(identity(SERVER)))
        endpoint = TCP4ServerEndpoint(self._reactor, 0, interface="127.0.0.1", backlog=512)
        listening: Any = await endpoint.listen(factory)
        port: int = listening.getHost().port
        return port

    def do_expect(self, count: int) -> None:
        """The next frames are to be timed."""
        self._owner.meter = Meter(self._owner, count)

    async def do_measured(self) -> float:
        """Wait for the frames. Returns how many came in a second."""
        return await self._owner.meter.done

    async def do_connect(self, port: int, mode: str) -> None:
        """Connect."""
        self._links.append(await self._connect(port))

    async def do_flood(self, size: int, count: int) -> None:
        """Send frames one way, as fast as the link takes them."""
        link = self._links[0]
        body = bytes(size)
        flood = Flood(link.send, (FRAME, body), count)
        link.add_producer(flood)
        flood.resumeProducing()
        await flood.done
        link.remove_producer(flood)

    async def do_ask(self, size: int, count: int, window: int) -> float:
        """Send frames that come back. Returns how many did in a second."""
        link = self._links[0]
        body = bytes(size)
        questions = Window(link.send, (FRAME, body), count, window)
        self._owner.answered = questions.answered
        return await questions.start()

    async def do_set_up(self, port: int, count: int, batch: int) -> float:
        """Make links and close them, in batches. Returns how many were made in a second."""
        return await time_set_ups(lambda number: self._connect(port), self._disconnect, count, batch)

    async def do_hold(self, port: int, count: int) -> None:
        """Keep this many links more."""
        self._links += await in_parallel(lambda number: self._connect(port), count, SLOTS)

    async def do_memory(self) -> int:
        """Returns this process's memory in bytes."""
        await settle(self._reactor)
        return memory()

    async def _connect(self, port: int) -> ILink:
        plan = LinkPlan(Direction.CONNECTED, initiator=True, expected=identity(SERVER).name)
        factory = LinkConnectFactory(self._owner, self._tls, plan)
        link = await factory.connect(TCP4ClientEndpoint(self._reactor, "127.0.0.1", port))
        return await self._owner.ready[link]

    async def _disconnect(self, link: ILink) -> None:
        lost = self._owner.lost[link]
        link.close(CloseReason.NO_LONGER_NEEDED)
        await lost

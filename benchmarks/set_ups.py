"""
This library's set-ups: crust and routing's handling of links, from the dial to the confirmed link.

Two nodes have one link at most, so each of the client's links belongs to a node of its own. A link counts
as made when routing tells of it: both Hellos are verified and the link is confirmed.
"""

from __future__ import annotations

from random import SystemRandom
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from routing_crust.config import Role, Settings, TwoWay
from routing_crust.crust.interfaces import ICrustEvents, ILink
from routing_crust.crust.platform import SystemPlatform
from routing_crust.crust.reachability import Reachability
from routing_crust.crust.service import CrustService
from routing_crust.endpoints import Endpoint
from routing_crust.errors import CloseReason, LinkClosed
from routing_crust.identity import Identity
from routing_crust.routing.links.handshake import PeerFacts
from routing_crust.routing.links.peer import Peer, PeerListener, Permit
from routing_crust.routing.links.registry import LinkRegistry
from routing_crust.routing.node import Node
from routing_crust.timing.shares import OURSELVES
from routing_crust.wire.fields import NONCE_BYTES
from routing_crust.wire.messages import LinkUse

from .credentials import SERVER, identity
from .tools import time_set_ups

PLENTY = 65536


def settings(role: Role) -> Settings:
    """No limit is in the way of hundreds of links from one address, and nothing looks around."""
    return Settings(
        role=role,
        listen=() if role is Role.CLIENT else (Endpoint("127.0.0.1", 0),),
        lan_discovery=False,
        two_way=TwoWay.OFF,
        max_links=PLENTY,
        max_clients=PLENTY,
        max_unverified_links=PLENTY,
        max_handshakes_per_prefix=PLENTY,
    )


@implementer(ICrustEvents)
class LinkHandler(PeerListener):
    """
    A node that does nothing but confirm links; anyone may have one.

    @ivar crust: makes the links.
    """

    def __init__(self, reactor: Any, own: Identity, role: Role) -> None:
        chosen = settings(role)
        self.crust = CrustService(chosen, own, SystemPlatform(reactor), SystemRandom())
        self._links = LinkRegistry(Node(chosen, own, reactor, SystemRandom(), self.crust, 1, reactor.seconds))
        self._links.attach(self, (self,))
        self._confirmed: Deferred[ILink] | None = None
        self._lost: Deferred[None] | None = None
        self._link: ILink | None = None

    def start(self) -> None:
        """Listen, if this is not a client."""
        self.crust.start(self)

    async def connect(self, server: Endpoint, token: bytes) -> LinkHandler:
        """Have a confirmed link."""
        confirmed: Deferred[ILink] = Deferred()
        self._confirmed = confirmed
        await self.crust.connect((server,), identity(SERVER).name, token, OURSELVES)
        self._link = await confirmed
        return self

    async def disconnect(self) -> None:
        """Close the link, and wait until it is lost."""
        assert self._link is not None
        lost: Deferred[None] = Deferred()
        self._lost = lost
        self._links.close(self._link, CloseReason.NO_LONGER_NEEDED)
        await lost

    def on_connect(self, link: ILink) -> None:
        self._links.new_link(link)

    on_accept = on_connect

    def new_message(self, link: ILink, kind: int, payload: bytes) -> None:
        self._links.frame_received(link, kind, payload)

    def link_doubted(self, link: ILink) -> None:
        """Nothing gets lost here."""

    def lost_connection(self, link: ILink, reason: LinkClosed) -> None:
        self._links.link_lost(link, reason.reason, reason.detail)
        if self._confirmed is not None:
            self._confirmed.errback(reason)
        elif self._lost is not None:
            self._lost.callback(None)

    def bootstrap_finished(self, links: int, problem: str) -> None:
        """Not called: we never bootstrap."""

    def external_endpoints(self, endpoints: tuple[Endpoint, ...]) -> None:
        """Not needed here."""

    def reachability_changed(self, reachability: Reachability) -> None:
        """Not needed here."""

    def network_changed(self) -> None:
        """Not needed here."""

    def greeted(self, link: ILink, facts: PeerFacts) -> None:
        """Not needed here."""

    def judge(self, link: ILink, facts: PeerFacts) -> Permit:
        return Permit(LinkUse.ATTACHED)

    def has_room(self, link: ILink, use: LinkUse) -> bool:
        """Not asked: nobody asks for more than to be attached."""
        return False

    def permitted_use(self, link: ILink) -> LinkUse:
        """Nobody asks for more."""
        return LinkUse.ATTACHED

    def peer_established(self, peer: Peer, before: Peer | None) -> None:
        """The link that was waited for is confirmed."""
        if self._confirmed is not None:
            confirmed, self._confirmed = self._confirmed, None
            confirmed.callback(peer.link)


class HandshakeActor:
    """Either end."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._handlers: list[LinkHandler] = []

    def do_listen(self, mode: str) -> int:
        """Start to serve. Returns the port."""
        handler = LinkHandler(self._reactor, identity(SERVER), Role.FIRST)
        self._handlers.append(handler)
        handler.start()
        return handler.crust.endpoints[0].port

    async def do_set_up(self, port: int, count: int, batch: int) -> float:
        """Make links and close them, in batches. Returns how many were made in a second."""
        while len(self._handlers) < batch:
            own = identity(1 + len(self._handlers))
            self._handlers.append(LinkHandler(self._reactor, own, Role.CLIENT))
            self._handlers[-1].start()
        server = Endpoint("127.0.0.1", port)

        async def connect(number: int) -> LinkHandler:
            return await self._handlers[number].connect(server, number.to_bytes(NONCE_BYTES, "big"))

        return await time_set_ups(connect, LinkHandler.disconnect, count, batch)

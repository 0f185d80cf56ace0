"""
Accepting: who may come in, and how many may stand at the door.

A connection is judged three times: by its address before anything is spent on it, by the peer's name once
TLS has proven it, and then it has C{hello_timeout} seconds until the layer above has verified its Hello;
until that it counts against C{max_unverified_links} and C{max_unverified_per_prefix}.
"""

from __future__ import annotations

from ..endpoints import Endpoint
from ..errors import CloseReason, LinkClosed
from .admission import Refusal, Rules, UnverifiedCount
from .factories import LinkAcceptFactory
from .link import Link
from .owner import LinkOwner
from .tls import LinkTls


class Doorkeeper:
    """Counts the accepted connections of one node from their beginning to their verified Hello or end."""

    def __init__(self, owner: LinkOwner, rules: Rules) -> None:
        self._settings = owner.settings
        self._rules = rules
        self._count = UnverifiedCount(owner.settings)
        self._unverified: dict[Link, Endpoint] = {}

    def refusal(self, peer: Endpoint, links: int) -> Refusal | None:
        """
        Whether a connection from there is to be refused.

        @param links: how many links there are.
        """
        refusal = self._rules.refusal_of_address(peer)
        if refusal is not None:
            return refusal
        if links >= self._settings.max_links:
            return Refusal("there are too many links", "max_links", self._settings.max_links)
        self._look_who_is_verified()
        return self._count.refusal(peer)

    def came(self, link: Link, peer: Endpoint) -> None:
        """A connection was accepted."""
        self._unverified[link] = peer
        self._count.add(peer)

    def went(self, link: Link) -> None:
        """A link is gone; one that is not counted makes no difference."""
        peer = self._unverified.pop(link, None)
        if peer is not None:
            self._count.remove(peer)

    def unverified(self) -> int:
        """How many are counted at this moment."""
        self._look_who_is_verified()
        return self._count.total

    def _look_who_is_verified(self) -> None:
        for link in [each for each in self._unverified if each.is_verified]:
            self.went(link)


class Acceptor(LinkAcceptFactory):
    """
    The factory behind the listening ports: it also knows the connections that are not up yet.

    @ivar pending: accepted connections whose TLS handshake is going on.
    """

    def __init__(self, owner: LinkOwner, tls: LinkTls, doorkeeper: Doorkeeper) -> None:
        super().__init__(owner, tls)
        self.pending: dict[Link, None] = {}
        self._doorkeeper = doorkeeper

    def buildProtocol(self, addr: object) -> Link | None:
        """See Twisted's interface. Declines when the owner does."""
        link = super().buildProtocol(addr)
        if link is not None:
            self.pending[link] = None
            self._doorkeeper.came(link, Endpoint.of(addr.host, addr.port))  # type: ignore[attr-defined]
        return link

    def link_established(self, link: Link) -> None:
        """See L{routing_crust.crust.owner.LinkMaker}."""
        del self.pending[link]
        super().link_established(link)

    def link_failed(self, link: Link, reason: LinkClosed) -> None:
        """See L{routing_crust.crust.owner.LinkMaker}."""
        del self.pending[link]
        self._doorkeeper.went(link)
        super().link_failed(link, reason)

    def abort(self) -> None:
        """Cut all connections that are not up yet."""
        for link in list(self.pending):
            link.abort(CloseReason.STOPPING)

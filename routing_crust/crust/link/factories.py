"""
The factories of links: one for what we dial, one for what we accept. Both make the same L{Link}.

Who is the TLS client is not decided by who dialled: where both ends dialled each other, it is agreed upon
elsewhere and given here.
"""

from __future__ import annotations

from typing import Any

from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConnector, IProtocol, IStreamClientEndpoint
from twisted.internet.protocol import ClientFactory, Factory
from twisted.python.failure import Failure

from ...endpoints import Connection, Direction, Endpoint, PathKind
from ...endpoints import Protocol as TransportProtocol
from ...errors import CloseReason, LinkClosed
from ...names import Name
from .link import Link
from .owner import LinkOwner
from .tls import LinkTls, LinkTlsFactory, VerifiedPeer


class LinkFactory(Factory):
    """What both factories have in common."""

    noisy = False
    direction: Direction
    bootstrap = False
    token = b""
    path_kind = PathKind.DIRECT
    via: Name | None = None

    def __init__(self, owner: LinkOwner, tls: LinkTls, initiator: bool, expected: Name | None) -> None:
        self.owner = owner
        self.initiator = initiator
        self._tls = tls
        self._expected = expected

    def over_tls(self) -> LinkTlsFactory:
        """This factory as it is given to the reactor: its links under TLS."""
        return self._tls.wrap(
            self,
            initiator=self.initiator,
            expected=self._expected,
            max_handshake=self.owner.settings.max_unverified,
            clock=self.owner.clock,
        )

    def connection_of(self, transport: Any) -> Connection:
        """See L{routing_crust.crust.link.owner.LinkMaker}."""
        host, peer = transport.getHost(), transport.getPeer()
        return Connection(
            TransportProtocol.TCP, Endpoint.of(peer.host, peer.port), Endpoint.of(host.host, host.port)
        )

    def verified_peer(self, session: SSL.Connection) -> VerifiedPeer:
        """See L{routing_crust.crust.link.owner.LinkMaker}."""
        return self._tls.verified_peer(session, self.initiator)


class LinkConnectFactory(LinkFactory, ClientFactory):
    """
    Makes one link of one dial.

    @ivar link: fires with the L{Link} once its TLS handshake is done and its peer checked, after the
        owner's C{link_up}. Fails with L{LinkClosed} when it does not come to that: C{TLS_REFUSED}, C{SELF},
        C{HELLO_TIMEOUT} or C{CONNECTION_LOST}. Cancelling it ends the dial, and fails it with
        C{NO_LONGER_NEEDED}.
    """

    direction = Direction.CONNECTED

    def __init__(
        self,
        owner: LinkOwner,
        tls: LinkTls,
        expected: Name | None = None,
        *,
        initiator: bool = True,
        bootstrap: bool = False,
        token: bytes = b"",
    ) -> None:
        """
        @param expected: who must answer; C{None} accepts anyone.
        @param initiator: whether this end is the TLS client.
        @param bootstrap: becomes C{bootstrap} of the link.
        @param token: becomes C{token} of the link.
        """
        super().__init__(owner, tls, initiator, expected)
        self.bootstrap = bootstrap
        self.token = token
        self.link: Deferred[Link] = Deferred(self._cancelled)
        self._dial: Deferred[IProtocol] | None = None
        self._built: Link | None = None

    def connect(self, endpoint: IStreamClientEndpoint) -> Deferred[Link]:
        """
        Dial, once.

        @return: L{link}.
        """
        self._dial = endpoint.connect(self.over_tls())
        self._dial.addErrback(self._unconnected)
        return self.link

    def buildProtocol(self, addr: object) -> Link | None:
        """See Twisted's interface. Declines when the dial is over."""
        if self.link.called or self._built is not None:
            return None
        self._built = Link(self)
        return self._built

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        """See Twisted's interface; for those who dial without an endpoint."""
        self._unconnected(reason)

    def _unconnected(self, failure: Failure) -> None:
        if not self.link.called:
            self.link.errback(LinkClosed(CloseReason.CONNECTION_LOST, failure.getErrorMessage()))

    def _cancelled(self, link: Deferred[Link]) -> None:
        link.errback(LinkClosed(CloseReason.NO_LONGER_NEEDED, "the dial was cancelled"))
        if self._built is not None:
            self._built.abort(CloseReason.NO_LONGER_NEEDED)
        elif self._dial is not None:
            self._dial.cancel()

    def link_established(self, link: Link) -> None:
        """See L{routing_crust.crust.link.owner.LinkMaker}."""
        try:
            self.owner.link_up(link)
        finally:
            if not self.link.called:
                self.link.callback(link)

    def link_failed(self, link: Link, reason: LinkClosed) -> None:
        """See L{routing_crust.crust.link.owner.LinkMaker}."""
        if not self.link.called:
            self.link.errback(reason)


class LinkAcceptFactory(LinkFactory):
    """Makes a link of each connection that is accepted, and reports it to the owner."""

    direction = Direction.ACCEPTED

    def __init__(
        self, owner: LinkOwner, tls: LinkTls, expected: Name | None = None, *, initiator: bool = False
    ) -> None:
        """
        @param expected: who must be there; C{None} accepts anyone.
        @param initiator: whether this end is the TLS client.
        """
        super().__init__(owner, tls, initiator, expected)

    def buildProtocol(self, addr: object) -> Link | None:
        """See Twisted's interface. Declines when the owner does."""
        peer = Endpoint.of(addr.host, addr.port)  # type: ignore[attr-defined]
        return Link(self) if self.owner.may_accept(peer) else None

    def link_established(self, link: Link) -> None:
        """See L{routing_crust.crust.link.owner.LinkMaker}."""
        self.owner.link_up(link)

    def link_failed(self, link: Link, reason: LinkClosed) -> None:
        """See L{routing_crust.crust.link.owner.LinkMaker}."""
        self.owner.refused(link.connection, reason)

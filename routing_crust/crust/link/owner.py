"""
The two sides of a link that are not the peer's: who owns it, and who makes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from OpenSSL import SSL
from twisted.internet.interfaces import IReactorTime

from ...config import Settings
from ...endpoints import Connection, Direction, Endpoint, PathKind
from ...errors import LinkClosed
from ...names import Name
from .tls import VerifiedPeer

if TYPE_CHECKING:
    from .link import Link


class LinkOwner(Protocol):
    """
    Who owns links and hears of them. None of these is called from within a call to a link.
    """

    @property
    def clock(self) -> IReactorTime:
        """Where delayed calls are made."""

    @property
    def settings(self) -> Settings:
        """The settings that links keep to."""

    def may_accept(self, peer: Endpoint) -> bool:
        """
        Whether a connection from there may be accepted. For each one that may, L{link_up} or L{refused}
        follows, once.
        """

    def link_up(self, link: Link) -> None:
        """A link of either direction is up: its TLS handshake is done and its peer's name proven."""

    def link_frame(self, link: Link, kind: int, payload: bytes) -> None:
        """
        A frame came. An exception closes the link; a L{WireError} is the peer's fault, any other is ours
        and is logged.
        """

    def link_lost(self, link: Link, reason: LinkClosed) -> None:
        """A link that was up is gone; called once for each."""

    def refused(self, connection: Connection, reason: LinkClosed) -> None:
        """A connection that we accepted has gone away before it was up."""


class LinkMaker(Protocol):
    """What a link needs to know of the factory that makes it; see L{routing_crust.crust.link.factories}."""

    owner: LinkOwner
    initiator: bool
    direction: Direction
    bootstrap: bool
    token: bytes
    path_kind: PathKind
    via: Name | None

    def connection_of(self, transport: Any) -> Connection:
        """Which connection a link of this maker runs over, when it is made."""

    def verified_peer(self, session: SSL.Connection) -> VerifiedPeer:
        """
        Who is at the other end of a TLS session whose handshake is done.

        @raise PeerRefused: somebody who must not.
        """

    def link_established(self, link: Link) -> None:
        """The link is up."""

    def link_failed(self, link: Link, reason: LinkClosed) -> None:
        """The link is gone and was never up."""

"""
Peers: what the other parts see of a node that we have a link with, and what the registry of links asks and
tells them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ...crust.interfaces import ILink
from ...endpoints import Endpoint, PathKind
from ...errors import CloseReason, LinkClosed
from ...names import Name
from ...wire.messages import LinkUse
from .handshake import PeerFacts


@dataclass(frozen=True, slots=True)
class Accept:
    """The peer may have the link, for this use."""

    use: LinkUse
    we_asked: bool = False


@dataclass(frozen=True, slots=True)
class Refuse:
    """The peer may not have the link."""

    reason: CloseReason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Peer:
    """
    A peer with a confirmed link.

    @ivar link: the link that both ends agreed on.
    @ivar use: what it is for.
    @ivar two_way: whether each end was able to dial the other.
    @ivar facts: what the peer's Hello on this link said.
    @ivar since: when the link was first confirmed, in seconds.
    """

    name: Name
    link: ILink
    use: LinkUse
    two_way: bool
    facts: PeerFacts
    since: float

    @property
    def endpoint(self) -> Endpoint | None:
        """The address of the peer at the other end of the connection; C{None} if that is a tunnel."""
        return None if self.link.path_kind is PathKind.TUNNEL else self.link.connection.peer


class LinkPolicy(Protocol):
    """
    What the registry asks before a peer may have a link. Neither of these may raise.
    """

    def judge(self, link: ILink, facts: PeerFacts) -> Accept | Refuse:
        """A peer's Hello holds: may it have what it wants?"""

    def greeted(self, link: ILink, facts: PeerFacts) -> None:
        """A peer's Hello was verified, and it may have what it wants."""


class PeerListener:
    """
    A part that follows the peers. Whoever wires the node gives the registry the list of them, and says there
    why they stand in that order.

    A part subclasses this and overrides what concerns it; here nothing is done. None of these may raise.
    """

    def link_replaced(self, before: Peer, peer: Peer) -> None:
        """
        Another link has taken the place of C{before.link}. What was sent over that still comes, and before
        what comes over the new one; what is sent over it from now on goes over the new one. All listeners
        hear this before the first hears L{peer_established}.
        """

    def peer_established(self, peer: Peer, before: Peer | None) -> None:
        """
        A link was confirmed, or is for another use from now on.

        If a listener closes the peer's last link here, those after it in the list hear only L{peer_lost}.

        @param before: what there was to this peer until now.
        """

    def peer_reset(self, peer: Peer, reason: LinkClosed) -> None:
        """
        What was on its way to the peer, or from it, may be lost, though it has a link. What comes from now
        on was sent when the peer knew that as well.
        """

    def peer_lost(self, peer: Peer, reason: CloseReason, detail: str) -> None:
        """No confirmed link is left to this peer."""

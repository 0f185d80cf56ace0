"""
Peers, as the other parts see them, and what the registry of links asks and tells those parts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from ...crust.interfaces import ILink
from ...endpoints import Endpoint, PathKind
from ...errors import CloseReason, LinkClosed
from ...names import Name
from ...wire.messages import LinkUse
from .handshake import PeerFacts

LinkFrameHandler: TypeAlias = Callable[[ILink, int, bytes], object]
"""Called with a peer's current link, a kind and a payload for each frame of the kinds that it handles."""


@dataclass(frozen=True, slots=True)
class Permit:
    """
    The peer may have the link for this use.

    @ivar beside: whether it is to take the place of the current link, which is doubted, or a slower tunnel.
    """

    use: LinkUse
    we_asked: bool = False
    beside: bool = False


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
        # the connection of a tunnel names its relay
        return None if self.link.path_kind is PathKind.TUNNEL else self.link.connection.peer


class LinkPolicy(Protocol):
    """
    Decides whether a peer may have a link. Neither of these may raise.
    """

    def judge(self, link: ILink, facts: PeerFacts) -> Permit | Refuse:
        """A peer's Hello holds: say whether it may have what it wants."""

    def greeted(self, link: ILink, facts: PeerFacts) -> None:
        """A peer's Hello was verified, and it may have what it wants."""

    def has_room(self, link: ILink, use: LinkUse) -> bool:
        """Whether the peer of this link may have it for this use as far as our table is concerned."""

    def permitted_use(self, link: ILink) -> LinkUse:
        """The greatest use for which we ask the peer of this link or that we have granted it."""


class PeerListener:
    """
    A part that follows the peers. It subclasses this and overrides what concerns it; here nothing is done.
    None of these may raise.

    The registry tells all listeners in one order, the same for each event. The order and its reasons stand
    where the list is made, in C{routing/core.py}.
    """

    def link_replaced(self, before: Peer, peer: Peer) -> None:
        """
        Another link has taken the place of C{before.link}. What the peer sent over the old one still comes,
        before anything that comes over the new one; what we send over the old one from now on goes over the
        new one. All listeners hear this before the first hears L{peer_established}, so that none sends over
        the new link while another still counts on the old one.
        """

    def peer_established(self, peer: Peer, before: Peer | None) -> None:
        """
        A link was confirmed, or is for another use from now on. If a listener closes the peer's last link in
        this call, the listeners after it hear L{peer_lost} only.

        @param before: the peer as it was until now; C{None} if there was no link.
        """

    def peer_reset(self, peer: Peer, reason: LinkClosed) -> None:
        """
        Frames to or from the peer may be lost, though it has a link: one that was being replaced broke.
        What comes from now on was sent after the peer knew that.
        """

    def peer_doubted(self, peer: Peer) -> None:
        """
        The only link to this peer may be dead, or just slow. Told again after twice as long each time, while
        it lasts.
        """

    def peer_lost(self, peer: Peer, reason: CloseReason, detail: str) -> None:
        """No confirmed link to this peer is left."""

"""
Peers: what the layer above sees of a node that we have a link with, and what
C{LinkRegistry} asks and tells it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ...crust.interfaces import ILink
from ...endpoints import Contact, Endpoint, PathKind
from ...errors import CloseReason
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
    What C{LinkRegistry} asks and tells the layer above. None of these may raise.
    """

    def judge(self, link: ILink, facts: PeerFacts) -> Accept | Refuse:
        """A peer's Hello holds: may it have what it wants?"""

    def greeted(self, link: ILink, facts: PeerFacts) -> None:
        """A peer's Hello was verified, and it may have what it wants."""

    def established(self, peer: Peer, before: Peer | None) -> None:
        """
        A link was confirmed; C{before} is what there was to this peer until now. If that was another link,
        whatever was sent over it still comes, and before what comes over this one; what is sent over it
        from now on goes over this one.
        """

    def begun_anew(self, peer: Peer) -> None:
        """What was on its way to a peer, or from it, may be lost, since an earlier link was lost; what comes
        from now on was sent when the peer knew that as well."""

    def frame_received(self, link: ILink, kind: int, payload: bytes) -> bool:
        """
        A frame has come on a confirmed link.

        @param link: the link that the peer is linked by now.
        @return: whether the kind is one of those that it takes.
        @raise WireError: the peer broke the protocol.
        """

    def contacts_heard(self, peer: Peer, contacts: tuple[Contact, ...]) -> None:
        """A peer tells us where other nodes are."""

    def peer_lost(self, peer: Peer, reason: CloseReason, detail: str) -> None:
        """No confirmed link is left to this peer."""

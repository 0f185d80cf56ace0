"""
What is built on top of the links: the layer of byte streams, which routing knows only as L{StreamLayer}.

Such a layer belongs to peers, not to links. A peer's link may be replaced while the layer uses it; as long as
no frame is lost or overtakes another on the way, the layer goes on with the new link, and else it has to
begin anew.
"""

from __future__ import annotations

from typing import Final, Protocol

from ...crust.interfaces import ILink
from ...errors import CloseReason, LinkClosed
from ...names import Name
from .peer import Peer, PeerListener

FIRST_STREAM_KIND: Final = 32
LAST_STREAM_KIND: Final = 63


class StreamLayer(Protocol):
    """What the layer above hears. None of these may raise, but for L{frame_received}."""

    def link_gained(self, link: ILink) -> None:
        """There is a confirmed link to a peer to which there was none, and nothing of earlier ones counts."""

    def link_changed(self, old: ILink, new: ILink) -> None:
        """From now on a peer's frames go over C{new}; what was sent over C{old} comes before."""

    def link_lost(self, link: ILink, reason: LinkClosed) -> None:
        """A peer's link is gone, and with it whatever was on its way."""

    def frame_received(self, link: ILink, kind: int, payload: bytes) -> None:
        """
        A peer has sent a frame of a kind from L{FIRST_STREAM_KIND} to L{LAST_STREAM_KIND}.

        @raise WireError: it broke the protocol; its link is closed.
        """

    def in_use(self, name: Name) -> bool:
        """Whether the link to this peer is needed."""

    def stopped(self) -> None:
        """The service stops: everything ends now."""


class Upper(PeerListener):
    """
    Tells the layer, if there is one, what becomes of peers. Made with its core, discarded after L{stop}.

    @ivar layer: the layer; C{None} if nobody wants the frames.
    """

    def __init__(self) -> None:
        self.layer: StreamLayer | None = None
        self._told: dict[Name, Peer] = {}

    def attach(self, layer: StreamLayer, peers: tuple[Peer, ...]) -> None:
        """This is the layer from now on; these are the peers that there are."""
        self.layer = layer
        for peer in peers:
            self.peer_established(peer, None)

    def peer_established(self, peer: Peer, before: Peer | None) -> None:
        """A peer's link was confirmed; C{before} is what there was until now, if it is still alive."""
        if self.layer is None:
            return
        told = self._told.get(peer.name)
        self._told[peer.name] = peer
        if told is None:
            self.layer.link_gained(peer.link)
        elif told.link is not peer.link:
            same = before is not None and before.link is told.link
            if same and told.facts.incarnation == peer.facts.incarnation:
                self.layer.link_changed(told.link, peer.link)
            else:
                self.layer.link_lost(
                    told.link, LinkClosed(CloseReason.CONNECTION_LOST, "another took its place")
                )
                self.layer.link_gained(peer.link)

    def peer_reset(self, peer: Peer, reason: LinkClosed) -> None:
        """What was on its way to or from a peer may be lost."""
        if self.layer is not None and peer.name in self._told:
            self._told[peer.name] = peer
            self.layer.link_lost(peer.link, reason)
            self.layer.link_gained(peer.link)

    def peer_lost(self, peer: Peer, reason: CloseReason, detail: str) -> None:
        """No link is left to this peer."""
        told = self._told.pop(peer.name, None)
        if told is not None and self.layer is not None:
            self.layer.link_lost(told.link, LinkClosed(reason, detail))

    def frame_received(self, link: ILink, kind: int, payload: bytes) -> None:
        """
        A frame for the layer has its turn; without a layer it is dropped.

        @raise WireError: the peer broke the protocol.
        """
        if self.layer is not None:
            self.layer.frame_received(link, kind, payload)

    def in_use(self, name: Name) -> bool:
        """Whether the layer needs the link to this peer."""
        return self.layer is not None and self.layer.in_use(name)

    def stop(self) -> None:
        """Everything ends."""
        self._told.clear()
        if self.layer is not None:
            self.layer.stopped()
            self.layer = None

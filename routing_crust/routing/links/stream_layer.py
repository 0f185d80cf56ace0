"""
The layer of byte streams, as routing sees it: an interface, and the part that tells it of peers.

Streams belong to peers, not to links. When a peer's link is replaced without loss, the layer goes on with the
new one; otherwise it hears of a loss and of a new link.
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
    """What the layer hears. None of these may raise except L{frame_received}."""

    def link_gained(self, link: ILink) -> None:
        """A peer has a confirmed link; what was on its way over earlier ones is lost."""

    def link_found(self, link: ILink) -> None:
        """A peer had a link before there was a layer: frames that it has sent over that were dropped."""

    def link_changed(self, old: ILink, new: ILink) -> None:
        """From now on a peer's frames go over C{new}; those that were sent over C{old} come before."""

    def link_lost(self, link: ILink, reason: LinkClosed) -> None:
        """A peer's link is gone, and with it the frames that were on their way."""

    def frame_received(self, link: ILink, kind: int, payload: bytes) -> None:
        """
        A peer has sent a frame of a kind from L{FIRST_STREAM_KIND} to L{LAST_STREAM_KIND}.

        @raise WireError: it broke the protocol; its link is closed.
        """

    def explain(self, name: Name) -> tuple[str, ...]:
        """Sentences on streams that wait for a link to this peer, for L{Explanation.next}."""

    def in_use(self, name: Name) -> bool:
        """Whether a stream needs the link to this peer."""

    def banned(self, name: Name, reason: LinkClosed) -> None:
        """This peer is banned, and has no link: end the streams that wait for one."""

    def stopped(self) -> None:
        """The service stops: everything ends now."""


class StreamLayerAdapter(PeerListener):
    """
    I tell the layer, if there is one, of peers and their frames. I am made at each start of the service and
    discarded after L{stop}.

    @ivar layer: the layer; C{None} until one is attached.
    """

    def __init__(self) -> None:
        self.layer: StreamLayer | None = None
        self._told: dict[Name, Peer] = {}  # each peer as the layer knows it

    def attach(self, layer: StreamLayer, peers: tuple[Peer, ...]) -> None:
        """Tell this layer from now on, and of the peers that there are at once."""
        self.layer = layer
        for peer in peers:
            self._told[peer.name] = peer
            layer.link_found(peer.link)

    def peer_established(self, peer: Peer, before: Peer | None) -> None:
        if self.layer is None:
            return
        told = self._told.get(peer.name)
        self._told[peer.name] = peer
        if told is None:
            self.layer.link_gained(peer.link)
        elif told.link is not peer.link:
            # nothing is lost only if this link follows the one that the layer knows, in one run of the peer
            follows = before is not None and before.link is told.link
            if follows and told.facts.incarnation == peer.facts.incarnation:
                self.layer.link_changed(told.link, peer.link)
            else:
                restarted = told.facts.incarnation != peer.facts.incarnation
                reason = CloseReason.RESTARTED if restarted else CloseReason.CONNECTION_LOST
                self.layer.link_lost(told.link, LinkClosed(reason, "another took its place"))
                self.layer.link_gained(peer.link)

    def peer_reset(self, peer: Peer, reason: LinkClosed) -> None:
        if self.layer is not None and peer.name in self._told:
            self._told[peer.name] = peer
            self.layer.link_lost(peer.link, reason)
            self.layer.link_gained(peer.link)

    def peer_lost(self, peer: Peer, reason: CloseReason, detail: str) -> None:
        told = self._told.pop(peer.name, None)
        if told is not None and self.layer is not None:
            self.layer.link_lost(told.link, LinkClosed(reason, detail))

    def frame_received(self, link: ILink, kind: int, payload: bytes) -> None:
        """
        Give the layer a frame; without a layer it is dropped.

        @raise WireError: the peer broke the protocol.
        """
        if self.layer is not None:
            self.layer.frame_received(link, kind, payload)

    def banned(self, name: Name, reason: LinkClosed) -> None:
        """Tell the layer that a peer is banned."""
        if self.layer is not None:
            self.layer.banned(name, reason)

    def in_use(self, name: Name) -> bool:
        """Whether the layer needs the link to this peer."""
        return self.layer is not None and self.layer.in_use(name)

    def stop(self) -> None:
        """Tell the layer that the service stops, and nothing after that."""
        self._told.clear()
        if self.layer is not None:
            self.layer.stopped()
            # links that crust closes after this are no news to a layer that has ended
            self.layer = None

"""
The registry of links: every link of this node from its first frame to its last, and the peer at its end.

One handler takes every new link, bootstrap or not, whichever end dialled. The two ends exchange their Hellos
(C{handshake}); the policy decides whether the peer may have what it wants; L{PeerLinks} keeps one of the
links to a peer and closes the others. The other parts see a L{Peer} with one confirmed link: parts that
follow the peers are L{PeerListener}s, and parts that take frames stand in a table by the kinds of frames.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Final, cast

from ...crust.interfaces import ILink
from ...endpoints import Direction, Endpoint, PathKind
from ...errors import CloseReason, LinkClosed, WireError
from ...history import Way
from ...names import Name
from ...wire.codec import MAX_CONTROL_BYTES, decode
from ...wire.framing import FrameKind
from ...wire.messages import Confirmation, ConfirmationAck, LinkUse
from ..members import TurnedAway
from ..nat_pairs import both_ways, nat_of_hello
from ..node import Node
from .consolidation import Consolidation
from .decisions import CandidateLink
from .handover import mark_of
from .handshake import PeerFacts, check_hello, make_hello
from .peer import LinkFrameHandler, LinkPolicy, Peer, PeerListener, Permit, Refuse
from .peer_links import LinkRecord, PeerLinks
from .refusals import RefusalLog, tell_why

MAX_LINKS_BESIDE: Final = 2
"""Links with a peer that may be there before one more is refused, which nobody has asked for."""


class LinkRegistry:
    """
    I know every link. I am made at each start of the service, fed with crust's events, and discarded after
    L{stop}. I am the L{PeerLinksOwner<routing_crust.routing.links.peer_links.PeerLinksOwner>} of the links of
    each peer.

    @ivar confirmed: the links that both ends have agreed on, by which application frames may come.
    @ivar passing: those of them whose frames need not wait for those of another link of the same peer.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._settings = node.settings
        self._identity = node.identity
        self._clock = node.clock
        self._policy: LinkPolicy
        self._listeners: tuple[PeerListener, ...] = ()
        self._established_listeners: tuple[PeerListener, ...] = ()
        self._frame_handlers: dict[int, LinkFrameHandler] = {}
        self._first_frame_handlers: dict[int, LinkFrameHandler] = {}
        self._early_handlers: dict[int, LinkFrameHandler] = {}
        self._refusals = RefusalLog(node.clock)
        self._records: dict[ILink, LinkRecord] = {}
        self._peer_links: dict[Name, PeerLinks] = {}
        # epochs must grow across restarts, and nothing but the incarnation is kept
        self._last_epoch = node.incarnation << 16
        self.confirmed: set[ILink] = set()
        self.passing: set[ILink] = set()

    def attach(self, policy: LinkPolicy, listeners: Sequence[PeerListener]) -> None:
        """
        Set who decides about links, and who follows the peers. Called once, before the first link.

        @param listeners: in the order in which they are told; the caller says why it is that one.
        """
        self._policy = policy
        self._listeners = tuple(listeners)
        # most parts do not follow this event, and each confirmed link would call them all for nothing
        self._established_listeners = tuple(
            each for each in listeners if type(each).peer_established is not PeerListener.peer_established
        )

    def handle_frames(self, kinds: Iterable[int], handler: LinkFrameHandler) -> None:
        """
        Have frames of these kinds handled when they have come on a confirmed link and it is their turn.

        @param handler: called with the peer's current link, the kind and the payload. It raises
            L{WireError} if the peer broke the protocol.
        """
        self._frame_handlers.update(dict.fromkeys(kinds, handler))

    def handle_first_frame(self, kind: int, handler: LinkFrameHandler) -> None:
        """
        Have a link whose first frame is of this kind, in place of a Hello, given away to C{handler}: what
        comes on it later is dropped, and it is never a link of a peer.
        """
        self._first_frame_handlers[kind] = handler

    def handle_early_frames(self, kinds: Iterable[int], handler: LinkFrameHandler) -> None:
        """As L{handle_frames}, but from our Hello on."""
        self._early_handlers.update(dict.fromkeys(kinds, handler))
        self.handle_frames(kinds, handler)

    def __len__(self) -> int:
        return len(self._records)

    @property
    def peers(self) -> tuple[Peer, ...]:
        """All peers with a confirmed link, those with the oldest first link first."""
        return tuple(links.peer for links in self._peer_links.values() if links.peer is not None)

    def peer(self, name: Name) -> Peer | None:
        """The peer with this name, if there is a confirmed link to it."""
        links = self._peer_links.get(name)
        return links.peer if links is not None else None

    def is_dialled(self, name: Name, use: LinkUse) -> bool:
        """Whether one end has dialled the other for this use. The link is verified, confirmed or not."""
        links = self._peer_links.get(name)
        return links is not None and links.consolidation.is_dialled(use)

    def needs_no_tunnel(self, name: Name, use: LinkUse) -> bool:
        """
        Whether a tunnel to this node would be useless: a verified link serves this use or a greater one,
        confirmed or not; or a link for any use was dialled plainly, which can be repeated.
        """
        links = self._peer_links.get(name)
        return links is not None and links.consolidation.needs_no_tunnel(use)

    def link_to(self, name: Name) -> ILink | None:
        """The confirmed link to the node with this name."""
        links = self._peer_links.get(name)
        return links.peer.link if links is not None and links.peer is not None else None

    def beside(self, link: ILink, mark: bytes) -> Permit | None:
        """
        What a link is for whose Hello names another one of the same peer by its mark: the same as that.
        C{None} if that is not the current link, or if there are more links than that and this.
        """
        links = self._peer_links.get(link.peer)
        if links is None or links.peer is None or mark_of(links.peer.link) != mark:
            return None
        if len(links.consolidation.links) > MAX_LINKS_BESIDE:
            return None
        return Permit(links.peer.use, we_asked=link.direction is Direction.ACCEPTED, beside=True)

    def dialled_at(self, name: Name) -> Endpoint | None:
        """The address at which we last dialled this peer with success, without its help."""
        links = self._peer_links.get(name)
        return links.dialled if links is not None else None

    # What crust feeds in.

    def new_link(self, link: ILink) -> None:
        """A link is up, whichever end dialled: the end that is the TLS client says Hello first."""
        self._records[link] = record = LinkRecord(link)
        if link.initiator:
            self._send_hello(record, link.token)

    def frame_received(self, link: ILink, kind: int, payload: bytes) -> None:
        """
        A frame came.

        @raise WireError: the peer broke the protocol; nothing was changed.
        """
        # nearly every frame is one of these: two look-ups, and it is where it belongs
        if link in self.passing:
            handler = self._frame_handlers.get(kind)
            if handler is not None:
                handler(link, kind, payload)
                return
        record = self._records.get(link)
        if record is None:
            return
        if kind == FrameKind.HELLO:
            self._hello(record, payload)
        elif kind in self._first_frame_handlers and record.facts is None:
            del self._records[link]
            self._first_frame_handlers[kind](link, kind, payload)
        elif kind in self._early_handlers and record.hello_sent:
            self._early_handlers[kind](link, kind, payload)
        elif record.facts is None:
            raise WireError(f"a frame of kind {kind} came before the Hello")
        else:
            links = self._peer_links.get(link.peer)
            if links is not None:  # else the link is being closed
                self._verified_frame(links, record, kind, payload)

    def link_doubted(self, link: ILink) -> None:
        """The peer of a link owes an answer: if there is no other link, have the listeners see to one."""
        links = self._peer_links.get(link.peer)
        if links is not None and links.doubted(link) and links.peer is not None:
            peer = links.peer
            for listener in self._listeners:
                listener.peer_doubted(peer)

    def link_lost(self, link: ILink, reason: CloseReason, detail: str = "", *, logged: bool = False) -> None:
        """
        A link is gone. Without effect for a link that is not known any more.

        @param logged: whether the log has the reason.
        """
        record = self._records.pop(link, None)
        if record is None:
            return
        if link not in self.confirmed and not logged:
            self._refusals.came_to_nothing(link, record.facts is not None, reason, detail)
        self.confirmed.discard(link)
        self.passing.discard(link)
        links = self._peer_links.get(link.peer)
        if links is None:
            return
        # looked at before the call, which takes it away or puts another link in its place
        peer = links.peer
        links.link_lost(link)
        # another link may have been confirmed at once: then the peer was never lost
        if peer is not None and peer.link is link and links.peer is None:
            for listener in self._listeners:
                listener.peer_lost(peer, reason, detail)

    def close(self, link: ILink, reason: CloseReason, detail: str = "", *, logged: bool = False) -> None:
        """Close one link; from now on it does not count. See L{link_lost} for the arguments."""
        link.close(reason, detail)
        # now, and not when crust reports it: that waits for the peer to close, too
        self.link_lost(link, reason, detail, logged=logged)

    def close_attached(self, link: ILink, reason: CloseReason) -> None:
        """Close a link, unless the two ends have agreed meanwhile that it serves a greater use."""
        peer = self.peer(link.peer)
        if peer is None or peer.link is not link or peer.use is LinkUse.ATTACHED:
            self.close(link, reason)

    def agree(self, name: Name, use: LinkUse) -> None:
        """
        Both ends have agreed on a request for this use. If no second link between them is to be had, the one
        that there is serves it.
        """
        links = self._peer_links.get(name)
        if links is None or links.peer is None or links.peer.use >= use:
            return
        # a tunnel can be made twice, and counts for its relay's prefix, which may be full where ours is not
        if links.peer.link.path_kind is not PathKind.TUNNEL and self.has_room(name, use):
            links.agree(use)

    def has_room(self, name: Name, use: LinkUse) -> bool:
        """Whether the link with this node, if there is one and it is no tunnel, may be used for this, too."""
        link = self.link_to(name)
        return link is None or link.path_kind is PathKind.TUNNEL or self._policy.has_room(link, use)

    def certificates(self) -> list[tuple[Name, bytes]]:
        """What the Hello of each verified link shows, by the peer's name."""
        facts = ((link.peer, record.facts) for link, record in self._records.items())
        return [(name, each.certificate) for name, each in facts if each is not None]

    def expel(self, name: Name, verdict: TurnedAway) -> None:
        """Close every link to a peer that is a member no longer, and tell it why."""
        for link in (each for each in self._records if each.peer == name):
            tell_why(link, verdict, self._node.network_now())
        self.drop(name, verdict.reason, verdict.detail)

    def drop(self, name: Name, reason: CloseReason, detail: str = "") -> None:
        """Close every link to this peer."""
        current = self.link_to(name)
        links = [link for link in self._records if link.peer == name]
        # the current one first: with it go the others of a handover, and the peer is lost once
        for link in sorted(links, key=lambda each: each is not current):
            self.close(link, reason, detail)

    def stop(self) -> None:
        """Cancel all timers. Crust closes the links themselves."""
        stopped, self._peer_links = self._peer_links, {}
        self._records.clear()
        self.confirmed.clear()
        self.passing.clear()
        for links in stopped.values():
            links.stop()

    # What the links of a peer ask for.

    def deliver(self, link: ILink, kind: int, payload: bytes) -> None:
        """
        A frame of a confirmed link has its turn.

        @raise WireError: the peer broke the protocol.
        """
        handler = self._frame_handlers.get(kind)
        if handler is None:
            raise WireError(f"there is no frame of kind {kind}")
        handler(link, kind, payload)

    def peer_established(self, peer: Peer, before: Peer | None) -> None:
        """A link was confirmed: tell the listeners, those first that follow a link rather than a peer."""
        if before is not None and before.link is not peer.link:
            for listener in self._listeners:
                listener.link_replaced(before, peer)
        for listener in self._established_listeners:
            # one of them may have had no room for it, and those after it would hear of a peer that is gone
            if self.peer(peer.name) is not peer:
                return
            listener.peer_established(peer, before)

    def permitted_use(self, link: ILink) -> LinkUse:
        """The greatest use for which we ask the peer of this link or that we have granted it."""
        return self._policy.permitted_use(link)

    def peer_reset(self, peer: Peer) -> None:
        """Frames to or from this peer may be lost: tell the listeners."""
        detail = "an earlier link was lost before everything had come over it"
        reason = LinkClosed(CloseReason.CONNECTION_LOST, detail)
        for listener in self._listeners:
            listener.peer_reset(peer, reason)

    def last_link_lost(self, name: Name) -> None:
        """No link to this peer is left."""
        del self._peer_links[name]

    # The handshake.

    def _verified_frame(self, links: PeerLinks, record: LinkRecord, kind: int, payload: bytes) -> None:
        link = record.link
        if kind == FrameKind.CONFIRMATION:
            links.confirmation(link, decode(Confirmation, payload, MAX_CONTROL_BYTES))
        elif kind == FrameKind.CONFIRMATION_ACK:
            links.acknowledged(link, decode(ConfirmationAck, payload, MAX_CONTROL_BYTES))
        elif link not in self.confirmed:
            raise WireError(f"a frame of kind {kind} came before the link was confirmed")
        else:
            links.received(record, kind, payload)

    def _send_hello(self, record: LinkRecord, purpose: bytes) -> None:
        record.hello_sent = True
        record.link.send(FrameKind.HELLO, make_hello(self._node, record.link, purpose))

    def _hello(self, record: LinkRecord, payload: bytes) -> None:
        link = record.link
        if record.facts is not None:
            raise WireError("a second Hello came")
        facts = check_hello(self._settings, self._identity, link, payload)
        # the answer repeats our purpose, so that both ends count the link for the same request
        if link.initiator and facts.purpose != link.token:
            raise WireError("the Hello is for another purpose than ours")
        # before anything is spent on somebody who is no member
        turned_away = self._node.members.judge(link.peer, facts.certificate, facts.is_client, facts.time)
        if turned_away is not None:
            self._turn_away(link, turned_away)
            return
        verdict = self._policy.judge(link, facts)
        links = self._peer_links.get(link.peer)
        # refused here, since our own Hello, sent below, would say that we accept
        if isinstance(verdict, Permit) and links and facts.incarnation < links.consolidation.incarnation:
            verdict = Refuse(CloseReason.STALE)
        if isinstance(verdict, Refuse):
            self._refuse(link, verdict)
            return
        record.facts = facts
        link.verified()
        if not record.hello_sent:
            self._send_hello(record, facts.purpose)
        if links is None:
            links = self._peer_links[link.peer] = self._new_peer_links(link.peer, facts)
        if link.direction is Direction.CONNECTED and link.path_kind in (PathKind.MAPPED, PathKind.DIRECT):
            links.dialled = link.connection.peer
        # before the link can be confirmed: whether the peer has a voice on the time is decided then
        self._policy.greeted(link, facts)
        candidate = CandidateLink(
            link,
            link.direction is Direction.CONNECTED,
            verdict.use,
            verdict.we_asked,
            self._clock.seconds(),
            link.path_kind,
            both_ways(nat_of_hello(self._node.crust), facts.nat),
            verdict.beside,
        )
        links.link_up(record, candidate, facts.incarnation)

    def _refuse(self, link: ILink, verdict: Refuse) -> None:
        self._refusals.refused(link, verdict.reason, verdict.detail)
        self.close(link, verdict.reason, verdict.detail, logged=True)

    def _turn_away(self, link: ILink, verdict: TurnedAway) -> None:
        said = f"refused: {verdict.reason.text}; {verdict.detail}"
        self._node.crust.history.tried(link.peer, Way.LINK, link.connection.peer, said)
        tell_why(link, verdict, self._node.network_now())
        self._refuse(link, Refuse(verdict.reason, verdict.detail))

    def _new_peer_links(self, name: Name, facts: PeerFacts) -> PeerLinks:
        consolidation = Consolidation(
            self._settings,
            arbiter=self._identity.name < name,
            incarnation=facts.incarnation,
            next_epoch=self._next_epoch,
            is_doubted=_is_doubted,
        )
        return PeerLinks(self._node, name, consolidation, self)

    def _next_epoch(self) -> int:
        self._last_epoch += 1
        return self._last_epoch


def _is_doubted(link: Hashable) -> bool:
    return cast(ILink, link).is_doubted

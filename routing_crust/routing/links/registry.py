"""
Links: every link of this node, from its first frame to its last, and for each peer the one that counts.

One handler takes every new link, bootstrap or not, whichever end dialled. Its Hello is exchanged
(C{handshake}), the policy is asked whether the peer may have what it wants, and the links of a pair are
consolidated (C{consolidation}). What the other parts see is a L{Peer} with one confirmed link: those that
follow the peers are L{PeerListener}s, those that take frames stand in a table by their kinds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import cast

from twisted.logger import Logger

from ...crust.interfaces import ILink
from ...endpoints import Direction, Endpoint, PathKind
from ...errors import CloseReason, LinkClosed, WireError
from ...names import Name
from ...quietlog import QuietLog
from ...timing.timers import cancel
from ...wire.codec import decode, encode
from ...wire.framing import FrameKind
from ...wire.messages import Confirmation, ConfirmationAck, LinkUse
from ..events import FrameHandler
from ..nat_pairs import both_ways
from ..node import Node
from .consolidation import (
    Action,
    CandidateLink,
    Close,
    Consolidation,
    Doubt,
    Established,
    SendAck,
    SendConfirmation,
)
from .handshake import PeerFacts, check_hello, make_hello
from .peer import Accept, LinkPolicy, Peer, PeerListener, Refuse
from .peer_links import LinkRecord, PeerLinks


class LinkRegistry:
    """
    Made by the service at each start, fed with crust's events, discarded after L{stop}.
    """

    log = Logger()

    def __init__(self, node: Node) -> None:
        self._node = node
        self._settings = node.settings
        self._identity = node.identity
        self._clock = node.clock
        self._policy: LinkPolicy
        self._listeners: tuple[PeerListener, ...] = ()
        self._frame_handlers: dict[int, FrameHandler] = {}
        self._quiet = QuietLog(self.log, node.clock.seconds)
        self._records: dict[ILink, LinkRecord] = {}
        self._pairs: dict[Name, PeerLinks] = {}
        self._last_epoch = node.incarnation << 16
        self.confirmed: set[ILink] = set()
        """The links that have been confirmed, by which application frames may come."""
        self.passing: set[ILink] = set()
        """Those of them whose frames need not wait for those of another link of the same peer."""

    def attach(self, policy: LinkPolicy, listeners: Sequence[PeerListener]) -> None:
        """
        Say who decides about links, and who follows the peers. To be called once, before the first link.

        @param listeners: they are told in this order.
        """
        self._policy = policy
        self._listeners = tuple(listeners)

    def handle_frames(self, kinds: Iterable[int], handler: FrameHandler) -> None:
        """
        Have frames of these kinds handled when they come on a confirmed link and have their turn.

        @param handler: called with the link that the peer is linked by now, the kind and the payload. It
            raises L{WireError} if the peer broke the protocol.
        """
        self._frame_handlers.update(dict.fromkeys(kinds, handler))

    def __len__(self) -> int:
        return len(self._records)

    @property
    def peers(self) -> tuple[Peer, ...]:
        """Everyone with a confirmed link, in the order in which the first one was made."""
        return tuple(pair.peer for pair in self._pairs.values() if pair.peer is not None)

    def peer(self, name: Name) -> Peer | None:
        """Who has this name, if there is a confirmed link."""
        pair = self._pairs.get(name)
        return pair.peer if pair is not None else None

    def is_dialled(self, name: Name, use: LinkUse) -> bool:
        """Whether one of us has dialled the other for this use. The link is verified, confirmed or not."""
        pair = self._pairs.get(name)
        return pair is not None and pair.consolidation.is_dialled(use)

    def needs_no_tunnel(self, name: Name, use: LinkUse) -> bool:
        """
        Whether there is a link with this node whose Hello is verified, confirmed or not, and that is for this
        use or more; or one that is no tunnel, whatever it is for: what came once can come again.
        """
        pair = self._pairs.get(name)
        return pair is not None and pair.consolidation.makes_needless(use)

    def link_to(self, name: Name) -> ILink | None:
        """The confirmed link to the node with this name."""
        pair = self._pairs.get(name)
        return pair.peer.link if pair is not None and pair.peer is not None else None

    def dialled_at(self, name: Name) -> Endpoint | None:
        """Where we have dialled the peer with this name, without its dialling us, since there was a link."""
        pair = self._pairs.get(name)
        return pair.dialled if pair is not None else None

    def new_link(self, link: ILink) -> None:
        """A link is up, whoever dialled: the end that is the TLS client says Hello first."""
        self._records[link] = record = LinkRecord(link)
        if link.initiator:
            self._send_hello(record, link.token)

    def frame_received(self, link: ILink, kind: int, payload: bytes) -> None:
        """
        A frame came.

        @raise WireError: the peer broke the protocol; nothing was changed.
        """
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
        elif record.facts is None:
            raise WireError(f"a frame of kind {kind} came before the Hello")
        elif kind == FrameKind.CONFIRMATION:
            self._confirmation(link, payload)
        elif kind == FrameKind.CONFIRMATION_ACK:
            ack = decode(ConfirmationAck, payload, self._settings.max_control)
            self._apply(link.peer, lambda each, now: each.ack(link, ack.epoch, now))
        elif link not in self.confirmed:
            raise WireError(f"a frame of kind {kind} came before the link was confirmed")
        else:
            pair = self._pairs.get(link.peer)
            if pair is not None:  # else it is being closed
                pair.received(record, kind, payload)

    def deliver(self, link: ILink, kind: int, payload: bytes) -> None:
        """
        A frame of a confirmed link has its turn.

        @raise WireError: the peer broke the protocol.
        """
        handler = self._frame_handlers.get(kind)
        if handler is None:
            raise WireError(f"there is no frame of kind {kind}")
        handler(link, kind, payload)

    def begin_anew(self, peer: Peer) -> None:
        """What was on its way to or from this peer may be lost."""
        detail = "an earlier link was lost before all had come over it"
        reason = LinkClosed(CloseReason.CONNECTION_LOST, detail)
        for listener in self._listeners:
            listener.peer_reset(peer, reason)

    def link_lost(self, link: ILink, reason: CloseReason, detail: str = "") -> None:
        """A link is gone. Without effect for a link that is not known any more."""
        if self._records.pop(link, None) is None:
            return
        self.confirmed.discard(link)
        self.passing.discard(link)
        pair = self._pairs.get(link.peer)
        if pair is None:
            return
        peer = pair.peer
        pair.link_lost(link)
        self._apply(link.peer, lambda each, now: each.link_lost(link, now))
        if peer is not None and peer.link is link and pair.peer is None:
            for listener in self._listeners:
                listener.peer_lost(peer, reason, detail)

    def close(self, link: ILink, reason: CloseReason, detail: str = "") -> None:
        """Close one link; from now on it does not count."""
        link.close(reason, detail)
        self.link_lost(link, reason, detail)

    def drop(self, name: Name, reason: CloseReason, detail: str = "") -> None:
        """Close every link to this peer."""
        current = self.link_to(name)
        links = [link for link in self._records if link.peer == name]
        for link in sorted(links, key=lambda each: each is not current):
            self.close(link, reason, detail)

    def stop(self) -> None:
        """Cancel all timers. Crust closes the links themselves."""
        pairs, self._pairs = self._pairs, {}
        self._records.clear()
        self.confirmed.clear()
        self.passing.clear()
        for pair in pairs.values():
            cancel(pair.timer)
            pair.break_off()

    def _send_hello(self, record: LinkRecord, purpose: bytes) -> None:
        record.hello_sent = True
        hello = make_hello(
            self._settings,
            self._identity,
            self._node.incarnation,
            self._node.crust.endpoints,
            record.link,
            purpose,
            self._node.crust.nat,
            self._node.network_now(),
        )
        record.link.send(FrameKind.HELLO, hello)

    def _hello(self, record: LinkRecord, payload: bytes) -> None:
        link = record.link
        if record.facts is not None:
            raise WireError("a second Hello came")
        facts = check_hello(self._settings, self._identity, link, payload)
        if link.initiator and facts.purpose != link.token:
            raise WireError("the Hello is for another purpose than ours")
        verdict = self._policy.judge(link, facts)
        pair = self._pairs.get(link.peer)
        if isinstance(verdict, Accept) and pair and facts.incarnation < pair.consolidation.incarnation:
            verdict = Refuse(CloseReason.STALE)
        if isinstance(verdict, Refuse):
            self._refuse(link, verdict)
            return
        record.facts = facts
        link.verified()
        if not record.hello_sent:
            self._send_hello(record, facts.purpose)
        if pair is None:
            pair = self._pairs[link.peer] = self._new_peer_links(link.peer, facts)
        if link.direction is Direction.CONNECTED and link.path_kind in (PathKind.MAPPED, PathKind.DIRECT):
            pair.dialled = link.connection.peer
        self._policy.greeted(link, facts)
        candidate = CandidateLink(
            link,
            link.direction is Direction.CONNECTED,
            verdict.use,
            verdict.we_asked,
            self._clock.seconds(),
            link.path_kind,
            both_ways(self._node.crust.nat, facts.nat),
        )
        self._apply(link.peer, lambda each, now: each.link_up(candidate, facts.incarnation, now))

    def _refuse(self, link: ILink, verdict: Refuse) -> None:
        say = self._quiet.debug if verdict.reason is CloseReason.SUPERSEDED else self._quiet.info
        say(
            verdict.reason.name,
            "refused {peer} at {endpoint} ({direction}): {reason}",
            peer=link.peer,
            endpoint=link.connection.peer,
            direction=link.direction.value,
            reason=f"{verdict.reason.text}; {verdict.detail}" if verdict.detail else verdict.reason.text,
        )
        self.close(link, verdict.reason, verdict.detail)

    def _new_peer_links(self, name: Name, facts: PeerFacts) -> PeerLinks:
        consolidation = Consolidation(
            self._settings,
            arbiter=self._identity.name < name,
            incarnation=facts.incarnation,
            next_epoch=self._next_epoch,
        )
        return PeerLinks(self._settings, self._clock, consolidation, self)

    def _next_epoch(self) -> int:
        self._last_epoch += 1
        return self._last_epoch

    def _confirmation(self, link: ILink, payload: bytes) -> None:
        message = decode(Confirmation, payload, self._settings.max_control)
        self._apply(link.peer, lambda each, now: each.confirmation(link, message, now))

    def _apply(self, name: Name, change: Callable[[Consolidation, float], list[Action]]) -> None:
        """Make one change to a pair, do what follows from it, and set the timer anew."""
        pair = self._pairs.get(name)
        if pair is None:
            return
        for action in change(pair.consolidation, self._clock.seconds()):
            self._do(pair, name, action)
        cancel(pair.timer)
        pair.timer = None
        if self._pairs.get(name) is not pair:
            return
        if not pair.consolidation.links and pair.peer is None:
            del self._pairs[name]
            return
        wake_at = pair.consolidation.wake_at
        if wake_at is not None:
            delay = max(0.0, wake_at - self._clock.seconds())
            pair.timer = self._clock.callLater(delay, self._apply, name, Consolidation.tick)

    def _do(self, pair: PeerLinks, name: Name, action: Action) -> None:
        link = cast(ILink, action.link)
        if isinstance(action, SendConfirmation):
            link.send(FrameKind.CONFIRMATION, encode(action.confirmation))
        elif isinstance(action, SendAck):
            link.send(FrameKind.CONFIRMATION_ACK, encode(ConfirmationAck(action.epoch)))
        elif isinstance(action, Established):
            self._established(pair, name, link, action)
        elif isinstance(action, Doubt):
            link.probe()
        elif isinstance(action, Close):
            self._close_for(pair, link, action.reason)

    def _close_for(self, pair: PeerLinks, link: ILink, reason: CloseReason) -> None:
        """Close a link that does not count any more; not yet, if something may still come over it."""
        if reason is CloseReason.RESTARTED:
            for each in pair.break_off():
                self.close(each, reason)
        if reason is not CloseReason.SUPERSEDED or not pair.is_awaited(link):
            self.close(link, reason)

    def _established(self, pair: PeerLinks, name: Name, link: ILink, action: Established) -> None:
        record = self._records.get(link)
        if record is None or record.facts is None:
            return
        before = pair.peer
        self.confirmed.add(link)
        since = self._clock.seconds() if before is None or before.link is not link else before.since
        pair.peer = Peer(name, link, action.use, action.two_way, record.facts, since)
        if before is None:
            self.passing.add(link)
        elif before.link is not link:
            pair.switch(before.link, record)
        if pair.peer is not None and pair.peer.link is link:
            self._tell_established(pair.peer, before)

    def _tell_established(self, peer: Peer, before: Peer | None) -> None:
        if before is not None and before.link is not peer.link:
            for listener in self._listeners:
                listener.link_replaced(before, peer)
        for listener in self._listeners:
            # one of them may have had no room for it, and those after it would hear of a peer that is gone
            if self.peer(peer.name) is not peer:
                return
            listener.peer_established(peer, before)

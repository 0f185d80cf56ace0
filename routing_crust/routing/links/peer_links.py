"""
All verified links to one peer: which of them counts (C{consolidation}), and how another takes its place
without loss (C{handover}).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, Protocol, cast

from twisted.internet.interfaces import IDelayedCall

from ...crust.interfaces import ILink
from ...endpoints import Endpoint
from ...errors import CloseReason, WireError
from ...names import Name
from ...timing.timers import cancel
from ...wire.codec import MAX_CONTROL_BYTES, decode, encode
from ...wire.framing import FrameKind
from ...wire.messages import Confirmation, ConfirmationAck, Continued, LinkUse, Switched, View
from ..node import Node
from .consolidation import Consolidation
from .decisions import Action, CandidateLink, Close, Doubt, Established, SendAck, SendConfirmation
from .handover import LinkHandover, mark_of
from .handshake import PeerFacts
from .peer import Peer

MAX_RESETS_PER_LINK: Final = 64
"""ANEW frames that a peer may send on one link. It has reason to each time that another link is lost."""


class LinkRecord:
    """
    A link and how far it has come.

    @ivar facts: what the peer's Hello said, once it is verified.
    @ivar hello_sent: whether ours has gone out.
    @ivar follows: the mark of the link whose place it has taken; empty if there was none.
    @ivar continued: whether the peer has said which link it follows.
    @ivar resets: the number of ANEW frames that have come on it.
    """

    __slots__ = ("continued", "facts", "follows", "hello_sent", "link", "resets")

    def __init__(self, link: ILink) -> None:
        self.link = link
        self.follows = b""
        self.continued = False
        self.resets = 0
        self.facts: PeerFacts | None = None
        self.hello_sent = False


class PeerLinksOwner(Protocol):
    """
    The registry, as the links of one peer see it.

    @ivar confirmed: the links that have been confirmed.
    @ivar passing: those of them whose frames need not come to L{PeerLinks.received}.
    """

    confirmed: set[ILink]
    passing: set[ILink]

    def deliver(self, link: ILink, kind: int, payload: bytes) -> None:
        """
        It is this frame's turn.

        @param link: the peer's current link.
        @raise WireError: the peer broke the protocol.
        """

    def peer_established(self, peer: Peer, before: Peer | None) -> None:
        """A link was confirmed; C{before} is the peer as it was until now, if it had a link."""

    def permitted_use(self, link: ILink) -> LinkUse:
        """The greatest use for which we ask the peer of this link or that we have granted it."""

    def peer_reset(self, peer: Peer) -> None:
        """Frames to or from this peer may be lost."""

    def close(self, link: ILink, reason: CloseReason, detail: str = "") -> None:
        """Close this link; L{PeerLinks.link_lost} follows."""

    def last_link_lost(self, name: Name) -> None:
        """No link to this peer is left: forget it."""


class PeerLinks:
    """
    I have all verified links to one peer. I am made with the first of them, fed by the registry with what
    comes on them, and discarded with the last or after L{stop}. I am the
    L{HandoverOwner<routing_crust.routing.links.handover.HandoverOwner>} of my handover.

    @ivar consolidation: decides which of the links lives.
    @ivar peer: the peer with its current link; C{None} until one is confirmed.
    @ivar dialled: the address at which we last dialled the peer with success, without its help.
    """

    __slots__ = (
        "_clock", "_discarded", "_handover", "_name", "_owner", "_records", "_timer", "_view",
        "consolidation", "dialled", "peer",
    )  # fmt: skip

    def __init__(self, node: Node, name: Name, consolidation: Consolidation, owner: PeerLinksOwner) -> None:
        self._clock = node.clock
        self._name = name
        self._owner = owner
        self._records: dict[ILink, LinkRecord] = {}
        self._handover: LinkHandover | None = None  # while one link takes the place of another
        self._view = 0  # of the last handover
        self._timer: IDelayedCall | None = None  # what the consolidation waits for
        self._discarded = False
        self.consolidation = consolidation
        self.peer: Peer | None = None
        self.dialled: Endpoint | None = None

    # What the registry feeds in.

    def link_up(self, record: LinkRecord, candidate: CandidateLink, incarnation: int) -> None:
        """A link's Hello is verified."""
        self._records[record.link] = record
        self._change(lambda each, now: each.link_up(candidate, incarnation, now))

    def confirmation(self, link: ILink, message: Confirmation) -> None:
        """The peer, which is the arbiter, has decided for this link."""
        permitted = partial(self._owner.permitted_use, link)
        self._change(lambda each, now: each.confirmation(link, message, now, permitted))

    def acknowledged(self, link: ILink, message: ConfirmationAck) -> None:
        """The peer follows our decision for this link."""
        self._change(lambda each, now: each.ack(link, message.epoch, now, message.declined))

    def agree(self, use: LinkUse) -> None:
        """Both ends have agreed on a request for this use."""
        self._change(lambda each, now: each.agree(use, now))

    def received(self, record: LinkRecord, kind: int, payload: bytes) -> None:
        """
        A frame that is not of a handshake has come on a confirmed link.

        @raise WireError: the peer broke the protocol.
        """
        if self.peer is None:
            return  # the link is being closed
        link = record.link
        if kind == FrameKind.SWITCHED:
            message = decode(Switched, payload, MAX_CONTROL_BYTES)
            self._handover_with(link).switched(link, message)
        elif kind == FrameKind.ANEW:
            self._anew(record, decode(View, payload, MAX_CONTROL_BYTES))
        elif kind == FrameKind.CONTINUED:
            self._continued(record, decode(Continued, payload, MAX_CONTROL_BYTES))
        elif self._handover is None:
            self._owner.deliver(link, kind, payload)
        elif link in self._handover.links:
            self._handover.received(link, kind, payload)

    def link_lost(self, link: ILink) -> None:
        """A link is gone, or is being closed. It need not have been verified."""
        self._records.pop(link, None)
        if self.peer is not None and self.peer.link is link:
            self.peer = None
            # both ends count the next link as the first one
            self._view = 0
        handover = self._handover
        if handover is not None:
            # forgotten before the call, which closes the other links and so leads here again
            if self.peer is None:
                self._handover = None
            handover.lost(link)
        self._change(lambda each, now: each.link_lost(link, now))

    def doubted(self, link: ILink) -> bool:
        """
        The peer owes an answer on a link.

        @return: whether it is the current one, and there is no other.
        """
        if self._handover is not None:
            self._handover.doubted(link)
        self._change(Consolidation.tick)
        return self.peer is not None and self.peer.link is link and len(self.consolidation.links) == 1

    def stop(self) -> None:
        """Cancel the timers, and deliver nothing more."""
        self._discarded = True
        cancel(self._timer)
        self._break_off()

    # What the consolidation decides.

    def _change(self, change: Callable[[Consolidation, float], list[Action]]) -> None:
        """Make one change to the consolidation, carry out its actions, and set the timer again."""
        if self._discarded:
            return
        for action in change(self.consolidation, self._clock.seconds()):
            self._do(action)
        cancel(self._timer)
        self._timer = None
        # an action may have closed the last link, which leads back here, or have had us stopped
        if self._discarded:
            return
        if not self.consolidation.links and self.peer is None:
            self._discarded = True
            self._owner.last_link_lost(self._name)
            return
        wake_at = self.consolidation.wake_at
        if wake_at is not None:
            delay = max(0.0, wake_at - self._clock.seconds())
            self._timer = self._clock.callLater(delay, self._change, Consolidation.tick)

    def _do(self, action: Action) -> None:
        link = cast(ILink, action.link)
        if isinstance(action, SendConfirmation):
            link.send(FrameKind.CONFIRMATION, encode(action.confirmation))
        elif isinstance(action, SendAck):
            link.send(FrameKind.CONFIRMATION_ACK, encode(ConfirmationAck(action.epoch, action.declined)))
        elif isinstance(action, Established):
            self._established(link, action)
        elif isinstance(action, Doubt):
            link.suspect()
        elif isinstance(action, Close):
            self._close_for(link, action.reason)

    def _established(self, link: ILink, action: Established) -> None:
        record = self._records.get(link)
        if record is None or record.facts is None:
            return
        before = self.peer
        self._owner.confirmed.add(link)
        link.confirmed()
        since = self._clock.seconds() if before is None or before.link is not link else before.since
        self.peer = Peer(self._name, link, action.use, action.two_way, record.facts, since)
        if before is None:
            self._owner.passing.add(link)
        elif before.link is not link:
            self._switch(before.link, record)
            if before.link.is_doubted and _has_moved(before.facts, record.facts):
                self._owner.close(before.link, CloseReason.CONNECTION_LOST, "our address outside is another")
        # the switch may have ended with the loss of this link, which the listeners have heard of then
        if self.peer is not None and self.peer.link is link:
            self._owner.peer_established(self.peer, before)

    def _close_for(self, link: ILink, reason: CloseReason) -> None:
        """Close a link that does not count any more, or leave it to the handover if frames may still come."""
        if reason is CloseReason.RESTARTED:
            # what the peer's last run has sent must not be delivered as if its successor had sent it
            for each in self._break_off():
                self._owner.close(each, reason)
        if reason is not CloseReason.SUPERSEDED or not self._is_awaited(link):
            self._owner.close(link, reason)

    # One link takes the place of another.

    def _switch(self, before: ILink, record: LinkRecord) -> None:
        handover = self._handover_from(before)
        if handover.has_left(record.link):
            handover.go_back(record.link)
        else:
            record.follows = mark_of(before)
            handover.switch(record.link)

    def _is_awaited(self, link: ILink) -> bool:
        return self._handover is not None and self._handover.has_left(link)

    def _break_off(self) -> tuple[ILink, ...]:
        """
        End the handover: nothing counts any more that comes on its links.

        @return: these links.
        """
        handover, self._handover = self._handover, None
        if handover is None:
            return ()
        links = handover.links
        handover.stop()
        return links

    def _anew(self, record: LinkRecord, view: View) -> None:
        record.resets += 1
        if record.resets > MAX_RESETS_PER_LINK:
            raise WireError(f"the peer has sent more than {MAX_RESETS_PER_LINK} ANEW frames on one link")
        self._handover_with(record.link).anew(record.link, view.number)

    def _continued(self, record: LinkRecord, message: Continued) -> None:
        if record.continued:
            raise WireError("a second CONTINUED came")
        record.continued = True
        as_here = message.after == record.follows
        self._handover_with(record.link).continued(record.link, as_here, message.view)

    def _handover_with(self, link: ILink) -> LinkHandover:
        """
        The handover, begun if there is none: the peer may have left a link before we knew of another.

        @raise WireError: this link has no part in it.
        """
        assert self.peer is not None
        handover = self._handover_from(self.peer.link)
        if link not in handover.links:
            raise WireError("a frame of a handover came on a link that was never agreed on")
        return handover

    def _handover_from(self, current: ILink) -> LinkHandover:
        if self._handover is None:
            # from now on its frames may have to wait for those of another link
            self._owner.passing.discard(current)
            self._handover = LinkHandover(self._clock, current, self._view, self)
        return self._handover

    # What the handover asks for.

    def deliver(self, kind: int, payload: bytes) -> None:
        """It is this frame's turn."""
        if self.peer is not None:
            self._owner.deliver(self.peer.link, kind, payload)

    def reset(self) -> None:
        """Frames on their way in either direction may be lost."""
        if self.peer is not None:
            self._owner.peer_reset(self.peer)

    def close(self, link: ILink, reason: CloseReason, detail: str) -> None:
        """Close a link of the handover."""
        self._owner.close(link, reason, detail)

    def handed_over(self) -> None:
        """Only the current link is left."""
        if self.peer is not None and self._handover is not None:
            self._view = self._handover.view
            self._owner.passing.add(self.peer.link)
        self._handover = None


def _has_moved(before: PeerFacts, now: PeerFacts) -> bool:
    """Whether the peer sees us at another address than it did: no connection from the former one is left."""
    if before.observed is None or now.observed is None or before.observed.is_v6 != now.observed.is_v6:
        return False
    return before.observed.host != now.observed.host

"""
What is kept of each link, and of all links to one peer: which one counts, and how another takes its place.
"""

from __future__ import annotations

from typing import Final, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ...config import Settings
from ...crust.interfaces import ILink
from ...endpoints import Endpoint
from ...errors import CloseReason, WireError
from ...wire.codec import decode
from ...wire.framing import FrameKind
from ...wire.messages import Continued, Switched, View
from .consolidation import Consolidation
from .handover import LinkHandover, mark_of
from .handshake import PeerFacts
from .peer import Peer

MOST_VIEWS: Final = 64
"""So often a peer may begin anew on one link; it has reason to each time that another is lost."""


class LinkRecord:
    """
    A link and how far it has come.

    @ivar facts: what the peer's Hello said, once it is verified.
    @ivar hello_sent: whether ours has gone out.
    @ivar follows: what the link is known by whose place it has taken; empty if there was none.
    @ivar continued: whether the peer has said what it follows.
    @ivar views: how often the peer has begun anew on it.
    """

    __slots__ = ("continued", "facts", "follows", "hello_sent", "link", "views")

    def __init__(self, link: ILink) -> None:
        self.link = link
        self.follows = b""
        self.continued = False
        self.views = 0
        self.facts: PeerFacts | None = None
        self.hello_sent = False


class PeerLinksOwner(Protocol):
    """
    Has the links of all pairs.

    @ivar passing: those whose frames need not come to the pair, but for those of handshakes.
    """

    passing: set[ILink]

    def deliver(self, link: ILink, kind: int, payload: bytes) -> None:
        """
        A frame has its turn.

        @param link: the one that counts now.
        @raise WireError: the peer broke the protocol.
        """

    def begin_anew(self, peer: Peer) -> None:
        """What was on its way to or from this peer may be lost."""

    def close(self, link: ILink, reason: CloseReason, detail: str = "") -> None:
        """This link has to go; L{PeerLinks.link_lost} follows."""


class PeerLinks:
    """
    All verified links to one peer. It is its handover's
    L{HandoverOwner<routing_crust.routing.links.handover.HandoverOwner>}.

    @ivar consolidation: decides which of the links lives.
    @ivar peer: who is at the other end, by which link; C{None} until one is confirmed.
    @ivar timer: what the consolidation waits for.
    @ivar dialled: where we have dialled the peer with success, without its help.
    """

    __slots__ = (
        "_clock",
        "_handover",
        "_owner",
        "_settings",
        "_view",
        "consolidation",
        "dialled",
        "peer",
        "timer",
    )  # fmt: skip

    def __init__(
        self, settings: Settings, clock: IReactorTime, consolidation: Consolidation, owner: PeerLinksOwner
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._owner = owner
        self._handover: LinkHandover | None = None  # while one link takes the place of another
        self._view = 0  # of the last handover
        self.consolidation = consolidation
        self.peer: Peer | None = None
        self.timer: IDelayedCall | None = None
        self.dialled: Endpoint | None = None

    def received(self, record: LinkRecord, kind: int, payload: bytes) -> None:
        """
        A frame has come on a confirmed link, that is none of a handshake.

        @raise WireError: the peer broke the protocol.
        """
        if self.peer is None:
            return  # it is being closed
        link = record.link
        if kind == FrameKind.SWITCHED:
            message = decode(Switched, payload, self._settings.max_control)
            self._handover_with(link).switched(link, message)
        elif kind == FrameKind.ANEW:
            self._anew(record, decode(View, payload, self._settings.max_control))
        elif kind == FrameKind.CONTINUED:
            self._continued(record, decode(Continued, payload, self._settings.max_control))
        elif self._handover is None:
            self._owner.deliver(link, kind, payload)
        elif link in self._handover.links:
            self._handover.received(link, kind, payload)

    def switch(self, before: ILink, record: LinkRecord) -> None:
        """Both ends have agreed on another link than the one before."""
        handover = self._handover_from(before)
        if handover.has_left(record.link):
            handover.go_back(record.link)
        else:
            record.follows = mark_of(before)
            handover.switch(record.link)

    def is_awaited(self, link: ILink) -> bool:
        """Whether another link has taken the place of this one, and not all has come over it."""
        return self._handover is not None and self._handover.has_left(link)

    def link_lost(self, link: ILink) -> None:
        """A link is gone."""
        if self.peer is not None and self.peer.link is link:
            self.peer = None
            self._view = 0
        handover = self._handover
        if handover is not None:
            if self.peer is None:
                self._handover = None
            handover.lost(link)

    def break_off(self) -> tuple[ILink, ...]:
        """
        Nothing more counts that comes over links whose place is being taken.

        @return: these links, and the one that takes it.
        """
        handover, self._handover = self._handover, None
        if handover is None:
            return ()
        links = handover.links
        handover.stop()
        return links

    def _anew(self, record: LinkRecord, view: View) -> None:
        record.views += 1
        if record.views > MOST_VIEWS:
            raise WireError("the peer begins anew all the time")
        self._handover_with(record.link).anew(record.link, view.number)

    def _continued(self, record: LinkRecord, message: Continued) -> None:
        if record.continued:
            raise WireError("a second CONTINUED came")
        record.continued = True
        as_here = message.after == record.follows
        self._handover_with(record.link).continued(record.link, as_here, message.view)

    def _handover_with(self, link: ILink) -> LinkHandover:
        """
        What goes on with this link.

        @raise WireError: nothing can.
        """
        assert self.peer is not None
        handover = self._handover_from(self.peer.link)
        if link not in handover.links:
            raise WireError("a link was left, or used again, that had never been agreed on")
        return handover

    def _handover_from(self, current: ILink) -> LinkHandover:
        if self._handover is None:
            self._owner.passing.discard(current)
            self._handover = LinkHandover(self._settings, self._clock, current, self._view, self)
        return self._handover

    # What the handover does.

    def deliver(self, kind: int, payload: bytes) -> None:
        """See L{HandoverOwner.deliver<routing_crust.routing.links.handover.HandoverOwner.deliver>}."""
        if self.peer is not None:
            self._owner.deliver(self.peer.link, kind, payload)

    def reset(self) -> None:
        """What was on its way in either direction may be lost; what is sent from now on is not."""
        if self.peer is not None:
            self._owner.begin_anew(self.peer)

    def close(self, link: ILink, reason: CloseReason, detail: str) -> None:
        """A link of the handover has to go."""
        self._owner.close(link, reason, detail)

    def handed_over(self) -> None:
        """Only the current link is left."""
        if self.peer is not None and self._handover is not None:
            self._view = self._handover.view
            self._owner.passing.add(self.peer.link)
        self._handover = None

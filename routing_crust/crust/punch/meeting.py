"""
A meeting: all connections of one rendezvous, and which of them becomes the link.

On every connection both ends have shown their prefaces when it comes here. The responder takes the TLS
server's role on each and waits. The requester nominates: it begins TLS on the first that comes, on the next
when that fails or is not done after a second, and cuts the rest once a link is up. So there is one link in
the end, in whatever order connections come, fail and stall; if a stall made it two, routing consolidates
them as it does with any two links of a pair.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IDelayedCall

from ...endpoints import Direction, PathKind
from ...errors import CloseReason
from ...names import Name
from ...timing.timers import cancel
from ..link.link import Link
from ..link.negotiation import Negotiation
from ..link.owner import LinkOwner
from ..link.plan import LinkPlan
from ..link.preface import Preface
from ..link.tls import LinkTls

MAX_CONNECTIONS: Final = 16
"""Upper bound of connections of one meeting at once; both ends dial at most 8 addresses."""
STALL_SECONDS: Final = 1.0
"""How long a nominated connection is waited for before the next has its turn."""


class Meeting:
    """
    Made when a peer is expected or dialled for a rendezvous; fed with connections whose prefaces match;
    discarded when the rendezvous is neither expected nor dialled for any more.

    @ivar peer: the expected peer.
    @ivar token: the rendezvous token, which becomes that of the link.
    @ivar requester: whether we are the requester, and so the TLS client.
    @ivar link: the first link that came up.
    """

    def __init__(
        self,
        owner: LinkOwner,
        tls: LinkTls,
        peer: Name,
        token: bytes,
        requester: bool,
        won: Callable[[Link], None],
    ) -> None:
        """
        @param won: called when the first link has come up and the owner was told.
        """
        self._owner = owner
        self._tls = tls
        self._won = won
        self._hosts: dict[str, None] = {}
        self._waiting: dict[Negotiation, PathKind] = {}
        self._trying: dict[Negotiation, None] = {}
        self._timer: IDelayedCall | None = None
        self.peer = peer
        self.token = token
        self.requester = requester
        self.theirs = Preface.of(token, not requester, False).proof
        self.link: Link | None = None

    def dialling(self, host: str) -> None:
        """An address is dialled by us, so what comes from there may have come through the hole in our NAT."""
        self._hosts[host] = None

    def preface_for(self, host: str) -> Preface:
        """The preface that we show to the host at this address."""
        return Preface.of(self.token, self.requester, host in self._hosts)

    def came(self, negotiation: Negotiation, first: bytes) -> None:
        """
        Take a connection on which the peer has shown its preface; we have shown ours, or do so now.

        @param first: the bytes that came after the preface.
        """
        if self.link is not None:
            negotiation.abort(CloseReason.SUPERSEDED)
            return
        if len(self._waiting) + len(self._trying) >= MAX_CONNECTIONS:
            negotiation.abort(CloseReason.TOO_MANY_LINKS, f"{MAX_CONNECTIONS} connections of one rendezvous")
            return
        assert negotiation.preface is not None
        negotiation.link.addBoth(self._settled, negotiation)
        mine = self.preface_for(negotiation.connection.peer.host)
        if negotiation.direction is Direction.ACCEPTED:
            negotiation.show(mine)
        # where only one end has dialled, no hole was needed: the other end can be dialled by anyone
        path_kind = PathKind.PUNCHED if mine.dialled and negotiation.preface.dialled else PathKind.DIRECT
        if not self.requester:
            self._begin(negotiation, path_kind, first)
        elif first:
            negotiation.abort(CloseReason.PROTOCOL_ERROR, "it went on before it was its turn")
        else:
            self._waiting[negotiation] = path_kind
            # one at a time: two TLS handshakes at once could give two links
            if not self._trying:
                self._nominate()

    def close(self) -> None:
        """Cut what is not a link yet. L{link} stays."""
        self._stop_waiting()
        for each in [*self._waiting, *self._trying]:
            # the link that is coming up at this moment is one of those that are tried
            if not each.link.called:
                each.abort(CloseReason.NO_LONGER_NEEDED)

    def _nominate(self) -> None:
        self._stop_waiting()
        if self._waiting and self.link is None:
            negotiation = next(iter(self._waiting))
            path_kind = self._waiting.pop(negotiation)
            # the connection may lead through a hole that has closed: then nothing comes, not even an error
            self._timer = self._owner.clock.callLater(STALL_SECONDS, self._stalled)
            self._begin(negotiation, path_kind, b"")

    def _stalled(self) -> None:
        self._timer = None
        self._nominate()

    def _stop_waiting(self) -> None:
        cancel(self._timer)
        self._timer = None

    def _begin(self, negotiation: Negotiation, path_kind: PathKind, first: bytes) -> None:
        self._trying[negotiation] = None
        plan = LinkPlan(
            negotiation.direction, self.requester, self.peer, token=self.token, path_kind=path_kind
        )
        negotiation.begin_tls(self._tls.wrap(plan, self._owner), first)

    def _settled(self, outcome: object, negotiation: Negotiation) -> None:
        """TLS is done on a connection and the owner has heard of its link, or the connection is lost."""
        self._waiting.pop(negotiation, None)
        had_begun = self._trying.pop(negotiation, self) is None
        if not isinstance(outcome, Link):  # an errback before us may have dealt with the failure
            # a loss before TLS says nothing about the connection that is being tried
            if had_begun and self.requester and not self._trying:
                self._nominate()
        elif self.link is None:
            self.link = outcome
            self.close()
            self._won(outcome)

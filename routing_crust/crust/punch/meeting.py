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
from ...errors import CloseReason, LinkClosed
from ...names import Name
from ...timing.timers import cancel
from ..link.link import Link
from ..link.negotiation import Doorstep
from ..link.owner import LinkOwner
from ..link.preface import Preface
from ..link.tls import LinkTls

MOST_CONNECTIONS: Final = 16
"""Of one meeting at once; both ends dial at most 8 addresses."""
STALL: Final = 1.0
"""Seconds after which a nominated connection is not waited for any more before the next has its turn."""


class Meeting:
    """
    Made when a peer is expected or dialled for a rendezvous; fed with connections whose prefaces match;
    discarded when nobody wants it any more.

    @ivar peer: who must be there.
    @ivar token: the rendezvous token, which becomes that of the link.
    @ivar requester: whether we are the requester, and so the TLS client.
    @ivar link: the first link that came of it.
    """

    def __init__(
        self,
        owner: LinkOwner,
        tls: LinkTls,
        peer: Name,
        token: bytes,
        requester: bool,
        established: Callable[[Meeting, Link], None],
    ) -> None:
        """
        @param established: called when the first link has come up and the owner was told.
        """
        self._owner = owner
        self._tls = tls
        self._established = established
        self._hosts: dict[str, None] = {}
        self._waiting: dict[Doorstep, PathKind] = {}
        self._trying: dict[Doorstep, None] = {}
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
        """What we show to whom is at this address."""
        return Preface.of(self.token, self.requester, host in self._hosts)

    def came(self, door: Doorstep, first: bytes) -> None:
        """
        The peer has shown its preface on a connection, and we have shown ours, or do now.

        @param first: what came after it.
        """
        door.meeting = self
        if self.link is not None:
            door.abort(CloseReason.SUPERSEDED)
            return
        if len(self._waiting) + len(self._trying) >= MOST_CONNECTIONS:
            door.abort(CloseReason.TOO_MANY_LINKS, f"{MOST_CONNECTIONS} connections of one rendezvous")
            return
        assert door.preface is not None
        mine = self.preface_for(door.connection.peer.host)
        if door.direction is Direction.ACCEPTED:
            door.show(mine)
        # where only one of the two has dialled, there was no hole: the other can be dialled by anyone
        path_kind = PathKind.PUNCHED if mine.dialled and door.preface.dialled else PathKind.DIRECT
        if not self.requester:
            self._begin(door, path_kind, first)
        elif first:
            door.abort(CloseReason.PROTOCOL_ERROR, "it went on before it was its turn")
        else:
            self._waiting[door] = path_kind
            if not self._trying:
                self._nominate()

    def close(self) -> None:
        """Cut what is not a link yet. L{link} stays."""
        self._stop_waiting()
        for door in [*self._waiting, *self._trying]:
            door.abort(CloseReason.NO_LONGER_NEEDED)

    def _nominate(self) -> None:
        self._stop_waiting()
        if self._waiting and self.link is None:
            door = next(iter(self._waiting))
            path_kind = self._waiting.pop(door)
            self._timer = self._owner.clock.callLater(STALL, self._stalled)
            self._begin(door, path_kind, b"")

    def _stalled(self) -> None:
        self._timer = None
        self._nominate()

    def _stop_waiting(self) -> None:
        cancel(self._timer)
        self._timer = None

    def _begin(self, door: Doorstep, path_kind: PathKind, first: bytes) -> None:
        self._trying[door] = None
        door.become_link(
            self._tls,
            first,
            initiator=self.requester,
            expected=self.peer,
            token=self.token,
            path_kind=path_kind,
        )

    # What doorsteps tell.

    def gone(self, door: Doorstep) -> None:
        """A connection was lost that had not begun TLS."""
        self._waiting.pop(door, None)

    def link_established(self, door: Doorstep, link: Link) -> None:
        """TLS is done on a connection: tell the owner."""
        del self._trying[door]
        first = self.link is None
        if first:
            self.link = link
        self._owner.link_up(link)
        if first:
            self.close()
            self._established(self, link)

    def link_failed(self, door: Doorstep, reason: LinkClosed) -> None:
        """A connection was lost during TLS: the next has its turn."""
        del self._trying[door]
        if self.requester and not self._trying:
            self._nominate()

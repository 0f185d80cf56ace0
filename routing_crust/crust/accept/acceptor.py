"""
Accepting: who may come in, and how many may stand at the door.

A connection is judged three times: by its address before anything is spent on it (and, if it is for a
rendezvous, by whether that is expected), by the peer's name once TLS has proven it, and then it has
C{hello_timeout} seconds until the layer above has verified its Hello; until that it counts against
C{max_unverified_links} and C{max_unverified_per_prefix}.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.protocol import Factory

from ...endpoints import Direction, Endpoint
from ...errors import CloseReason, LinkClosed
from ..admission import Refusal, Rules, UnverifiedCount
from ..link.link import Link
from ..link.negotiation import Doorstep
from ..link.owner import LinkOwner
from ..link.preface import Preface
from ..link.tls import LinkTls
from ..punch.meeting import Meeting


class Doorkeeper:
    """Counts the accepted connections of one node from their beginning to their verified Hello or end."""

    def __init__(self, owner: LinkOwner, rules: Rules) -> None:
        self._settings = owner.settings
        self._rules = rules
        self._count = UnverifiedCount(owner.settings)
        self._unverified: dict[Doorstep | Link, Endpoint] = {}

    def refusal(self, peer: Endpoint, links: int) -> Refusal | None:
        """
        Whether a connection from there is to be refused.

        @param links: how many links there are.
        """
        refusal = self._rules.refusal_of_address(peer)
        if refusal is not None:
            return refusal
        if links >= self._settings.max_links:
            return Refusal("there are too many links", "max_links", self._settings.max_links)
        self._look_who_is_verified()
        return self._count.refusal(peer)

    def came(self, door: Doorstep, peer: Endpoint) -> None:
        """A connection was accepted."""
        self._unverified[door] = peer
        self._count.add(peer)

    def became(self, door: Doorstep, link: Link) -> None:
        """It is a link from now on, and still counts."""
        self._unverified[link] = self._unverified.pop(door)

    def went(self, gone: Doorstep | Link) -> None:
        """A connection is gone; one that is not counted makes no difference."""
        peer = self._unverified.pop(gone, None)
        if peer is not None:
            self._count.remove(peer)

    def unverified(self) -> int:
        """How many are counted at this moment."""
        self._look_who_is_verified()
        return self._count.total

    def _look_who_is_verified(self) -> None:
        for link in [each for each in self._unverified if each.is_verified]:
            self.went(link)


class Acceptor(Factory):
    """
    The factory behind the listening ports: it also knows the connections that are not up yet.

    @ivar pending: accepted connections of which no link has come yet.
    """

    noisy = False

    def __init__(
        self,
        owner: LinkOwner,
        tls: LinkTls,
        doorkeeper: Doorkeeper,
        meeting_of: Callable[[Preface], Meeting | None],
    ) -> None:
        """
        @param meeting_of: which rendezvous a peer's preface is for, if it is expected.
        """
        self._owner = owner
        self._tls = tls
        self._doorkeeper = doorkeeper
        self._meeting_of = meeting_of
        self.pending: dict[Doorstep, None] = {}

    def buildProtocol(self, addr: Any) -> Doorstep | None:
        """See Twisted's interface. Declines when the owner does."""
        peer = Endpoint.of(addr.host, addr.port)
        if not self._owner.may_accept(peer):
            return None
        door = Doorstep(self._owner, self, Direction.ACCEPTED)
        self.pending[door] = None
        self._doorkeeper.came(door, peer)
        return door

    def tls_came(self, door: Doorstep, first: bytes) -> None:
        """Make a link of a plain TLS connection, which needs no expectation."""
        door.become_link(self._tls, first)

    def preface_came(self, door: Doorstep, first: bytes) -> None:
        """See L{routing_crust.crust.link.negotiation.DoorHost}."""
        assert door.preface is not None
        meeting = self._meeting_of(door.preface)
        if meeting is None:
            door.abort(CloseReason.NOT_WANTED, "nobody expects this rendezvous")
        else:
            meeting.came(door, first)

    def door_up(self, door: Doorstep, link: Link) -> None:
        """See L{routing_crust.crust.link.negotiation.DoorHost}."""
        del self.pending[door]
        self._doorkeeper.became(door, link)

    def door_gone(self, door: Doorstep, reason: LinkClosed) -> None:
        """See L{routing_crust.crust.link.negotiation.DoorHost}."""
        del self.pending[door]
        self._doorkeeper.went(door)
        self._owner.refused(door.connection, reason)

    def abort(self) -> None:
        """Cut all connections that are not up yet."""
        for door in list(self.pending):
            door.abort(CloseReason.STOPPING)

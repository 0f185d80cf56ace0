"""
Table upkeep: the routing table follows the confirmed links.
"""

from __future__ import annotations

from ...errors import CloseReason
from ...names import Name
from ...wire.messages import LinkUse
from ..events import Observers, PeerJoined, PeerLeft
from ..links.peer import Peer, PeerListener
from ..links.registry import LinkRegistry
from .joining import Joiner
from .routing_table import PeerEntry, RoutingTable, counted_by


class TableUpkeep(PeerListener):
    """Made with each start of the service, told of peers, discarded with the run."""

    def __init__(
        self, table: RoutingTable, links: LinkRegistry, joiner: Joiner, observers: Observers
    ) -> None:
        self._table = table
        self._links = links
        self._joiner = joiner
        self._observers = observers

    def peer_established(self, peer: Peer, before: Peer | None) -> None:
        """A member enters the table; a peer that is none any more leaves it."""
        if peer.use is LinkUse.MEMBER:
            self._enter(peer)
        else:
            self._leave(peer.name)

    def peer_lost(self, peer: Peer, reason: CloseReason, detail: str) -> None:
        """A node without a link leaves the table."""
        self._leave(peer.name)

    def _enter(self, peer: Peer) -> None:
        """Add a node, or replace its link. A node that is dropped for it loses its link."""
        known = peer.name in self._table
        endpoint, via = counted_by(peer.link)
        dropped = self._table.add(PeerEntry(peer.name, endpoint, peer.link, via))
        # asked again: the newcomer itself may be the one that makes room
        entered = peer.name in self._table
        if entered and not known:
            self._observers.tell(PeerJoined(peer.name))
        for entry in dropped:
            # a newcomer that was refused was never announced
            if known or entry.name != peer.name:
                self._observers.tell(PeerLeft(entry.name))
            self._links.drop(entry.name, CloseReason.NO_LONGER_NEEDED, "the routing table is full")

    def _leave(self, name: Name) -> None:
        if name in self._table:
            # asked while it is still there: afterwards another node has its place in the group
            was_near = name in self._table.close_group()
            self._table.remove(name)
            self._observers.tell(PeerLeft(name))
            self._joiner.left(was_near)

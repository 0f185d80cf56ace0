"""
Relay choice: both ends of a request, and the relay itself, decide which nodes may relay a tunnel.

Each end of a request names up to eight nodes that have a direct link with it and can be dialled by others.
The end that opens the tunnel tries the nodes that both have a link with, then those that the other end named,
then its own nearest to the other end. A relay whose tunnels to a peer have broken is tried after all others
for that peer for a while, and not at all if they go on breaking.

Of the nodes that both have a link with, the first is the one with the shortest round trip through it: the sum
of our own round trip to it, which we measure, and of the other end's, which that end tells. A tunnel takes
longer than that sum where its relay is busy, or where the other end has told a wrong time: the difference is
remembered for this pair, and added. A peer that lies has a slow tunnel to us, and nobody else has.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from math import ceil, inf, isinf
from typing import Final

from ...bounded_dict import BoundedDict
from ...crust.interfaces import ILink
from ...endpoints import Endpoint, PathKind
from ...errors import CloseReason
from ...names import Name
from ...wire.codec import to_wire
from ...wire.messages import MAX_RELAYS_NAMED, LinkUse, WireRelay
from ..links.peer import Peer
from ..links.registry import LinkRegistry
from ..membership.neighbourhood import Neighbourhood
from ..node import Node

MAX_RELAYS: Final = 4
"""Nodes of its own that an end tries when it knows of no better ones."""
MAX_TOLD: Final = 1024
"""Peers of which it is remembered how far they are from which relays."""
WAIT_MEMORY_SECONDS: Final = 600.0
"""Seconds for which it is remembered how much longer than the sum a tunnel took."""
MIN_GAIN_SECONDS: Final = 0.01
MIN_GAIN_SHARE: Final = 0.2
"""A tunnel is moved to another relay if a round trip becomes shorter by both of these."""
MIN_MOVE_SECONDS: Final = 60.0
"""Seconds for which a tunnel stays with its relay at least, while it works."""
MAX_SHOWN: Final = 3
"""Other relays that an explanation names."""
DISTRUST_SECONDS: Final = 60.0
"""Seconds for which the faults of a relay for a peer are counted, from the first."""
DISTRUST_AT: Final = 3
"""The weight of faults at which a relay is distrusted: that of one broken tunnel."""
REFUSE_AT: Final = 4 * DISTRUST_AT
"""The weight at which it is not even a last resort."""
MAX_DISTRUSTED: Final = 1024
"""Pairs of a peer and a relay whose faults are remembered."""

FAULT_WEIGHTS: Final = {
    CloseReason.TUNNEL_ENDED: 1,
    CloseReason.CONNECTION_LOST: DISTRUST_AT,
    CloseReason.INACTIVE: DISTRUST_AT,
    CloseReason.STALLED: DISTRUST_AT,
    CloseReason.TLS_REFUSED: DISTRUST_AT,
}
"""
How much the loss of a tunnel for this reason is the fault of its relay. An announced end weighs less than a
break. Any other reason is no fault, and such a tunnel is not replaced.
"""


class RelayChoice:
    """Made at each start, asked for nodes to name or to try, told of the faults of those that were used."""

    def __init__(
        self,
        node: Node,
        links: LinkRegistry,
        neighbourhood: Neighbourhood,
        dialable_at: Callable[[Peer], Endpoint | None],
    ) -> None:
        """
        @param dialable_at: where others can dial a peer; C{None} if that is not known.
        """
        self._node = node
        self._links = links
        self._neighbourhood = neighbourhood
        self._dialable_at = dialable_at
        self._faults: BoundedDict[tuple[Name, Name], tuple[float, int]] = BoundedDict(MAX_DISTRUSTED)
        # for each peer, its round trips to the relays that it has named, in seconds
        self._told: BoundedDict[Name, dict[Name, float]] = BoundedDict(MAX_TOLD)
        self._waits: BoundedDict[tuple[Name, Name], tuple[float, float]] = BoundedDict(MAX_DISTRUSTED)

    def way(self, link: ILink, name: Name) -> ILink | None:
        """
        The link by which we carry a tunnel of this link's peer on to C{name}; C{None} if we do not. We are
        the relay then, and carry tunnels between direct links only.
        """
        if not self._node.members.may_relay(self._node.name):
            return None
        peer = self._links.peer(name)
        if peer is None or link not in self._links.confirmed or peer.link.path_kind is PathKind.TUNNEL:
            return None
        return peer.link

    def told(self, peer: Name, relays: Sequence[WireRelay]) -> None:
        """A peer has named nodes for a tunnel to it, and how far it is from them."""
        self._told.put(peer, {Name(each.name): each.milliseconds / 1000 for each in relays})

    def to_name(self, other: Name, theirs: Sequence[Name] = ()) -> tuple[WireRelay, ...]:
        """
        The nodes that we name for a tunnel to us: those that the other end has named first, then by turns one
        of those nearest to its name, which it may know too, and one of those nearest to us by time.

        @param theirs: the nodes that the other end has named.
        """
        found: dict[Name, WireRelay] = {}
        for peer in self._by_preference(other, theirs):
            endpoint = None if peer.name in found else self._dialable_at(peer)
            if endpoint is not None:
                own = peer.link.round_trip.smoothed_or(inf)
                milliseconds = 0 if isinf(own) else min(60_000, max(1, ceil(own * 1000)))
                found[peer.name] = WireRelay(peer.name.raw, to_wire(endpoint), milliseconds)
                if len(found) == MAX_RELAYS_NAMED:
                    break
        return tuple(found.values())

    def to_try(self, peer: Name, theirs: Sequence[Name]) -> list[Name]:
        """
        The nodes through which a tunnel to this peer is tried, best first: those that both have a link with
        by the time that a round trip takes, and one whose link may be dead after the others. Those that are
        distrusted come last: where a path breaks, its end has faults with all relays, and needs one.

        @param theirs: the nodes that the peer has named.
        """
        own = [each.name for each in self._usable(peer)]
        # sorted() keeps the peer's order where nothing is known
        common = sorted(
            (name for name in theirs if name in own),
            key=lambda name: (self._is_doubted(peer, name), self.seconds(peer, name)),
        )
        nearest = sorted(own, key=peer.distance)[:MAX_RELAYS]
        skip = (peer, self._node.name)
        names = dict.fromkeys(each for each in (*common, *theirs, *nearest) if each not in skip)
        usable = (name for name in names if self._fault_weight(peer, name) < REFUSE_AT)
        return sorted(usable, key=lambda name: self.is_distrusted(peer, name))

    def seconds(self, peer: Name, relay: Name) -> float:
        """How long a round trip to this peer through this node takes; infinite if that is not known."""
        theirs = self._told.get(peer, {}).get(relay, 0.0)
        own = self._links.link_to(relay)
        # the other end says 0 where it does not know
        if own is None or own.path_kind is PathKind.TUNNEL or not theirs:
            return inf
        since, waited = self._waits.get((peer, relay), (-inf, 0.0))
        if self._node.clock.seconds() - since >= WAIT_MEMORY_SECONDS:
            waited = 0.0
        return own.round_trip.smoothed_or(inf) + theirs + waited

    def probe(self, peer: Peer) -> None:
        """Measure the tunnel to this peer, and our links to the relays that it has named."""
        for name in (peer.name, *self._told.get(peer.name, {})):
            link = self._links.link_to(name)
            if link is not None:
                link.probe()

    def is_changing(self, peer: Peer) -> bool:
        """Whether the last round trip through a tunnel took clearly longer or shorter than those before."""
        trip = peer.link.round_trip
        if trip.smoothed is None or trip.latest is None:
            return False
        return abs(trip.latest - trip.smoothed) > max(MIN_GAIN_SECONDS, MIN_GAIN_SHARE * trip.smoothed)

    def measured(self, peer: Peer) -> None:
        """A tunnel has been in use: remember by how much it takes longer than the sum of its halves."""
        relay, trip = peer.link.via, peer.link.round_trip
        if relay is None or trip.variation is None or trip.smoothed is None:
            return
        # first, since the sum below would count it in
        self._waits.pop((peer.name, relay), None)
        waited = trip.smoothed - self.seconds(peer.name, relay)
        if waited > 0:
            self._waits.put((peer.name, relay), (self._node.clock.seconds(), waited))

    def better(self, name: Name) -> list[Name]:
        """
        The nodes through which a round trip to a peer would be clearly shorter than through its present
        tunnel, best first; none if that is new, or not measured, or may be dead.
        """
        peer = self._links.peer(name)
        if peer is None or peer.link.path_kind is not PathKind.TUNNEL or peer.link.is_doubted:
            return []
        trip = peer.link.round_trip
        if trip.smoothed is None or trip.latest is None:
            return []
        if self._node.clock.seconds() - peer.since < MIN_MOVE_SECONDS:
            return []
        # the latest, too: one sample that was held up must not move the tunnel
        now = min(trip.smoothed, trip.latest)
        enough = now - max(MIN_GAIN_SECONDS, MIN_GAIN_SHARE * now)
        return [relay for seconds, relay in self._others(peer) if seconds <= enough]

    def reason(self, name: Name) -> str:
        """Why the tunnel to a peer goes through its relay, in words; empty if there is no tunnel."""
        peer = self._links.peer(name)
        if peer is None or peer.link.via is None:
            return ""
        seconds = self.seconds(name, peer.link.via)
        if isinf(seconds):
            return "it answered first; how far the other end is from it is not known"
        others = [f"{_milliseconds(each)} through {relay.short}" for each, relay in self._others(peer)]
        if not others:
            return f"{_milliseconds(seconds)} through it, and no other relay is known that both ends reach"
        return f"{_milliseconds(seconds)} through it, {', '.join(others[:MAX_SHOWN])}"

    def way_round(self, peer: Peer) -> ILink | None:
        """
        The link to the relay that comes next, if our link to this peer is a tunnel and its relay may be dead:
        that relay has a link with the peer, and the routing table may lead to the dead one.
        """
        others = self._others(peer) if peer.link.path_kind is PathKind.TUNNEL else []
        return self._links.link_to(others[0][1]) if others else None

    def _others(self, peer: Peer) -> list[tuple[float, Name]]:
        """What else a round trip would take, shortest first, and the relay for it."""
        found: list[tuple[float, Name]] = []
        kept = self._kept()
        for each in self._told.get(peer.name, {}):
            relay = self._links.peer(each)
            if relay is None or relay.link.is_doubted or not self._is_usable(relay, peer.name, kept):
                continue
            if each != peer.link.via and not self.is_distrusted(peer.name, each):
                found.append((self.seconds(peer.name, each), each))
        return sorted(each for each in found if not isinf(each[0]))

    def _is_doubted(self, other: Name, relay: Name) -> bool:
        """Whether this relay may be dead: our link to it is silent, or our tunnel through it is."""
        tunnel, link = self._links.link_to(other), self._links.link_to(relay)
        through = tunnel is not None and tunnel.via == relay and tunnel.is_doubted
        return through or (link is not None and link.is_doubted)

    def note_fault(self, peer: Name, relay: Name, weight: int) -> None:
        """A tunnel to this peer was lost by the fault of the node in its middle."""
        now = self._node.clock.seconds()
        since, faults = self._faults.get((peer, relay), (now, 0))
        faults = weight if now - since >= DISTRUST_SECONDS else faults + weight
        self._faults.put((peer, relay), (now, faults))

    def is_distrusted(self, peer: Name, relay: Name) -> bool:
        """Whether others are preferred to this node for tunnels to this peer."""
        return self._fault_weight(peer, relay) >= DISTRUST_AT

    def _fault_weight(self, peer: Name, relay: Name) -> int:
        since, faults = self._faults.get((peer, relay), (0.0, 0))
        return faults if self._node.clock.seconds() - since < DISTRUST_SECONDS else 0

    def _by_preference(self, other: Name, theirs: Sequence[Name]) -> Iterator[Peer]:
        """The peers that we could name; some of them more than once."""
        kept = self._kept()
        for name in theirs:
            peer = self._links.peer(name)
            if peer is not None and self._is_usable(peer, other, kept):
                yield peer
        usable = self._usable(other)
        near = sorted(usable, key=lambda each: other.distance(each.name))
        quick = sorted(usable, key=lambda each: (each.link.is_doubted, each.link.round_trip.smoothed_or(inf)))
        for pair in zip(near, quick, strict=True):
            yield from pair

    def _usable(self, other: Name) -> list[Peer]:
        kept = self._kept()
        return [each for each in self._links.peers if self._is_usable(each, other, kept)]

    def _is_usable(self, peer: Peer, other: Name, kept: Collection[Name | None]) -> bool:
        """
        Whether this node is not the other end, and we have a direct link to it that will stay.

        @param kept: L{_kept}; found out once for many peers, since strangers have us ask about all.
        """
        return (
            peer.link.path_kind is not PathKind.TUNNEL
            and not peer.facts.is_client
            and peer.name != other
            and self._node.members.may_relay(peer.name)
            and (peer.use >= LinkUse.DIRECT or peer.name in kept)
        )

    def _kept(self) -> set[Name | None]:
        """The nodes to which a link that is for no use of its own is kept all the same."""
        # The table of a tunnel's relay may have no room for us. Of two such nodes neither could name it, and
        # each has the other's way through it.
        return {self._neighbourhood.proxy, *(each.link.via for each in self._links.peers)}


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"

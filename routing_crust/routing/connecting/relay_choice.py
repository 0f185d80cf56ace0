"""
Relay choice: which nodes may relay a tunnel, decided at both ends of a request and at the relay itself.

Each end of a request names up to four nodes that have a direct link with it and can be dialled by others.
The end that opens the tunnel tries the nodes that both have a link with, then those that the other end named,
then its own nearest to the other end. A relay whose tunnels to a peer have broken is not used for that peer
for a while.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final

from ...bounded_dict import BoundedDict
from ...crust.interfaces import ILink
from ...endpoints import Endpoint, PathKind
from ...errors import CloseReason
from ...names import Name
from ...wire.codec import to_wire
from ...wire.messages import LinkUse, WireContact
from ..links.peer import Peer
from ..links.registry import LinkRegistry
from ..membership.neighbourhood import Neighbourhood
from ..node import Node

MAX_RELAYS: Final = 4
"""Nodes that each end names, and nodes of its own that it tries when it knows of no better ones."""
DISTRUST_SECONDS: Final = 60.0
"""Seconds for which a relay is not used for a peer, once its faults have reached C{DISTRUST_AT}."""
DISTRUST_AT: Final = 3
"""The weight of faults at which a relay is distrusted: that of one broken tunnel."""
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

    def to_name(self, other: Name, theirs: Collection[Name] = ()) -> tuple[WireContact, ...]:
        """
        The nodes that we name for a tunnel to us: those that the other end has named first, then those
        nearest to its name.

        @param theirs: the nodes that the other end has named.
        """
        found: dict[Name, Endpoint] = {}
        for peer in self._by_preference(other, theirs):
            endpoint = self._dialable_at(peer)
            if endpoint is not None:
                found[peer.name] = endpoint
                if len(found) == MAX_RELAYS:
                    break
        return tuple(WireContact(name.raw, to_wire(endpoint)) for name, endpoint in found.items())

    def to_try(self, peer: Name, theirs: Sequence[Name]) -> list[Name]:
        """
        The nodes through which a tunnel to this peer is tried, best first.

        @param theirs: the nodes that the peer has named.
        """
        own = [each.name for each in self._usable(peer)]
        common = [name for name in theirs if name in own]
        nearest = sorted(own, key=peer.distance)[:MAX_RELAYS]
        skip = (peer, self._node.name)
        names = dict.fromkeys(each for each in (*common, *theirs, *nearest) if each not in skip)
        return [name for name in names if not self.is_distrusted(peer, name)]

    def note_fault(self, peer: Name, relay: Name, weight: int) -> None:
        """A tunnel to this peer was lost by the fault of the node in its middle."""
        now = self._node.clock.seconds()
        since, faults = self._faults.get((peer, relay), (now, 0))
        faults = weight if now - since >= DISTRUST_SECONDS else faults + weight
        self._faults.put((peer, relay), (now, faults))

    def is_distrusted(self, peer: Name, relay: Name) -> bool:
        """Whether this node is passed over for tunnels to this peer."""
        since, faults = self._faults.get((peer, relay), (0.0, 0))
        return faults >= DISTRUST_AT and self._node.clock.seconds() - since < DISTRUST_SECONDS

    def _by_preference(self, other: Name, theirs: Collection[Name]) -> Iterator[Peer]:
        """The peers that we could name; some of them more than once."""
        near = [each.name for each in self._neighbourhood.table.nearest(other, 2 * MAX_RELAYS)]
        for name in (*sorted(theirs, key=other.distance), *near):
            peer = self._links.peer(name)
            if peer is not None and self._is_usable(peer, other):
                yield peer
        # reached only if those did not suffice, since it sorts all peers
        yield from sorted(self._usable(other), key=lambda each: other.distance(each.name))

    def _usable(self, other: Name) -> list[Peer]:
        return [each for each in self._links.peers if self._is_usable(each, other)]

    def _is_usable(self, peer: Peer, other: Name) -> bool:
        """Whether this node is not the other end, and we have a direct link to it that will stay."""
        return (
            peer.link.path_kind is not PathKind.TUNNEL
            and not peer.facts.is_client
            and peer.name != other
            and self._node.members.may_relay(peer.name)
            and (peer.use >= LinkUse.DIRECT or peer.name == self._neighbourhood.proxy)
        )

"""
The peers that we are the proxy of, clients and joining nodes: how many they may be, and who makes room.

Of C{max_clients} places a quarter is kept for joining nodes, which need one for seconds. When no place is
left, a prefix that holds at least two more than the newcomer's makes room; first the /24 or /48 counts, then
the address or /56. So a place that was given up for another prefix is never worth fighting over. Where all
prefixes are alike, a node that has had time to join makes room. A node that has not joined when its bootstrap
would have ended is let go once more than half of the places are taken, unless it has tunnels through us.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ...crust.interfaces import ILink
from ...endpoints import Direction, Endpoint
from ...errors import CloseReason
from ...limits import BOOTSTRAP_TIMEOUT_SECONDS
from ...names import Name
from ...timing.deadlines import Deadlines
from ...wire.messages import LinkUse
from ..links.granted import crowd, fullest
from ..links.peer import Peer, PeerListener
from ..links.registry import LinkRegistry
from ..node import Node

PLACES_PER_JOINING_PLACE: Final = 4
"""Parts of all places, of which one is kept for joining nodes."""
JOINING_SECONDS: Final = 10.0
"""A node that has had a place for this time may have to make room: joining takes a few seconds."""


class ProxiedPeers(PeerListener):
    """
    I am made with each start of the service, asked by the policy, told of peers, and discarded after L{stop}.
    """

    def __init__(self, node: Node, links: LinkRegistry) -> None:
        self._node = node
        self._links = links
        self._joining: Deadlines[Name] = Deadlines(node.clock, BOOTSTRAP_TIMEOUT_SECONDS, self._not_joined)

    def make_room(self, link: ILink, is_client: bool) -> str:
        """
        Make room for the peer of a link, at another's expense if need be.

        @return: why there is none; empty if there is.
        """
        most = self._node.settings.max_clients
        proxied = [peer for peer in self._links.peers if is_proxied(peer)]
        # another link of the same peer takes no new place
        if any(peer.name == link.peer for peer in proxied):
            return ""
        clients = [peer for peer in proxied if peer.facts.is_client]
        client_places = most - most // PLACES_PER_JOINING_PLACE
        too_many_clients = is_client and len(clients) >= client_places
        if len(proxied) < most and not too_many_clients:
            return ""
        rivals = clients if too_many_clients else proxied
        loser = who_makes_room(rivals, link.connection.peer, self._node.clock.seconds())
        if loser is None:
            return (
                f"we are the proxy of {len(proxied)} already, {len(clients)} of them clients, "
                "and the setting max_clients allows no more"
            )
        detail = f"it made room for {link.connection.peer}, for the setting max_clients"
        self._links.drop(loser.name, CloseReason.TOO_MANY_LINKS, detail)
        return ""

    def peer_established(self, peer: Peer, before: Peer | None) -> None:
        """Begin the time within which a newly attached node should join."""
        if not is_proxied(peer) or peer.facts.is_client:
            self._joining.cancel(peer.name)
        elif before is None or not is_proxied(before):
            self._joining.add(peer.name)

    def peer_lost(self, peer: Peer, reason: CloseReason, detail: str) -> None:
        """Forget it."""
        self._joining.cancel(peer.name)

    def stop(self) -> None:
        """Cancel the timer."""
        self._joining.stop()

    def _not_joined(self, name: Name) -> None:
        # an application of the peer's may use the link, which only it knows: while there is room, it stays
        crowded = 2 * sum(map(is_proxied, self._links.peers)) > self._node.settings.max_clients
        if crowded and not self._node.crust.carries_for(name):
            seconds = BOOTSTRAP_TIMEOUT_SECONDS
            self._links.drop(name, CloseReason.NO_LONGER_NEEDED, f"it has not joined within {seconds:.0f} s")
        else:
            self._joining.add(name)


def is_proxied(peer: Peer) -> bool:
    """Whether we are the proxy of this peer."""
    return peer.use is LinkUse.ATTACHED and peer.link.direction is Direction.ACCEPTED


def who_makes_room(rivals: Sequence[Peer], newcomer: Endpoint, now: float) -> Peer | None:
    """
    Choose who loses its place to a newcomer from there; C{None} if nobody does.

    In a crowd the nodes that are joining go first, the oldest of them before the others; then the newest
    client, since those who came before a flood are not part of it.
    """
    full = crowd(rivals, newcomer, lambda each: each.prefix)
    # no /24 or /48 stands out, but within that of the newcomer one address may
    if not full:
        neighbours = [peer for peer in rivals if peer.link.connection.peer.prefix == newcomer.prefix]
        full = crowd(neighbours, newcomer, lambda each: each.origin)
    full = fullest(full, lambda each: each.origin)
    joining = [peer for peer in full if not peer.facts.is_client]
    if not full:
        joining = [
            peer for peer in rivals if not peer.facts.is_client and now - peer.since >= JOINING_SECONDS
        ]
    if joining:
        return min(joining, key=lambda each: each.since)
    return max(full, key=lambda each: each.since, default=None)

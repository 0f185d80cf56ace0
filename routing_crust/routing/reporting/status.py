"""
Reports on links and on the node as a whole, for observers and the status page.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ...errors import CloseReason, LinkClosed
from ...names import Name
from ..events import LinkChanged, LinkFacts, LinkGained, LinkLost, Observers
from ..links.peer import Peer, PeerListener
from ..links.registry import LinkRegistry
from ..membership.neighbourhood import Neighbourhood
from ..node import Node

MAX_FAILURES: Final = 32


def link_facts(peer: Peer) -> LinkFacts:
    """A peer's confirmed link, as observers see it."""
    return LinkFacts(
        peer.name,
        peer.link.connection,
        peer.link.direction,
        peer.use,
        peer.two_way,
        peer.facts.is_client,
        peer.link.path_kind,
        peer.link.via,
    )


class LinkReports(PeerListener):
    """Tells the observers of a service of its peers. Made with each start, discarded with the run."""

    def __init__(self, observers: Observers) -> None:
        self._observers = observers

    def peer_established(self, peer: Peer, before: Peer | None) -> None:
        """Tell what has changed, if observers can see it."""
        if before is not None and before.link is not peer.link:
            self._observers.tell(LinkChanged(link_facts(before), link_facts(peer)))
        # that a second direction has come up is not worth an event
        elif before is None or before.use is not peer.use:
            self._observers.tell(LinkGained(link_facts(peer)))

    def peer_reset(self, peer: Peer, reason: LinkClosed) -> None:
        """Report a loss and a gain: to an observer a reset is a link that was lost and made again at once."""
        self._observers.tell(LinkLost(link_facts(peer), reason.reason, reason.detail))
        self._observers.tell(LinkGained(link_facts(peer)))

    def peer_lost(self, peer: Peer, reason: CloseReason, detail: str) -> None:
        """Tell that the link is gone."""
        self._observers.tell(LinkLost(link_facts(peer), reason, detail))


def node_status(
    node: Node,
    links: LinkRegistry,
    neighbourhood: Neighbourhood,
    expected: int,
    relay: dict[str, object],
    nickname_of: Callable[[Name], str],
) -> dict[str, object]:
    """
    What a running node can say of itself; every value can be written as JSON.

    @param expected: how many connections are expected.
    @param relay: what is being relayed for others.
    @param nickname_of: what people call a peer; empty if it has no nickname.
    """
    now = node.clock.seconds()
    table, proxy = neighbourhood.table, neighbourhood.proxy
    return {
        "endpoints": [str(each) for each in node.crust.endpoints],
        "external": [
            {"endpoint": str(each.endpoint), "source": each.source.value} for each in node.crust.sources
        ],
        "mapped_ports": list(node.crust.mapped_ports),
        "path_mtu": [
            {"host": host, "segment_bytes": size}
            for host, size in node.crust.path_problems.small_segments.items()
        ],
        "uplinks": list(node.crust.path_problems.uplinks),
        "nat": node.crust.nat.name.lower(),
        "dialable": node.crust.reachability.dialable.value,
        "dialable_seconds": round(now - node.crust.reachability.since, 1),
        "proxy": None if proxy is None else str(proxy),
        "out_through": node.crust.proxy,
        "close_group": [str(each) for each in table.close_group()],
        "table": [str(entry.name) for entry in table.nearest(node.name, len(table))],
        "links": [_link_status(peer, now, nickname_of(peer.name)) for peer in links.peers],
        "unconfirmed_links": len(links) - len(links.peers),
        "expected_connections": expected,
        "relay": relay,
        "failures": [
            {
                "peer": str(name),
                "nickname": nickname_of(name),
                "seconds_ago": round(max(0.0, now - each.at), 1),
                "way": each.way.value,
                "where": each.where,
                "outcome": each.text,
                "times": each.times,
            }
            for name, each in node.crust.history.failures(MAX_FAILURES)
        ],
    }


def _link_status(peer: Peer, now: float, nickname: str) -> dict[str, object]:
    observed = peer.facts.observed
    return {
        "peer": str(peer.name),
        "nickname": nickname,
        "address": str(peer.link.connection.peer),
        "direction": peer.link.direction.value,
        "use": peer.use.name.lower(),
        # programs read this key, which is older than the name path_kind
        "rung": peer.link.path_kind.value,
        "via": None if peer.link.via is None else str(peer.link.via),
        "two_way": peer.two_way,
        "client": peer.facts.is_client,
        "seconds": round(now - peer.since, 1),
        "queued": peer.link.queued,
        "silent_seconds": round(peer.link.owed_for, 1) if peer.link.is_doubted else None,
        "round_trip_seconds": _rounded(peer.link.round_trip.smoothed),
        "round_trip_variation_seconds": _rounded(peer.link.round_trip.variation),
        "sees_us_at": None if observed is None else str(observed),
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)

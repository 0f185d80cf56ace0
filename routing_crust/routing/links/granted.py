"""
Granted links: the direct links that others have asked us for, and who of them makes room.

Half of C{max_links} is kept for the links that we ask for ourselves. Members and direct links share the other
half. Attached peers have a bound of their own, and a link that is not confirmed is no link yet: neither keeps
anybody out. When the half is full, a prefix that holds at least two more granted links than the newcomer's
makes room: first the /24 or /48 counts, then the address or /56.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from ...endpoints import Endpoint
from ...errors import CloseReason
from ...names import Name
from ...wire.messages import LinkUse
from ..node import Node
from .idle import IdleLinks
from .peer import Peer, PeerListener
from .registry import LinkRegistry

OWN_SHARE: Final = 2
"""Parts of all links, of which one is kept for those that we ask for."""
MIN_LEAD: Final = 2
"""Places by which a prefix must be ahead of the newcomer's to lose one."""


class GrantedLinks(PeerListener):
    """Made with each start of the service, asked about requests, told of peers, discarded with the run."""

    def __init__(self, node: Node, links: LinkRegistry, idle: IdleLinks) -> None:
        self._node = node
        self._links = links
        self._idle = idle

    @property
    def _most(self) -> int:
        return self._node.settings.max_links // OWN_SHARE

    def has_room(self, name: Name) -> bool:
        """
        Whether a node that asks for a direct link may have one. If it has no link yet its address is not
        known, and taken to be where nobody else is; whether that is so shows when the link is confirmed.
        """
        if len(self._taken()) < self._most:
            return True
        # a link for a lesser use shows where the node is
        link = self._links.link_to(name)
        granted = self._granted()
        if link is None:
            return bool(crowd(granted, None, _prefix))
        newcomer = link.connection.peer
        neighbours = [peer for peer in granted if peer.link.connection.peer.prefix == newcomer.prefix]
        return bool(crowd(granted, newcomer, _prefix) or crowd(neighbours, newcomer, _origin))

    def peer_established(self, peer: Peer, before: Peer | None) -> None:
        """If a direct link is one too many, the newest of the fullest prefix is closed."""
        if peer.use is not LinkUse.DIRECT or (before is not None and before.use is LinkUse.DIRECT):
            return
        if len(self._taken()) <= self._most:
            return
        full = fullest(fullest(self._granted(), _prefix), _origin)
        # none where all of them are members or our own: these are not closed for a newcomer
        if full:
            loser = max(full, key=lambda each: each.since)
            detail = "its prefix has most of the direct links that others may have, by the setting max_links"
            self._links.drop(loser.name, CloseReason.TOO_MANY_LINKS, detail)

    def _taken(self) -> list[Peer]:
        return [peer for peer in self._links.peers if peer.use is not LinkUse.ATTACHED]

    def _granted(self) -> list[Peer]:
        # a direct link that we do not use ourselves was made because the peer asked for it
        return [
            peer
            for peer in self._links.peers
            if peer.use is LinkUse.DIRECT and not self._idle.is_ours(peer.name)
        ]


def crowd(peers: Sequence[Peer], newcomer: Endpoint | None, key: Callable[[Endpoint], str]) -> list[Peer]:
    """
    The peers of the fullest prefixes, if these are well ahead of the newcomer's.

    @param newcomer: C{None} is taken to be where nobody else is.
    """
    counts = Counter(key(peer.link.connection.peer) for peer in peers)
    mine = 0 if newcomer is None else counts[key(newcomer)]
    if max(counts.values(), default=0) < mine + MIN_LEAD:
        return []
    return fullest(peers, key)


def fullest(peers: Sequence[Peer], key: Callable[[Endpoint], str]) -> list[Peer]:
    """The peers of the prefixes that most of them have."""
    counts = Counter(key(peer.link.connection.peer) for peer in peers)
    most = max(counts.values(), default=0)
    return [peer for peer in peers if counts[key(peer.link.connection.peer)] == most]


def _prefix(endpoint: Endpoint) -> str:
    return endpoint.prefix


def _origin(endpoint: Endpoint) -> str:
    return endpoint.origin

"""
Second links: what is done about a link that may be dead.

A doubted link is not cut, for it may only be slow. A second link is made beside it: by a dial, where the peer
can be dialled, and else by a request that goes by other nodes. On a dialled one the Hello names the doubted
link by its mark, so that both ends take the second link for the same use. Then the consolidation decides for
it, and the handover gets over what the old one may still bring.

Where a host's own path breaks, all of its links are doubted at once. The first few peers are tried at once,
and the others at random times, later where there are more of them.

A dial that began while the path was broken is begun again when another link comes up: the kernel has repeated
its first packet in vain, and waits for seconds until it does so again.

A peer that refuses such a link does not know the doubted one any more: then that is dead.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import inf
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from ...crust.interfaces import ILink
from ...errors import CloseReason, LinkClosed
from ...names import Name
from ...timing.shares import OURSELVES
from ...timing.timers import cancel
from ..node import Node
from .handover import mark_of
from .peer import Peer, PeerListener
from .registry import LinkRegistry

MIN_INTERVAL_SECONDS: Final = 1.5
"""Between two attempts for one peer, whatever gives reason for them."""
AT_ONCE: Final = 8
"""Peers that are tried as soon as they are in doubt, and of those before them once a new link comes."""
AGAIN_AFTER_SECONDS: Final = 1.0
"""A dial that is older than this is begun again when another link comes up."""
DIAL_ALONE_SECONDS: Final = 0.5
"""A peer that does not answer where it was dialled is asked by other nodes after this time,"""
DIAL_ALONE_ROUND_TRIPS: Final = 4
"""or after these, if that is less: one for TCP, two for TLS and the Hellos, and one to spare."""
SPREAD_SECONDS: Final = 0.05
"""By how much the time within which a peer is tried grows with each peer before it."""
MAX_SPREAD_SECONDS: Final = 4.0
"""The upper bound of that time: until then the doubt has been reported again."""


class SecondLinks(PeerListener):
    """Made at each start, told of doubts, discarded after L{stop}."""

    def __init__(self, node: Node, links: LinkRegistry, request: Callable[[Peer], None]) -> None:
        """
        @param request: asks a peer for a second link, by other nodes, unless it is being asked.
        """
        self._node = node
        self._links = links
        self._request = request
        # each with the time when it began
        self._dials: dict[Name, tuple[Deferred[ILink], float]] = {}
        # when each doubted peer was tried last
        self._tried: dict[Name, float] = {}
        self._later: dict[Name, IDelayedCall] = {}

    def peer_doubted(self, peer: Peer) -> None:
        now = self._node.clock.seconds()
        if now - self._tried.get(peer.name, float("-inf")) < MIN_INTERVAL_SECONDS:
            return
        first = peer.name not in self._tried
        self._tried[peer.name] = now
        # those that were only slow long ago say nothing
        more = sum(now - when < MAX_SPREAD_SECONDS for when in self._tried.values()) - AT_ONCE
        if more <= 0:
            self._try(peer, first)
        elif peer.name not in self._later:
            wait = self._node.random.uniform(0, min(more * SPREAD_SECONDS, MAX_SPREAD_SECONDS))
            self._later[peer.name] = self._node.clock.callLater(wait, self._try_later, peer.name, first)

    def _try_later(self, name: Name, first: bool) -> None:
        self._later.pop(name, None)
        peer = self._links.peer(name)
        # it may have another link by now, or have been heard from
        if peer is not None and peer.link.is_doubted:
            self._try(peer, first)

    def _try(self, peer: Peer, first: bool) -> None:
        # a dial needs nobody else; but what could be dialled once may be behind another address now
        if not self._dial(peer) or not first:
            self._request(peer)
        else:
            cancel(self._later.get(peer.name))
            wait = min(DIAL_ALONE_SECONDS, DIAL_ALONE_ROUND_TRIPS * peer.link.round_trip.smoothed_or(inf))
            self._later[peer.name] = self._node.clock.callLater(wait, self._try_later, peer.name, False)

    def peer_established(self, peer: Peer, before: Peer | None) -> None:
        """A new link may lead to peers that could not be asked so far."""
        if before is None or before.link is not peer.link:
            self._end(peer.name)
            doubted = [
                each for each in self._links.peers if each.name in self._tried and each.link.is_doubted
            ]
            # each link that comes brings some more of many
            for other in self._node.random.sample(doubted, min(len(doubted), AT_ONCE)):
                self._dial_again(other)
                self._request(other)

    def peer_lost(self, peer: Peer, reason: CloseReason, detail: str) -> None:
        self._end(peer.name)

    def link_lost(self, link: ILink, reason: LinkClosed) -> None:
        """A link was lost: if it was a second one that the peer refused, the first is dead."""
        peer = self._links.peer(link.peer)
        refused = reason.by_peer and reason.reason is CloseReason.NOT_WANTED
        if refused and peer is not None and link.token == mark_of(peer.link) and peer.link.is_doubted:
            self._links.drop(
                peer.name, CloseReason.CONNECTION_LOST, "the peer does not know the link any more"
            )

    def stop(self) -> None:
        """Dial nobody any more."""
        for name in [*self._dials, *self._later]:
            self._end(name)
        self._tried.clear()

    def _dial(self, peer: Peer) -> bool:
        """
        Dial a peer where it was dialled before.

        @return: whether there is such a place.
        """
        name = peer.name
        endpoint = self._links.dialled_at(name)
        if endpoint is None:
            return False
        if name not in self._dials:
            dial = self._node.crust.connect((endpoint,), name, mark_of(peer.link), OURSELVES)
            self._dials[name] = dial, self._node.clock.seconds()
            dial.addBoth(partial(self._dialled, name))
        return True

    def _dial_again(self, peer: Peer) -> None:
        dial, begun = self._dials.get(peer.name, (None, 0.0))
        if dial is not None and self._node.clock.seconds() - begun >= AGAIN_AFTER_SECONDS:
            dial.cancel()  # which takes it out
            self._dial(peer)

    def _dialled(self, name: Name, outcome: object) -> None:
        """The history has the outcome."""
        self._dials.pop(name, None)

    def _end(self, name: Name) -> None:
        self._tried.pop(name, None)
        cancel(self._later.pop(name, None))
        dial, _ = self._dials.pop(name, (None, 0.0))
        if dial is not None:
            dial.cancel()

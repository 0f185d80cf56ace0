"""
Accepted connections whose Hello is not verified, and the limits on them.

Each has C{hello_timeout} seconds until the layer above has verified its Hello; until that it counts against
C{max_unverified_links} and C{max_unverified_per_prefix}.
"""

from __future__ import annotations

from typing import TypeVar

from twisted.internet.defer import Deferred

from ...config import Settings
from ...endpoints import Endpoint
from ..admission import Refusal, UnverifiedCount
from ..interfaces import ILink

_Outcome = TypeVar("_Outcome")


class UnverifiedConnections:
    """Counts the accepted connections of one node from their beginning to their verified Hello or end."""

    def __init__(self, settings: Settings) -> None:
        self._count = UnverifiedCount(settings)
        self._links: dict[ILink, Endpoint] = {}

    def refusal(self, peer: Endpoint) -> Refusal | None:
        """Whether one more connection from there would be too many."""
        # links do not report that they are verified: it is enough to look when the count decides
        self._forget_verified()
        return self._count.refusal(peer)

    def add(self, peer: Endpoint, link: Deferred[ILink]) -> None:
        """
        A connection was accepted, and counts.

        @param link: once it fires, the link counts; once it fails, nothing does.
        """
        self._count.add(peer)
        link.addCallbacks(self._link_up, self._failed, callbackArgs=(peer,), errbackArgs=(peer,))

    def link_lost(self, link: ILink) -> None:
        """A link is gone; one that is not counted makes no difference."""
        peer = self._links.pop(link, None)
        if peer is not None:
            self._count.remove(peer)

    def total(self) -> int:
        """How many are counted at this moment."""
        self._forget_verified()
        return self._count.total

    def _link_up(self, link: ILink, peer: Endpoint) -> ILink:
        self._links[link] = peer
        return link

    def _failed(self, failure: _Outcome, peer: Endpoint) -> _Outcome:
        self._count.remove(peer)
        return failure

    def _forget_verified(self) -> None:
        for link in [each for each in self._links if each.is_verified]:
            self.link_lost(link)

"""
Shares: who holds how much of something that is bounded, by who can be held to account for it.

A holder is the link that a thing came by, with the prefix of that link's address: names in what comes over it
are free, links and addresses are not. When all is taken, the prefix that holds most makes room, and of its
links the one that holds most. Many links of one prefix take no more from others than one link does, and
neighbours of a flooding host lose nothing before it does.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from ..crust.interfaces import ILink
from ..endpoints import Endpoint
from ..names import Name


class Holder(NamedTuple):
    """
    A link, and the /24 or /48 of its address.

    @ivar peer: the peer of the link; C{None} is this node itself.
    """

    prefix: str
    peer: Name | None


OURSELVES: Final = Holder("", None)


def holder_of(link: ILink | None) -> Holder:
    """Who is held to account for what comes by a link; L{OURSELVES} for C{None}."""
    # the address of a tunnel's link is that of its relay
    return OURSELVES if link is None else Holder(_prefix(link.connection.peer), link.peer)


@lru_cache(maxsize=4096)
def _prefix(endpoint: Endpoint) -> str:
    return endpoint.prefix


class Shares:
    """
    Made by a part that bounds something, told what each holder takes and gives back, discarded with it.

    @ivar total: what all hold together.
    """

    def __init__(self) -> None:
        self.total = 0
        self._of_prefix: dict[str, int] = {}
        self._of: dict[str, dict[Holder, int]] = {}

    def __getitem__(self, holder: Holder) -> int:
        """How much a holder has."""
        return self._of.get(holder.prefix, {}).get(holder, 0)

    def add(self, holder: Holder, change: int) -> None:
        """A holder takes so much more, or gives it back if it is below 0."""
        self.total += change
        prefix = holder.prefix
        held = self._of_prefix.get(prefix, 0) + change
        if not held:
            del self._of_prefix[prefix], self._of[prefix]
            return
        self._of_prefix[prefix] = held
        holders = self._of.setdefault(prefix, {})
        held = holders.get(holder, 0) + change
        if held:
            holders[holder] = held
        else:
            del holders[holder]

    def fullest(self) -> Holder:
        """
        Who has to make room.

        @raise ValueError: nobody holds anything.
        """
        prefix = max(self._of_prefix, key=self._of_prefix.__getitem__)
        holders = self._of[prefix]
        return max(holders, key=holders.__getitem__)

    def room_for(self, holder: Holder, amount: int) -> Holder | None:
        """
        Who has to make room for what this holder wants to take.

        @return: C{None} if the newcomer would then hold no less itself.
        """
        fullest = self.fullest()
        if fullest.prefix == holder.prefix:
            mine, others = self[holder], self[fullest]
        else:
            mine, others = self._of_prefix.get(holder.prefix, 0), self._of_prefix[fullest.prefix]
        return fullest if mine + amount < others and fullest != holder else None

    def clear(self) -> None:
        """Nobody holds anything any more."""
        self.total = 0
        self._of_prefix.clear()
        self._of.clear()

"""
What waits for a session: kept for each peer until there is one, for a while and within bounds.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final, Generic, TypeVar

from twisted.internet.interfaces import IReactorTime

from ...names import Name
from ...timing.deadlines import Deadlines

WAIT_SECONDS: Final = 60.0
"""How long a session is waited for, from the last item that was added for a peer."""

_Item = TypeVar("_Item")


class Waiting(Generic[_Item]):
    """Made by a part whose items can be made again when they are asked for; discarded after L{stop}."""

    def __init__(self, clock: IReactorTime, most: int) -> None:
        """
        @param most: bytes that all items together may have; what waits for longest goes when there is more.
        """
        self._most = most
        self._items: dict[Name, dict[Hashable, tuple[int, _Item]]] = {}
        self._deadlines: Deadlines[Name] = Deadlines(clock, WAIT_SECONDS, self._forget)
        self.held = 0

    def __len__(self) -> int:
        """The number of peers for which something waits."""
        return len(self._items)

    def add(self, peer: Name, key: Hashable, item: _Item, size: int) -> None:
        """Keep an item, in place of one of the same peer and key."""
        items = self._items.setdefault(peer, {})
        self.held += size - items.pop(key, (0, None))[0]
        items[key] = size, item
        self._deadlines.add(peer)
        # dictionaries keep their order: the first peer is the one that has waited longest
        while self.held > self._most:
            self._forget(next(iter(self._items)))

    def take(self, peer: Name) -> list[_Item]:
        """The items that have waited for this peer, oldest first; they are not kept any more."""
        items = self._items.pop(peer, {})
        self._deadlines.cancel(peer)
        self.held -= sum(size for size, _ in items.values())
        return [item for _, item in items.values()]

    def stop(self) -> None:
        """Forget everything, for good."""
        self._deadlines.stop()
        self._items.clear()
        self.held = 0

    def _forget(self, peer: Name) -> None:
        self.take(peer)

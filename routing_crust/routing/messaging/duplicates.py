"""
The duplicate filter: remembers for a while which keys were seen.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import Final

from twisted.internet.interfaces import IReactorTime

MESSAGE_ID_LIFETIME_SECONDS: Final = 1200.0
"""How long the id of a message is remembered."""
MAX_REMEMBERED_IDS: Final = 100_000
"""Ids of messages that are remembered."""


class DuplicateFilter:
    """
    Remembers keys for a fixed time, up to a fixed number: beyond it the oldest is forgotten. It has no timer;
    keys that are too old are dropped when the filter is next used.

    Made by each part that handles messages that may come more than once, and discarded with it.
    """

    def __init__(self, clock: IReactorTime, memory: float, most: int) -> None:
        """
        @param memory: for how many seconds a key is remembered from when it was first seen.
        @param most: how many keys are remembered; at least 1.
        """
        self._clock = clock
        self._memory = memory
        self._most = most
        self._keys: set[Hashable] = set()
        self._order: deque[tuple[float, Hashable]] = deque()

    def __len__(self) -> int:
        self._forget_old(self._clock.seconds())
        return len(self._keys)

    def seen(self, key: Hashable) -> bool:
        """
        Note a key. A repetition does not prolong its time.

        @return: whether it was seen before.
        """
        keys, order = self._keys, self._order
        now = self._clock.seconds()
        # this runs for each envelope, so the call is spared while nothing is too old
        if order and order[0][0] <= now:
            self._forget_old(now)
        if key in keys:
            return True
        if len(keys) >= self._most:
            keys.remove(order.popleft()[1])
        keys.add(key)
        order.append((now + self._memory, key))
        return False

    def __contains__(self, key: Hashable) -> bool:
        """Whether a key was seen. Notes nothing."""
        self._forget_old(self._clock.seconds())
        return key in self._keys

    def clear(self) -> None:
        """Forget everything."""
        self._keys.clear()
        self._order.clear()

    def _forget_old(self, now: float) -> None:
        order = self._order
        while order and order[0][0] <= now:
            self._keys.remove(order.popleft()[1])

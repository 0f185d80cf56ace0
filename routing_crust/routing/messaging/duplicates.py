"""
Duplicates: what remembers for a while which keys, or which messages of each sender, were seen.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from itertools import islice, takewhile
from typing import Final

from twisted.internet.interfaces import IReactorTime

from ...timing.shares import Account, Amounts

MESSAGE_ID_LIFETIME_SECONDS: Final = 1200.0
"""How long the id of a message is remembered."""
MAX_REMEMBERED_IDS: Final = 100_000
"""Ids of messages that are remembered."""
WINDOW_COST_IDS: Final = 4
"""Ids that a sender counts for, besides its own."""


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


class Freshness(Enum):
    """What is known of a message."""

    NEW = "it has not come before"
    SEEN = "it came before"
    TOO_OLD = "it is older than what is remembered of its sender"


@dataclass(slots=True)
class _Window:
    """
    What is remembered of one sender.

    @ivar floor: ids up to this one are too old, but for those in C{ids}.
    @ivar ids: when each is forgotten, oldest first.
    """

    account: Account
    floor: int = -1
    ids: dict[int, float] = field(default_factory=dict)


class SenderWindows:
    """
    Remembers for each sender the ids of its messages, which grow: what is forgotten of a sender stays too
    old, so that nobody can have a message delivered again by making us forget its id.

    Made by the inbox, discarded with it. All windows together are bounded. When there is too much, the link
    that holds most makes room: its largest sender loses its oldest ids, if that one has half of what came by
    the link; else those of its senders go that have said nothing for the longest time. There is no timer.
    """

    def __init__(self, clock: IReactorTime, memory: float, most: int) -> None:
        """
        @param memory: for how many seconds an id is remembered.
        @param most: how many ids are remembered, with C{WINDOW_COST_IDS} for each sender.
        """
        self._clock = clock
        self._memory = memory
        self._most = most
        self._windows: dict[bytes, _Window] = {}
        self._of_account: dict[Account, OrderedDict[bytes, None]] = {}
        self._amounts = Amounts()

    def __len__(self) -> int:
        """How much is remembered, in ids."""
        return self._amounts.total

    def note(self, sender: bytes, id: int, account: Account) -> Freshness:
        """
        Note a message.

        @param account: who answers for the memory, if the sender is new.
        @return: what was known of it before.
        """
        now = self._clock.seconds()
        window = self._windows.get(sender)
        if window is None:
            window = self._windows[sender] = _Window(account)
            # the link that it came by first answers for it, whatever way the next ones take
            self._of_account.setdefault(account, OrderedDict())[sender] = None
            self._amounts.add(account, WINDOW_COST_IDS)
        else:
            self._of_account[window.account].move_to_end(sender)
            self._forget(window, sum(1 for _ in _expired(window, now)))
        if id in window.ids:
            return Freshness.SEEN
        if id <= window.floor:
            return Freshness.TOO_OLD
        window.ids[id] = now + self._memory
        self._amounts.add(window.account, 1)
        if self._amounts.total > self._most:
            self._make_room()
        return Freshness.NEW

    def clear(self) -> None:
        """Forget everything."""
        self._windows.clear()
        self._of_account.clear()
        self._amounts.clear()

    def _forget(self, window: _Window, count: int) -> None:
        """Forget the oldest ids of a sender."""
        if count:
            oldest = list(islice(window.ids, count))
            for id in oldest:
                del window.ids[id]
            # ids may come out of order, so the first that came need not be the smallest
            window.floor = max(window.floor, *oldest)
            self._amounts.add(window.account, -count)

    def _make_room(self) -> None:
        """Free a sixteenth, so that this need not be done again soon."""
        while self._amounts.total > self._most - self._most // 16:
            account = self._amounts.fullest()
            senders = self._of_account[account]
            largest = max((self._windows[each] for each in senders), key=lambda each: len(each.ids))
            if 2 * len(largest.ids) >= self._amounts[account]:
                self._forget(largest, (len(largest.ids) + 1) // 2)
            else:
                for sender in list(islice(senders, len(senders) // 16 + 1)):
                    self._drop(sender)

    def _drop(self, sender: bytes) -> None:
        window = self._windows.pop(sender)
        self._amounts.add(window.account, -WINDOW_COST_IDS - len(window.ids))
        senders = self._of_account[window.account]
        del senders[sender]
        if not senders:
            del self._of_account[window.account]


def _expired(window: _Window, now: float) -> Iterator[int]:
    return takewhile(lambda id: window.ids[id] <= now, window.ids)

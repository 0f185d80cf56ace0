"""
Fragmentation: messages larger than a frame are split into parts, and put together where they arrive.

All parts of a message have one size, and only the last may be smaller. So a part that breaks this rule is
refused at once, and no peer can make us count a great many tiny parts.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from twisted.internet.interfaces import IReactorTime

from ...config import Settings
from ...limits import KIB, MAX_ATTEMPTS
from ...names import Name
from ...timing.deadlines import Deadlines
from ...timing.shares import OURSELVES, Account, Amounts
from ...wire.end_to_end import AckPart, MessagePart

PART_BYTES: Final = 20 * 1024
"""Messages are split into parts of this size."""
MAX_REASSEMBLY_BYTES: Final = 32 * 1024 * 1024
"""Memory for messages of which parts are missing."""

LEAST_PART: Final = KIB
"""Bytes; all parts but the last are at least of this size. The setting C{PART_BYTES} cannot be less."""
MESSAGE_OVERHEAD_BYTES: Final = 1 * KIB
"""Bytes that a message costs besides its parts, roughly, for the limits."""
MAX_SHARE_DIVISOR: Final = 8
"""One source may hold this fraction of C{MAX_REASSEMBLY_BYTES}, or two of the largest messages."""

AnyPart: TypeAlias = MessagePart | AckPart
_Key: TypeAlias = tuple[Name, type, int]


def split(body: bytes, size: int) -> list[bytes]:
    """
    Cut a body into parts of C{size} bytes; the last may be smaller. An empty body is one empty part.
    """
    if len(body) <= size:
        return [body]
    return [body[at : at + size] for at in range(0, len(body), size)]


@dataclass(slots=True)
class _Partial:
    """
    A message of which parts are missing. Made with the first part that comes, gone with the last.

    @ivar account: the link that its first part came by.
    """

    kind: Hashable
    parts: int
    account: Account
    size: int = 0  # of all parts but the last; 0 is not known yet
    last: int = 0  # of the last part; 0 is not known yet
    held: int = MESSAGE_OVERHEAD_BYTES
    bodies: dict[int, bytes] = field(default_factory=dict)


class Reassembler:
    """
    Puts messages and acknowledgements together from their parts.

    Made by what handles messages at each start, fed with every part that is addressed to us, discarded after
    L{stop}. It does not remember what is complete: its owner tells repetitions by their ids.

    What it holds is bounded by C{MAX_REASSEMBLY_BYTES}, and for each source by a share of that. Where a
    source is over its share, its youngest message yields, so that the older ones can be completed. When all
    memory is taken, whichever link holds most yields the message that has waited longest for its next part,
    until an eighth of the memory is free: sources are free, and a message that comes in at a good pace is
    hardly ever the one.

    @ivar refused: how many parts were refused because they do not fit the others, or no message at all.
    @ivar dropped: how many messages were given up, because of their age or because memory was short.
    """

    def __init__(self, clock: IReactorTime, settings: Settings) -> None:
        # the largest message must fit, however large the setting makes it
        self._most = max(MAX_REASSEMBLY_BYTES, settings.max_message + MESSAGE_OVERHEAD_BYTES)
        self._share = min(
            max(self._most // MAX_SHARE_DIVISOR, 2 * (settings.max_message + MESSAGE_OVERHEAD_BYTES)),
            self._most,
        )
        self._max_message = settings.max_message
        self._partials: dict[_Key, _Partial] = {}
        self._of_source: dict[Name, OrderedDict[_Key, None]] = {}
        self._held_by: dict[Name, int] = {}
        self._of_account: dict[Account, OrderedDict[_Key, None]] = {}
        self._amounts = Amounts()
        # by then the sender has given the message up
        self._deadlines: Deadlines[_Key] = Deadlines(
            clock, settings.ack_timeout * MAX_ATTEMPTS, self._give_up
        )
        self.refused = 0
        self.dropped = 0

    def __len__(self) -> int:
        """How many messages are incomplete."""
        return len(self._partials)

    @property
    def held(self) -> int:
        """How many bytes it holds."""
        return self._amounts.total

    def add(self, source: Name, part: AnyPart, account: Account = OURSELVES) -> bytes | None:
        """
        Take a part. One that was there already, or that cannot be one, changes nothing.

        @param account: who answers for the memory that it takes.
        @return: the whole body, if this part made it complete. The flavour, group or status of the message is
            the same in each of its parts.
        """
        key = (source, type(part), part.id)
        partial = self._partials.get(key)
        if partial is None:
            if part.parts == 1 and part.part == 0 and len(part.body) <= self._max_message:
                return part.body
            partial = _Partial(_kind(part), part.parts, account)
        if not self._fits(partial, part):
            self.refused += 1
            return None
        if part.part in partial.bodies:
            return None
        if len(partial.bodies) + 1 == partial.parts:  # which is at least 2
            self._remove(key)
            partial.bodies[part.part] = part.body
            return b"".join([partial.bodies[each] for each in range(partial.parts)])
        self._keep(key, partial, part)
        return None

    def forget(self, source: Name) -> None:
        """Give up all that is incomplete from a source."""
        for key in list(self._of_source.get(source, ())):
            self._remove(key)

    def stop(self) -> None:
        """Give up everything, for good. Idempotent."""
        self._deadlines.stop()
        self._partials.clear()
        self._of_source.clear()
        self._held_by.clear()
        self._of_account.clear()
        self._amounts.clear()

    def _fits(self, partial: _Partial, part: AnyPart) -> bool:
        """Whether a part can be one of this message."""
        if part.parts != partial.parts or part.part >= part.parts or _kind(part) != partial.kind:
            return False
        size, last = partial.size, partial.last
        if part.part == part.parts - 1:
            last = len(part.body)
            # split() makes no empty last part
            if not last or (partial.last and last != partial.last):
                return False
        else:
            size = len(part.body)
            if size < LEAST_PART or (partial.size and size != partial.size):
                return False
        if size and last > size:
            return False
        # the least size of the whole message: one that must come out too large is refused at its first part
        least = (partial.parts - 1) * max(size, LEAST_PART, last) + max(last, 1)
        return least <= self._max_message

    def _keep(self, key: _Key, partial: _Partial, part: AnyPart) -> None:
        source = key[0]
        if not partial.bodies:
            self._partials[key] = partial
            self._of_source.setdefault(source, OrderedDict())[key] = None
            self._of_account.setdefault(partial.account, OrderedDict())[key] = None
            # once, not with each part: a slow sender must not hold the memory for longer
            self._deadlines.add(key)
            self._count(source, partial.account, MESSAGE_OVERHEAD_BYTES)
        self._of_account[partial.account].move_to_end(key)
        partial.bodies[part.part] = part.body
        if part.part == part.parts - 1:
            partial.last = len(part.body)
        else:
            partial.size = len(part.body)
        partial.held += len(part.body)
        self._count(source, partial.account, len(part.body))
        while self._held_by.get(source, 0) > self._share:
            self._give_up_youngest(source)
        if self.held > self._most:
            self._make_room()

    def _make_room(self) -> None:
        """Free an eighth of the memory, so that this need not be done again soon."""
        while self.held > self._most - self._most // 8:
            self._give_up(next(iter(self._of_account[self._amounts.fullest()])))

    def _give_up_youngest(self, source: Name) -> None:
        self._give_up(next(reversed(self._of_source[source])))

    def _give_up(self, key: _Key) -> None:
        self.dropped += 1
        self._remove(key)

    def _remove(self, key: _Key) -> None:
        partial = self._partials.pop(key)
        self._deadlines.cancel(key)
        keys = self._of_source[key[0]]
        del keys[key]
        if not keys:
            del self._of_source[key[0]]
        at_the_link = self._of_account[partial.account]
        del at_the_link[key]
        if not at_the_link:
            del self._of_account[partial.account]
        self._count(key[0], partial.account, -partial.held)

    def _count(self, source: Name, account: Account, change: int) -> None:
        self._amounts.add(account, change)
        held = self._held_by.get(source, 0) + change
        if held:
            self._held_by[source] = held
        else:
            del self._held_by[source]


def _kind(part: AnyPart) -> Hashable:
    """What must be the same in all parts of a message."""
    return (part.flavour, part.group) if isinstance(part, MessagePart) else part.status

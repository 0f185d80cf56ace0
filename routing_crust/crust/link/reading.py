"""
Turns at reading: links that cause much work wait for each other, and hold up nobody else.

One read of a connection may hold thousands of small frames, and the reactor serves nothing else until they
are handled. So the links whose peers' addresses share a prefix have a share of each turn of the reactor,
counted in the charges of frames (C{routing_crust.wire.framing}). When it is used up, what was read waits in
the links' decoders, and those links are not read. In the next turns the prefixes take their turns, and the
links within each. Prefixes are what is counted, since a host has as many names as it likes. Nothing is
refused: a peer that sends more than is handled has to wait, as with a slow reader.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Protocol
from weakref import WeakValueDictionary

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ...timing.timers import cancel

TURN_CHARGE: Final = 4000
"""What all waiting links together may cause in a turn of the reactor; about 4 ms."""
MAX_SHARES_PER_TURN: Final = 8
MAX_LINKS_PER_SHARE_AND_TURN: Final = 8
READ_CHARGE: Final = 5
"""What a read of a connection costs beside its frames."""


class WaitingLink(Protocol):
    """A link with frames that wait."""

    def wait_to_read(self) -> None:
        """Read no more: L{go_on} will be called."""

    def go_on(self, allowance: int) -> int:
        """
        Deliver what waits.

        @param allowance: the charge of the frames that may be delivered.
        @return: what is left of it; not above 0 if more waits.
        """


class ReadingShare:
    """
    The links of one prefix.

    @ivar left: the charge of the frames that they may still have delivered.
    @ivar refill_below: when there is less left, L{used} is to be called.
    """

    __slots__ = ("__weakref__", "_links", "_turns", "due", "left", "refill_below")

    def __init__(self, turns: ReadingTurns) -> None:
        self.left = TURN_CHARGE
        self.refill_below = TURN_CHARGE // 2
        self.due = False
        self._turns = turns
        self._links: dict[WaitingLink, None] = {}

    def used(self, link: WaitingLink, waits: bool) -> None:
        """
        Have the share refilled in the next turns.

        @param waits: whether frames of this link wait for that.
        """
        if waits and link not in self._links:
            self._links[link] = None
            link.wait_to_read()
        if not self.due:
            self.due = True
            self._turns.add(self)

    def serve(self, portion: int) -> bool:
        """
        Refill the share, and have waiting links use it.

        @return: whether it needs another turn.
        """
        self.left = portion
        count = min(len(self._links), MAX_LINKS_PER_SHARE_AND_TURN)
        for _ in range(count):
            link = next(iter(self._links))
            del self._links[link]
            # the first of them must not use up the portion of all
            allowance = portion // count
            left = link.go_on(allowance)
            self.left -= allowance - left
            # behind the others
            if left <= 0:
                self._links[link] = None
        return bool(self._links) or 2 * self.left < portion

    def clear(self) -> None:
        """Forget all links: they are gone."""
        self._links.clear()
        self.left = TURN_CHARGE
        self.due = False


class ReadingTurns:
    """The shares of all links. Made with their owner."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        # weak: the links keep their share, and it goes with the last of them
        self._shares: WeakValueDictionary[str, ReadingShare] = WeakValueDictionary()
        self._due: deque[ReadingShare] = deque()
        self._timer: IDelayedCall | None = None

    def share(self, prefix: str) -> ReadingShare:
        """The share of the links to this prefix, which each of them keeps."""
        share = self._shares.get(prefix)
        if share is None:
            share = self._shares[prefix] = ReadingShare(self)
        return share

    def add(self, share: ReadingShare) -> None:
        """Refill this share in its turn."""
        self._due.append(share)
        if self._timer is None:
            self._timer = self._clock.callLater(0, self._turn)

    def stop(self) -> None:
        """All links are gone."""
        cancel(self._timer)
        self._timer = None
        for share in self._due:
            share.clear()
        self._due.clear()

    def _turn(self) -> None:
        self._timer = None
        count = min(len(self._due), MAX_SHARES_PER_TURN)
        for _ in range(count):
            share = self._due.popleft()
            if share.serve(TURN_CHARGE // count):
                self._due.append(share)
            else:
                share.due = False
        # frames that were just delivered may have set it
        if self._due and self._timer is None:
            self._timer = self._clock.callLater(0, self._turn)

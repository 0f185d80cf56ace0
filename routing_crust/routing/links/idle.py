"""
Direct links that nobody needs any more: what was made for a while is given up when it has been idle.

An application that asked for a link keeps it until it is lost. One that was borrowed, for something that
ends, is watched from that end on.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from ...errors import CloseReason
from ...names import Name
from ...timing.deadlines import Deadlines
from .peer import Peer, PeerListener


class IdleLinks(PeerListener):
    """
    Made with its core, told of uses, discarded after L{stop}.

    @ivar borrowed: whose links were made for a while only. If there are none nobody has to tell of messages,
        and for each message this is looked at, so it is a plain set.
    """

    def __init__(self, clock: IReactorTime, seconds: float, give_up: Callable[[Name], None]) -> None:
        """
        @param seconds: for how long a watched link may be idle.
        @param give_up: called with the peer of a link that was.
        """
        self._deadlines: Deadlines[Name] = Deadlines(clock, seconds, give_up)
        self._kept: set[Name] = set()
        self.borrowed: set[Name] = set()

    def __len__(self) -> int:
        return len(self._deadlines)

    def keep(self, name: Name) -> None:
        """An application wants this link for as long as it lives."""
        self._kept.add(name)
        self._deadlines.cancel(name)

    def borrow(self, name: Name) -> None:
        """This link is made for a while only."""
        self.borrowed.add(name)

    def needed(self, name: Name) -> None:
        """This link is needed again: watch it no more."""
        self._deadlines.cancel(name)

    def give_back(self, name: Name) -> None:
        """What this link was needed for is over: if it is a borrowed one that nobody keeps, watch it."""
        if name in self.borrowed and name not in self._kept:
            self._deadlines.add(name)

    def used(self, name: Name) -> None:
        """A message came over this link: it has not been idle."""
        if name in self._deadlines:
            self._deadlines.add(name)

    def peer_lost(self, peer: Peer, reason: CloseReason, detail: str) -> None:
        """There is no such link any more."""
        name = peer.name
        self._kept.discard(name)
        self.borrowed.discard(name)
        self._deadlines.cancel(name)

    def stop(self) -> None:
        """Watch nothing any more."""
        self._kept.clear()
        self.borrowed.clear()
        self._deadlines.stop()

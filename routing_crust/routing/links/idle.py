"""
Idle links: closes direct links that are not needed any more when they have been idle.

A link that an application asked for is kept until it is lost. A link that was borrowed, by a stream or a
tunnel for example, is watched once it is given back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IReactorTime

from ...errors import CloseReason
from ...names import Name
from ...timing.deadlines import Deadlines
from .peer import Peer, PeerListener

IDLE_LINK_SECONDS: Final = 60.0
"""A link made for streams is given up after this long without streams or messages."""


class IdleLinks(PeerListener):
    """
    I close borrowed links. I am made at each start of the service, told of every use, and discarded after
    L{stop}.

    @ivar borrowed: the peers whose links were borrowed. While there are none, uses need not be reported; this
        is looked at for each message, so it is a plain set.
    """

    def __init__(self, clock: IReactorTime, seconds: float, give_up: Callable[[Name], None]) -> None:
        """
        @param seconds: the time for which a watched link may be idle.
        @param give_up: called with the name of a peer whose link has been idle for that long.
        """
        self._deadlines: Deadlines[Name] = Deadlines(clock, seconds, give_up)
        self._kept: set[Name] = set()
        self.borrowed: set[Name] = set()

    def __len__(self) -> int:
        return len(self._deadlines)

    def keep(self, name: Name) -> None:
        """An application asked for this link: never close it."""
        self._kept.add(name)
        self._deadlines.cancel(name)

    def borrow(self, name: Name) -> None:
        """This link is made for a while only."""
        self.borrowed.add(name)

    def not_made(self, name: Name) -> None:
        """The link that was to be made for a while has not come about: one that comes later is not ours."""
        self.borrowed.discard(name)

    def is_ours(self, name: Name) -> bool:
        """Whether we use this link: an application has asked for it, or it was borrowed."""
        return name in self._kept or name in self.borrowed

    def needed(self, name: Name) -> None:
        """This link is needed again: stop watching it."""
        self._deadlines.cancel(name)

    def give_back(self, name: Name) -> None:
        """The borrower has finished with this link: watch it, unless an application keeps it."""
        # a link that was there before anybody borrowed it serves something else, and is not watched
        if name in self.borrowed and name not in self._kept:
            self._deadlines.add(name)

    def used(self, name: Name) -> None:
        """A message came over this link: it has not been idle."""
        if name in self._deadlines:
            self._deadlines.add(name)

    def peer_lost(self, peer: Peer, reason: CloseReason, detail: str) -> None:
        """Forget the link."""
        name = peer.name
        self._kept.discard(name)
        self.borrowed.discard(name)
        self._deadlines.cancel(name)

    def stop(self) -> None:
        """Stop watching."""
        self._kept.clear()
        self.borrowed.clear()
        self._deadlines.stop()

"""
Accepted connections that nobody answers for yet: their Hello is not verified, or their link not confirmed.

There may be C{max_unverified_links} of them. When one more comes, the oldest of the most crowded prefix makes
room: so a host that opens many crowds out its own, and a newcomer from elsewhere is let in no matter what the
others do. Both the /24 or /48 and, within it, the address or /56 are looked at. A connection counts as new
again when its TLS handshake is done, since it has cost its peer something. Of one crowd, links that somebody
expects go last, unless they are most of all: then requests would keep newcomers out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final, TypeVar

from twisted.internet.defer import Deferred

from ...config import Settings
from ...endpoints import Endpoint
from ...errors import CloseReason
from ..interfaces import ILink

MAX_UNCONFIRMED_PER_NAME: Final = 8
"""Links of one peer that are not confirmed; an honest one has at most that many dials at once."""
CROWDED_HELLO_SHARE: Final = 0.5
"""What is left of C{hello_timeout} for those who come while the door is more than half full."""

_Outcome = TypeVar("_Outcome")


class _Incoming:
    """A connection that counts."""

    __slots__ = ("abort", "host", "link", "prefix")

    def __init__(self, peer: Endpoint, abort: Callable[[CloseReason, str], None]) -> None:
        self.prefix = peer.prefix
        self.host = peer.origin
        self.abort = abort
        self.link: ILink | None = None


class UnverifiedConnections:
    """
    Counts the accepted connections of one node from their beginning to the confirmation of their link, or
    their end.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # in the order of what they last did, which is to come or to finish the handshake
        self._entries: dict[_Incoming, None] = {}
        self._by_link: dict[ILink, _Incoming] = {}

    @property
    def _most(self) -> int:
        return self._settings.max_unverified_links

    @property
    def hello_timeout(self) -> float:
        """Seconds that one who comes now has for its Hello."""
        crowded = 2 * self.total() > self._most
        return self._settings.hello_timeout * (CROWDED_HELLO_SHARE if crowded else 1.0)

    def total(self) -> int:
        """How many are counted at this moment."""
        # links do not report that they are confirmed: it is enough to look when the count decides
        for link in [each for each in self._by_link if each.is_confirmed]:
            self.link_lost(link)
        return len(self._entries)

    def make_room(self, peer: Endpoint) -> None:
        """One more comes from there: if it is one too many, cut another."""
        while self.total() >= self._most:
            self.cut_one(peer)

    def cut_one(self, peer: Endpoint, *, link: bool = False) -> bool:
        """
        Cut the oldest of the most crowded prefix.

        @param peer: one more comes from there, which counts, too.
        @param link: whether to cut one that is a link already.
        @return: whether there was any.
        """
        self.total()
        entries = [each for each in self._entries if each.link is not None or not link]
        if not entries:
            return False
        coming = (_Incoming(peer, lambda *_: None),)
        crowd = _of_the_most([*entries, *coming], lambda each: each.prefix)
        # the neighbours of a busy host have done nothing
        crowd = _of_the_most(crowd, lambda each: each.host)
        # the newcomer's prefix may be the fullest by the newcomer alone: then the oldest of all goes
        crowd = [each for each in crowd if each in self._entries] or entries
        if 2 * sum(map(_is_expected, self._entries)) <= len(self._entries):
            crowd.sort(key=_is_expected)
        self._cut(crowd[0])
        return True

    def add(self, peer: Endpoint, link: Deferred[ILink], abort: Callable[[CloseReason, str], None]) -> None:
        """
        A connection was accepted, and counts.

        @param link: once it fires, the link counts; once it fails, nothing does.
        @param abort: cuts the connection.
        """
        entry = _Incoming(peer, abort)
        self._entries[entry] = None
        link.addCallbacks(self._link_up, self._failed, callbackArgs=(entry,), errbackArgs=(entry,))

    def link_lost(self, link: ILink) -> None:
        """A link is confirmed, or gone; one that is not counted makes no difference."""
        entry = self._by_link.pop(link, None)
        if entry is not None:
            self._entries.pop(entry, None)

    def _link_up(self, link: ILink, entry: _Incoming) -> ILink:
        if entry not in self._entries:
            return link  # it was cut in this very turn
        del self._entries[entry]
        self._entries[entry] = None
        entry.link = link
        self._by_link[link] = entry
        self.total()
        same = [each for each in self._by_link if each.peer == link.peer]
        # the newest stay: the peer may have lost the others without our noticing
        for each in same[:-MAX_UNCONFIRMED_PER_NAME]:
            self._cut(self._by_link[each])
        return link

    def _failed(self, failure: _Outcome, entry: _Incoming) -> _Outcome:
        self._entries.pop(entry, None)
        return failure

    def _cut(self, entry: _Incoming) -> None:
        del self._entries[entry]
        if entry.link is not None:
            del self._by_link[entry.link]
        entry.abort(CloseReason.TOO_MANY_LINKS, "it was the oldest of the most crowded prefix")


def _is_expected(entry: _Incoming) -> bool:
    return entry.link is not None and entry.link.is_expected


def _of_the_most(entries: list[_Incoming], key: Callable[[_Incoming], str]) -> list[_Incoming]:
    """The connections with the key that most of them have; with several such keys, those of all of them."""
    count = Counter(map(key, entries))
    most = max(count.values())
    return [each for each in entries if count[key(each)] == most]

"""
What was tried lately to get a link with each peer, and what came of it: for people who ask why there is none.

It is for their eyes alone; nothing is decided by it. It is bounded: so many peers, of each so many endpoints
and outcomes, none of them older than an hour. What happens again and again is kept once, with a count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final

from .bounded_dict import BoundedDict
from .endpoints import Endpoint
from .names import Name

MOST_PEERS: Final = 256
MOST_EACH: Final = 16
"""So many outcomes, and so many endpoints, of one peer."""
LIFE: Final = 3600.0
"""In seconds."""
MOST_TEXT: Final = 300
"""In characters."""


class Way(str, Enum):
    """By what a link was tried to be made, or what else happened."""

    REQUEST = "request"
    """One of the two asked the other for a connection, by name."""
    BOOTSTRAP = "bootstrap"
    """It was dialled as a contact, to get into the network."""
    DIAL = "dial"
    """An endpoint was dialled."""
    PUNCH = "punch"
    """Both dialled each other at once, through what is between."""
    TUNNEL = "tunnel"
    """A peer that both have a link with was asked to pass it on."""
    LINK = "link"
    """A link came up that the peer had made, or a link was lost."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    Something was tried, or happened.

    @ivar at: when, the last time, in seconds.
    @ivar where: an endpoint, or a peer in between, as text; empty if it was in no particular place.
    @ivar text: what came of it, in words.
    @ivar good: whether that is what was hoped for.
    @ivar times: how often in a row.
    """

    at: float
    way: Way
    where: str
    text: str
    good: bool
    times: int = 1


@dataclass(frozen=True, slots=True)
class Told:
    """
    Somebody gave us an endpoint.

    @ivar source: who, in words.
    @ivar at: when, the last time, in seconds.
    """

    endpoint: Endpoint
    source: str
    at: float


@dataclass(frozen=True, slots=True)
class PeerHistory:
    """
    What is known of one peer.

    @ivar told: its endpoints, as somebody gave them to us, the oldest first.
    @ivar outcomes: the oldest first.
    """

    told: tuple[Told, ...] = ()
    outcomes: tuple[Outcome, ...] = ()


@dataclass(slots=True)
class _Peer:
    told: BoundedDict[tuple[Endpoint, str], float] = field(default_factory=lambda: BoundedDict(MOST_EACH))
    outcomes: list[Outcome] = field(default_factory=list)
    at: float = 0.0


class History:
    """
    Made by whoever makes links, written to by all who try.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        """
        @param seconds: the clock: C{IReactorTime.seconds}.
        """
        self._seconds = seconds
        self._peers: BoundedDict[Name, _Peer] = BoundedDict(MOST_PEERS)

    def __len__(self) -> int:
        return len(self._peers)

    def tried(
        self, peer: Name | None, way: Way, where: object, text: str, good: bool = False, minor: bool = False
    ) -> None:
        """
        Something has come of a try, or has happened.

        @param peer: C{None} if nobody knows who it would have been; that is not kept.
        @param where: an endpoint, or whatever has a text.
        @param text: what came of it, in plain words.
        @param minor: whether no other peer is to be forgotten for it.
        """
        if peer is None or (minor and peer not in self._peers and len(self._peers) >= MOST_PEERS):
            return
        now = self._seconds()
        outcomes = self._peer(peer, now).outcomes
        new = Outcome(now, way, str(where), text[:MOST_TEXT], good)
        for number, each in enumerate(outcomes):
            if (each.way, each.where, each.text) == (new.way, new.where, new.text):
                new = replace(new, times=each.times + 1)
                del outcomes[number]
                break
        outcomes.append(new)
        del outcomes[:-MOST_EACH]

    def told(self, peer: Name | None, endpoints: Iterable[Endpoint], source: str) -> None:
        """Somebody says where this peer can be dialled."""
        if peer is None:
            return
        now = self._seconds()
        told = self._peer(peer, now).told
        for endpoint in endpoints:
            told.put((endpoint, source), now)

    def of(self, peer: Name) -> PeerHistory:
        """What is known of this peer; nothing, if nothing was tried."""
        self._forget_old()
        found = self._peers.get(peer, _Peer())
        oldest = self._seconds() - LIFE
        told = (Told(*key, at) for key, at in found.told.items() if at >= oldest)
        return PeerHistory(tuple(told), tuple(each for each in found.outcomes if each.at >= oldest))

    def _peer(self, name: Name, now: float) -> _Peer:
        """A peer's, which is then the one of which we heard last."""
        peer = self._peers.get(name)
        if peer is None:
            self._forget_old()
            peer = _Peer()
        self._peers.put(name, peer)
        peer.at = now
        return peer

    def _forget_old(self) -> None:
        oldest = self._seconds() - LIFE
        while self._peers:
            first = next(iter(self._peers))
            if self._peers[first].at >= oldest:
                return
            del self._peers[first]

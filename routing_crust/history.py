"""
Recent attempts to link with each peer and their outcomes, to show an operator why there is no link.

Nothing is decided by the history but where a silent peer is looked for. It is bounded in peers, in endpoints
and outcomes of each peer, and to one hour. An outcome that repeats is kept once, with a count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from enum import Enum
from heapq import nlargest
from typing import Final

from .bounded_dict import BoundedDict
from .endpoints import Endpoint
from .names import Name

MAX_PEERS: Final = 256
MAX_PER_PEER: Final = 16
"""Outcomes of one peer, and endpoints of one peer."""
OUTCOME_LIFETIME_SECONDS: Final = 3600.0
MAX_TEXT_CHARACTERS: Final = 300
"""Characters of an outcome's text, which may quote what a peer sent."""


class Way(str, Enum):
    """How a link was attempted, or which other event is recorded."""

    REQUEST = "request"
    """One of the two asked the other for a connection, by name."""
    BOOTSTRAP = "bootstrap"
    """A contact was dialled, to join the network."""
    DIAL = "dial"
    """An endpoint was dialled."""
    PUNCH = "punch"
    """Both dialled each other at the same time, through their NATs."""
    TUNNEL = "tunnel"
    """A peer that both have a link with was asked for a tunnel."""
    LINK = "link"
    """A link came up that the peer had made, or a link was lost."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    The outcome of an attempt, or another event.

    @ivar at: the time of the latest occurrence, in seconds.
    @ivar where: an endpoint, or a peer in between, as text; may be empty.
    @ivar text: the outcome, in words.
    @ivar good: whether the attempt succeeded.
    @ivar times: the number of occurrences in a row.
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
    An endpoint of a peer, with its source.

    @ivar source: who gave it to us, in words.
    @ivar at: the time of the latest occurrence, in seconds.
    """

    endpoint: Endpoint
    source: str
    at: float


@dataclass(frozen=True, slots=True)
class PeerHistory:
    """
    The history of one peer.

    @ivar told: its endpoints with their sources, the oldest first.
    @ivar outcomes: the oldest first.
    """

    told: tuple[Told, ...] = ()
    outcomes: tuple[Outcome, ...] = ()


@dataclass(slots=True)
class _Peer:
    told: BoundedDict[tuple[Endpoint, str], float] = field(default_factory=lambda: BoundedDict(MAX_PER_PEER))
    outcomes: list[Outcome] = field(default_factory=list)
    at: float = 0.0


class History:
    """
    The histories of all peers. Crust makes it; every part that attempts links writes to it.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        """
        @param seconds: the clock: C{IReactorTime.seconds}.
        """
        self._seconds = seconds
        self._peers: BoundedDict[Name, _Peer] = BoundedDict(MAX_PEERS)

    def __len__(self) -> int:
        return len(self._peers)

    def tried(
        self, peer: Name | None, way: Way, where: object, text: str, good: bool = False, minor: bool = False
    ) -> None:
        """
        Record the outcome of an attempt, or another event.

        @param peer: C{None} if the peer is not known; then nothing is kept.
        @param where: an endpoint, or any object with a text.
        @param text: the outcome, in plain words.
        @param minor: whether to drop the record rather than forget another peer for it.
        """
        # Strangers can cause minor events under any number of names, and must not push out real peers.
        if peer is None or (minor and peer not in self._peers and len(self._peers) >= MAX_PEERS):
            return
        now = self._seconds()
        outcomes = self._peer(peer, now).outcomes
        new = Outcome(now, way, str(where), text[:MAX_TEXT_CHARACTERS], good)
        # a dial that fails every minute must not push out all else that was tried
        for number, each in enumerate(outcomes):
            if (each.way, each.where, each.text) == (new.way, new.where, new.text):
                new = replace(new, times=each.times + 1)
                del outcomes[number]
                break
        outcomes.append(new)
        del outcomes[:-MAX_PER_PEER]

    def told(self, peer: Name | None, endpoints: Iterable[Endpoint], source: str) -> None:
        """Record endpoints at which the peer can be dialled, according to C{source}."""
        if peer is None:
            return
        now = self._seconds()
        told = self._peer(peer, now).told
        for endpoint in endpoints:
            told.put((endpoint, source), now)

    def of(self, peer: Name) -> PeerHistory:
        """The history of a peer; empty if there is none."""
        self._forget_old()
        found = self._peers.get(peer, _Peer())
        oldest = self._seconds() - OUTCOME_LIFETIME_SECONDS
        told = (Told(*key, at) for key, at in found.told.items() if at >= oldest)
        return PeerHistory(tuple(told), tuple(each for each in found.outcomes if each.at >= oldest))

    def failures(self, most: int) -> list[tuple[Name, Outcome]]:
        """
        The latest failures of the last hour, of all peers, the latest first. Lost links are none: most of
        them have done what they were for.
        """
        self._forget_old()
        oldest = self._seconds() - OUTCOME_LIFETIME_SECONDS
        found = (
            (name, each)
            for name, peer in self._peers.items()
            for each in peer.outcomes
            if not each.good and each.way is not Way.LINK and each.at >= oldest
        )
        return nlargest(most, found, key=lambda pair: pair[1].at)

    def _peer(self, name: Name, now: float) -> _Peer:
        """The record of a peer, made the newest."""
        peer = self._peers.get(name)
        if peer is None:
            self._forget_old()
            peer = _Peer()
        self._peers.put(name, peer)
        peer.at = now
        return peer

    def _forget_old(self) -> None:
        # Peers are in the order of their latest record, so the first that is recent ends the search.
        oldest = self._seconds() - OUTCOME_LIFETIME_SECONDS
        while self._peers:
            first = next(iter(self._peers))
            if self._peers[first].at >= oldest:
                return
            del self._peers[first]

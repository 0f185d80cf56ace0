"""
Expected connections: what each link that is on its way was asked for.

A node that answers a request for a connection expects a link from the requester, and a requester that got
the answer expects one from the responder. Both dial, so up to two links may come for one expectation; both
carry the request's nonce in their Hello, and it is by the peer's name and that nonce that they are found.

An expectation ends in exactly one way: a link was settled on, its time is over, the holder cancelled it, a
newer one took its place, or the service stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from typing import TypeAlias

from expiringdict import ExpiringDict
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ...config import Settings
from ...crust.interfaces import ILink
from ...endpoints import Connection, Endpoint, is_local_only
from ...errors import ExpectedConnectionExpired, ExpectedConnectionReplaced, LimitReached, ServiceStopped
from ...names import Name
from ...wire.messages import ConnectRequest, ConnectResponse


@dataclass(frozen=True, slots=True)
class ExpectedRequest:
    """
    We were asked for a connection, agreed, and dial the requester.

    @ivar peer: the requester.
    @ivar nonce: the request's.
    @ivar endpoints: where we dial the peer.
    @ivar request: what the peer sent.
    """

    peer: Name
    nonce: bytes
    endpoints: tuple[Endpoint, ...]
    request: ConnectRequest


@dataclass(frozen=True, slots=True)
class ExpectedResponse:
    """
    We asked for a connection, the peer agreed, and we dial it.

    @ivar peer: the responder.
    @ivar nonce: our request's.
    @ivar endpoints: where we dial the peer.
    @ivar response: what the peer sent.
    @ivar token: our own request as we signed it, which the response brought back.
    """

    peer: Name
    nonce: bytes
    endpoints: tuple[Endpoint, ...]
    response: ConnectResponse
    token: bytes


ExpectedConnection: TypeAlias = ExpectedRequest | ExpectedResponse
"""The two things that a link may be expected for."""

_Key: TypeAlias = tuple[Name, bytes]


@dataclass(slots=True)
class _Entry:
    """One expectation: made by C{expect}, discarded by whatever ends it, before its Deferred fires."""

    expected: ExpectedConnection
    prefixes: tuple[str, ...]
    arrival: Deferred[ILink]
    timer: IDelayedCall
    connections: list[Connection] = field(default_factory=list)


class ExpectedConnections:
    """
    The expectations of one node, bounded in number and in time.

    Made by the service at each start. Fed by what handles requests and responses (L{expect}) and by what
    handles links (L{match}, L{arrived}, L{lost}, L{fulfil}); discarded after L{stop}.

    The entries are in an C{ExpiringDict}, which gives the bound. It reads the wall clock, which may jump, so
    nothing ever gets too old for it; and it would drop the oldest entry in silence when it is full, so it is
    never let come to that: a full table refuses. The one authority on time is the delayed call of each entry.
    """

    def __init__(
        self,
        clock: IReactorTime,
        settings: Settings,
        on_expired: Callable[[ExpectedConnection], object],
    ) -> None:
        """
        @param on_expired: called when the time of an entry is over, before its Deferred fails, to close
            what was dialled for it. Must not raise.
        """
        self._clock = clock
        self._settings = settings
        self._on_expired = on_expired
        self._entries: ExpiringDict = ExpiringDict(max_len=settings.max_expected, max_age_seconds=inf)
        self._of_peer: dict[Name, list[_Key]] = {}
        self._of_prefix: dict[str, int] = {}
        self._of_connection: dict[Connection, _Key] = {}
        self._stopped = False

    def __len__(self) -> int:
        return len(self._entries)

    def expect(self, expected: ExpectedConnection) -> Deferred[ILink]:
        """
        Wait for a link. An earlier expectation of the same peer and nonce is replaced.

        @return: fires with the link that L{fulfil} is given. Cancelling it ends the expectation. Fails with
            L{ExpectedConnectionExpired} after C{expected_timeout}, with L{ExpectedConnectionReplaced}
            when the same is expected anew, and with L{ServiceStopped}.
        @raise LimitReached: too many connections are expected in all, of the peer, or with one of the
            prefixes that its endpoints are in. Nothing has changed then.
        """
        if self._stopped:
            return fail(ServiceStopped("the service has stopped and expects no connection"))
        key = (expected.peer, expected.nonce)
        prefixes = _prefixes(expected)
        self._check_limits(expected.peer, prefixes, self._get(key))
        replaced = self._remove(key)  # before it is set again, since else it would keep its old place
        arrival: Deferred[ILink] = Deferred(lambda _: self._cancelled(key))
        timer = self._clock.callLater(self._settings.expected_timeout, self._expire, key)
        self._entries[key] = _Entry(expected, prefixes, arrival, timer)
        self._of_peer.setdefault(expected.peer, []).append(key)
        for prefix in prefixes:
            self._of_prefix[prefix] = self._of_prefix.get(prefix, 0) + 1
        if replaced is not None:
            replaced.arrival.errback(ExpectedConnectionReplaced("a newer request took the place of this one"))
        return arrival

    def make_room(self, peer: Name) -> None:
        """
        End the oldest expectation of a peer that has as many as it may, if it is older than C{request_again}:
        what the peer asks for now is what it wants, and what it asked for then has come to nothing.
        """
        keys = self._of_peer.get(peer, [])
        if len(keys) < self._settings.max_expected_per_peer:
            return
        oldest: _Entry = self._entries[keys[0]]
        age = self._settings.expected_timeout - (oldest.timer.getTime() - self._clock.seconds())
        if age >= self._settings.request_again:
            self._remove(keys[0])
            self._on_expired(oldest.expected)
            if not oldest.arrival.called:
                problem = ExpectedConnectionReplaced("a newer request took the place of this one")
                oldest.arrival.errback(problem)

    def match(self, peer: Name, nonce: bytes) -> ExpectedConnection | None:
        """What a link of this peer with this nonce is expected for, if it is. Changes nothing."""
        entry = self._get((peer, nonce))
        return None if entry is None else entry.expected

    def of_peer(self, peer: Name) -> tuple[ExpectedConnection, ...]:
        """All that is expected of this peer, oldest first."""
        return tuple(self._entries[key].expected for key in self._of_peer.get(peer, ()))

    def beside(self, expected: ExpectedConnection) -> tuple[ExpectedConnection, ...]:
        """What is expected of other peers with endpoints in the prefixes of this one's, oldest first."""
        prefixes = _prefixes(expected)
        entries: list[_Entry] = list(self._entries.values())
        return tuple(
            each.expected
            for each in entries
            if each.expected.peer != expected.peer and not set(prefixes).isdisjoint(each.prefixes)
        )

    def arrived(self, peer: Name, nonce: bytes, connection: Connection) -> ExpectedConnection | None:
        """
        A link has come, and its Hello gave this nonce: remember its C{Connection}, until the expectation
        ends or the link is L{lost}.

        @return: what it is expected for; C{None}, and nothing is remembered, if it is not expected.
        """
        key = (peer, nonce)
        entry = self._get(key)
        if entry is None:
            return None
        if connection not in self._of_connection:
            self._of_connection[connection] = key
            entry.connections.append(connection)
        return entry.expected

    def of_connection(self, connection: Connection) -> ExpectedConnection | None:
        """What the link over this C{Connection} is expected for, if it has arrived and is not settled."""
        key = self._of_connection.get(connection)
        return None if key is None else self.match(*key)

    def connections(self, peer: Name, nonce: bytes) -> tuple[Connection, ...]:
        """What has arrived so far for this expectation, in that order."""
        entry = self._get((peer, nonce))
        return () if entry is None else tuple(entry.connections)

    def lost(self, connection: Connection) -> None:
        """A link is gone. What it was expected for stays, since another link may come for it."""
        key = self._of_connection.pop(connection, None)
        if key is not None:
            entry: _Entry = self._entries[key]
            entry.connections.remove(connection)

    def fulfil(self, peer: Name, nonce: bytes, link: ILink) -> ExpectedConnection | None:
        """
        Both ends have settled on this link: the expectation ends, and its Deferred fires.

        @return: what was expected; C{None}, and nothing happens, if nothing was.
        """
        entry = self._remove((peer, nonce))
        if entry is None:
            return None
        entry.arrival.callback(link)
        return entry.expected

    def made_before(self, peer: Name, time: float) -> tuple[ExpectedConnection, ...]:
        """What has been expected of this peer since before some time, in seconds."""
        timeout = self._settings.expected_timeout
        entries: list[_Entry] = [self._entries[key] for key in self._of_peer.get(peer, ())]
        return tuple(each.expected for each in entries if each.timer.getTime() - timeout < time)

    def withdraw(self, peer: Name, nonce: bytes) -> None:
        """Expect it no more, for something else is being tried. Without effect if it is not expected."""
        entry = self._remove((peer, nonce))
        if entry is not None and not entry.arrival.called:
            entry.arrival.errback(ExpectedConnectionReplaced("something else is being tried"))

    def stop(self) -> None:
        """End all expectations with L{ServiceStopped}, and accept no more. Idempotent."""
        self._stopped = True
        for key in list(self._entries):
            entry = self._remove(key)
            if entry is not None:  # else what one of the others set off has ended it
                entry.arrival.errback(ServiceStopped("the service stopped before the connection came"))

    def _get(self, key: _Key) -> _Entry | None:
        entry: _Entry | None = self._entries.get(key)
        return entry

    def _check_limits(self, peer: Name, prefixes: tuple[str, ...], replaced: _Entry | None) -> None:
        settings = self._settings
        if replaced is None:
            _check("in all", len(self._entries), "max_expected", settings.max_expected)
            held = len(self._of_peer.get(peer, ()))
            _check(f"of {peer.short}", held, "max_expected_per_peer", settings.max_expected_per_peer)
        for prefix in prefixes:
            held = self._of_prefix.get(prefix, 0) - (replaced is not None and prefix in replaced.prefixes)
            _check(f"with {prefix}", held, "max_expected_per_prefix", settings.max_expected_per_prefix)

    def _remove(self, key: _Key) -> _Entry | None:
        entry = self._get(key)
        if entry is None:
            return None
        del self._entries[key]
        keys = self._of_peer[key[0]]
        keys.remove(key)
        if not keys:
            del self._of_peer[key[0]]
        for prefix in entry.prefixes:
            self._of_prefix[prefix] -= 1
            if not self._of_prefix[prefix]:
                del self._of_prefix[prefix]
        for connection in entry.connections:
            del self._of_connection[connection]
        if entry.timer.active():
            entry.timer.cancel()
        return entry

    def _cancelled(self, key: _Key) -> None:
        self._remove(key)

    def _expire(self, key: _Key) -> None:
        entry = self._entries[key]
        self._remove(key)
        self._on_expired(entry.expected)
        seconds = self._settings.expected_timeout
        if not entry.arrival.called:  # the holder may have cancelled it just now
            entry.arrival.errback(ExpectedConnectionExpired(f"the connection did not come in {seconds:g} s"))


def _prefixes(expected: ExpectedConnection) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each.prefix for each in expected.endpoints if not is_local_only(each)))


def _check(which: str, held: int, setting: str, limit: int) -> None:
    if held >= limit:
        raise LimitReached(f"too many connections {which} are expected", setting, limit)

"""
Expected connections: the links that a connection request has led us to expect.

The responder expects a link from the requester, and the requester, once it has the response, expects one
from the responder. Both dial, so one expectation may bring two links. Both links carry the request's nonce in
their Hello, so an expectation is found by the peer's name and that nonce; once a link has arrived, also by
its C{Connection}.

An expectation ends in exactly one way: both ends agreed on a link, its time ran out, its holder cancelled it,
a newer one replaced it, or the service stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from expiringdict import ExpiringDict
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ...config import Settings
from ...crust.interfaces import ILink
from ...endpoints import Connection, Endpoint
from ...errors import (
    ExpectedConnectionExpired,
    ExpectedConnectionReplaced,
    LimitReached,
    RoutingCrustError,
    ServiceStopped,
)
from ...limits import EXPECTED_TIMEOUT_SECONDS, REQUEST_INTERVAL_SECONDS
from ...names import Name
from ...timing.shares import OURSELVES, Account, Holdings
from ...timing.timers import cancel
from ...wire.messages import ConnectRequest, ConnectResponse


@dataclass(frozen=True, slots=True)
class ExpectedRequest:
    """
    A peer asked us for a connection, we agreed, and we dial it.

    @ivar peer: the requester.
    @ivar nonce: the nonce of its request.
    @ivar endpoints: the addresses at which we dial the peer.
    @ivar request: the request.
    @ivar asked_by: who is held to account for it: never the name that it claims, which is free.
    """

    peer: Name
    nonce: bytes
    endpoints: tuple[Endpoint, ...]
    request: ConnectRequest
    asked_by: Account


@dataclass(frozen=True, slots=True)
class ExpectedResponse:
    """
    We asked a peer for a connection, it agreed, and we dial it.

    @ivar peer: the responder.
    @ivar nonce: the nonce of our request.
    @ivar endpoints: the addresses at which we dial the peer.
    @ivar response: the response.
    @ivar token: our own request as we signed it, which the response carried back.
    """

    peer: Name
    nonce: bytes
    endpoints: tuple[Endpoint, ...]
    response: ConnectResponse
    token: bytes


ExpectedConnection: TypeAlias = ExpectedRequest | ExpectedResponse
"""The two reasons to expect a link."""

_Key: TypeAlias = tuple[Name, bytes]

MAX_EXPECTED_PER_PEER: Final = 2
"""Expected connections that one peer asked for, and as many that we asked it for."""

MOST_EXPECTED: Final = 65536
"""The greatest C{max_expected}: it may grow while the node runs, and the dictionary cannot."""
RESERVED_SHARE: Final = 4
"""Parts of the table, of which one is for our own requests only, and one for those of others."""


@dataclass(slots=True)
class _Expectation:
    """
    One entry of the table: made by L{ExpectedConnections.expect}, and discarded before its Deferred fires.

    @ivar since: when it was made, in seconds of our clock.
    """

    expected: ExpectedConnection
    since: float
    arrival: Deferred[ILink]
    timer: IDelayedCall
    connections: list[Connection] = field(default_factory=list)


class ExpectedConnections:
    """
    The expected connections of one node, bounded in number and in time.

    I am made at each start, fed by what handles requests and responses (L{expect}) and by what handles links
    (L{match}, L{arrived}, L{lost}, L{fulfil}), and discarded after L{stop}.

    Requests of others and our own have a quarter of the places each that the others cannot take. When there
    is no place for a request of another node, or for one of our own while the others hold more than their
    quarter, the one of the others that holds most makes room: by the link that the requests came by, and by
    the prefix of its address (L{routing_crust.timing.shares}).

    My entries are in an C{ExpiringDict}. A full one would evict its oldest entry silently, so it never gets
    full. The delayed call of each entry is the authority on its time. The age that the dictionary
    itself allows, twice as long, is a second bound, for an entry whose delayed call was lost. It goes by the
    wall clock, which may jump, so what is too old for the dictionary ends only if our clock agrees.
    """

    def __init__(
        self,
        clock: IReactorTime,
        settings: Settings,
        on_expired: Callable[[ExpectedConnection], object],
    ) -> None:
        """
        @param on_expired: called when an entry's time is over, before its Deferred fails, to stop the dials
            made for it. Must not raise.
        """
        self._clock = clock
        self._settings = settings
        self._on_expired = on_expired
        self._entries: ExpiringDict = ExpiringDict(
            max_len=MOST_EXPECTED, max_age_seconds=2 * EXPECTED_TIMEOUT_SECONDS
        )
        # The dictionary hides entries that are too old. This map still finds them, so that each can be ended.
        self._of_peer: dict[Name, dict[bytes, _Expectation]] = {}
        self._of_others: Holdings[_Key] = Holdings()
        self._of_connection: dict[Connection, _Key] = {}
        self._stopped = False

    def __len__(self) -> int:
        return len(self._entries)

    def expect(self, expected: ExpectedConnection) -> Deferred[ILink]:
        """
        Wait for a link. An earlier expectation of the same peer and nonce is replaced.

        @return: fires with the link given to L{fulfil}. Cancelling it ends the expectation. Fails with
            L{ExpectedConnectionExpired} after C{EXPECTED_TIMEOUT_SECONDS}, with
            L{ExpectedConnectionReplaced} when a newer expectation takes its place, and with
            L{ServiceStopped}.
            Fails with L{LimitReached} when it has to make room.
        @raise LimitReached: too many connections are expected from the peer, or on our own account. Nothing
            has changed then.
        """
        if self._stopped:
            return fail(ServiceStopped("the service has stopped and expects no connection"))
        # first, so that an entry whose delayed call was lost takes nobody's place
        self._end_overdue()
        key = (expected.peer, expected.nonce)
        asked_by = expected.asked_by if isinstance(expected, ExpectedRequest) else OURSELVES
        makes_room = None
        if self._get(*key) is None:
            self._check_peer(expected)
            makes_room = self._room_for(asked_by)
        # removed before it is set again: otherwise it would keep its old place in the dictionary
        replaced = self._remove(*key)
        arrival: Deferred[ILink] = Deferred(lambda _: self._cancelled(key))
        timer = self._clock.callLater(EXPECTED_TIMEOUT_SECONDS, self._expire, *key)
        entry = _Expectation(expected, self._clock.seconds(), arrival, timer)
        self._entries[key] = entry
        self._of_peer.setdefault(expected.peer, {})[expected.nonce] = entry
        if asked_by != OURSELVES:
            self._of_others.add(key, asked_by)
        # last, since errbacks may call back into a table that must be whole again
        if makes_room is not None:
            self._on_expired(makes_room.expected)
            what = "a newer request took its place, since too many connections are expected"
            _fail(makes_room, LimitReached(what, "max_expected", self._settings.max_expected))
        if replaced is not None:
            _fail(replaced, ExpectedConnectionReplaced("a newer request took the place of this one"))
        return arrival

    def make_room(self, expected: ExpectedConnection, issued: float = float("-inf")) -> bool:
        """
        End an expectation if it is older than C{REQUEST_INTERVAL_SECONDS}, or if the peer has made it before
        this request: the newest is the one that is still wanted, and the old one failed, or was given up with
        the link that it was for.

        @param issued: when the peer made the request that needs the room, by its own account.
        @return: whether it has ended.
        """
        entry = self._get(expected.peer, expected.nonce)
        if entry is None:
            return False
        # a copy that was delayed must not take the place of a newer request
        is_newer = isinstance(expected, ExpectedRequest) and expected.request.issued < issued
        if not is_newer and self._clock.seconds() - entry.since < REQUEST_INTERVAL_SECONDS:
            return False
        self._remove(expected.peer, expected.nonce)
        self._on_expired(expected)
        _fail(entry, ExpectedConnectionReplaced("a newer request took the place of this one"))
        return True

    def match(self, peer: Name, nonce: bytes) -> ExpectedConnection | None:
        """The expectation of this peer and nonce, or C{None}. Changes nothing."""
        entry = self._get(peer, nonce)
        return None if entry is None else entry.expected

    def of_peer(self, peer: Name) -> tuple[ExpectedConnection, ...]:
        """All expectations of this peer, oldest first."""
        return tuple(each.expected for each in self._of_peer.get(peer, {}).values())

    def crowd(self, peer: Name, own: bool) -> tuple[ExpectedConnection, ...]:
        """A peer's requests, or ours to it, oldest first, if as many are expected as may be; else none."""
        # apart, so that requests of the peer that came to nothing leave room for ours to it
        entries = (each for each in self.of_peer(peer) if isinstance(each, ExpectedResponse) is own)
        crowd = tuple(entries)
        return crowd if len(crowd) >= MAX_EXPECTED_PER_PEER else ()

    def arrived(self, peer: Name, nonce: bytes, connection: Connection) -> ExpectedConnection | None:
        """
        A link has arrived whose Hello names this nonce: record its C{Connection}, until the expectation ends
        or the link is L{lost}.

        @return: the expectation. Without one nothing is recorded, and it is C{None}.
        """
        self._end_overdue()
        entry = self._get(peer, nonce)
        if entry is None:
            return None
        # one link may ask for its purpose more than once, but is lost once
        if connection not in self._of_connection:
            self._of_connection[connection] = (peer, nonce)
            entry.connections.append(connection)
        return entry.expected

    def of_connection(self, connection: Connection) -> ExpectedConnection | None:
        """The expectation that the link over this C{Connection} arrived for, while it lasts."""
        key = self._of_connection.get(connection)
        return None if key is None else self.match(*key)

    def is_first(self, connection: Connection) -> bool:
        """Whether a link is the first, of those that are up, that has arrived for its expectation."""
        key = self._of_connection.get(connection)
        return key is not None and self._of_peer[key[0]][key[1]].connections[0] == connection

    def lost(self, connection: Connection) -> None:
        """A link is gone. Its expectation stays, since another link may still arrive for it."""
        key = self._of_connection.pop(connection, None)
        if key is not None:
            self._of_peer[key[0]][key[1]].connections.remove(connection)

    def fulfil(self, peer: Name, nonce: bytes, link: ILink) -> ExpectedConnection | None:
        """
        Both ends have agreed on this link: the expectation ends, and its Deferred fires.

        @return: the expectation. Without one nothing happens, and it is C{None}.
        """
        entry = self._remove(peer, nonce)
        if entry is None:
            return None
        entry.arrival.callback(link)
        return entry.expected

    def made_before(self, peer: Name, time: float) -> tuple[ExpectedConnection, ...]:
        """The expectations of this peer that are older than C{time}, in seconds of our clock."""
        return tuple(each.expected for each in self._of_peer.get(peer, {}).values() if each.since < time)

    def withdraw(self, peer: Name, nonce: bytes) -> None:
        """End an expectation because another attempt replaces it. Without effect if none exists."""
        entry = self._remove(peer, nonce)
        if entry is not None:
            _fail(entry, ExpectedConnectionReplaced("something else is being tried"))

    def stop(self) -> None:
        """End all expectations with L{ServiceStopped}, and accept no more. Idempotent."""
        self._stopped = True
        # a copy of the keys, since an errback may cancel other expectations
        for key in list(self._entries):
            entry = self._remove(*key)
            if entry is not None:  # else a callback of an earlier one has ended it
                _fail(entry, ServiceStopped("the service stopped before the connection came"))

    def _get(self, peer: Name, nonce: bytes) -> _Expectation | None:
        return self._of_peer.get(peer, {}).get(nonce)

    def _check_peer(self, expected: ExpectedConnection) -> None:
        if self.crowd(expected.peer, isinstance(expected, ExpectedResponse)):
            limit = MAX_EXPECTED_PER_PEER
            what = f"too many connections of {expected.peer.short} are expected"
            raise LimitReached(what, "", limit)

    def _room_for(self, asked_by: Account) -> _Expectation | None:
        """
        Check that there is a place for one more.

        @return: the expectation that was removed for it, if one had to be; its Deferred is still to fail.
        """
        limit = self._settings.max_expected
        unreserved = limit - limit // RESERVED_SHARE
        others = len(self._of_others)
        if asked_by == OURSELVES and len(self._entries) - others >= unreserved:
            raise LimitReached("too many connections of our own are expected", "max_expected", limit)
        if len(self._entries) < limit and (asked_by == OURSELVES or others < unreserved):
            return None
        held = self._of_others.of_largest(asked_by)
        if not held:
            raise LimitReached("too many connections are expected", "max_expected", limit)
        # where a link has arrived already, both ends are at work on it
        silent = (key for key in held if not self._of_peer[key[0]][key[1]].connections)
        return self._remove(*next(silent, held[0]))

    def _remove(self, peer: Name, nonce: bytes) -> _Expectation | None:
        entries = self._of_peer.get(peer, {})
        entry = entries.pop(nonce, None)
        if entry is None:
            return None
        if not entries:
            del self._of_peer[peer]
        self._entries.pop((peer, nonce))
        self._of_others.remove((peer, nonce))
        for connection in entry.connections:
            del self._of_connection[connection]
        cancel(entry.timer)
        return entry

    def _cancelled(self, key: _Key) -> None:
        self._remove(*key)

    def _expire(self, peer: Name, nonce: bytes) -> None:
        entry = self._remove(peer, nonce)
        if entry is None:
            return
        self._on_expired(entry.expected)
        seconds = EXPECTED_TIMEOUT_SECONDS
        _fail(entry, ExpectedConnectionExpired(f"the connection did not come in {seconds:g} s"))
        self._end_overdue()

    def _end_overdue(self) -> None:
        """
        End the entries whose delayed call was lost. The dictionary is in order of age, so there is nothing to
        do unless it finds the oldest too old.
        """
        keys: list[_Key] = list(self._entries)
        if not keys or keys[0] in self._entries:
            return
        overdue = self._clock.seconds() - EXPECTED_TIMEOUT_SECONDS
        entries = [(key, self._of_peer[key[0]][key[1]]) for key in keys]
        for key, entry in entries:
            # An entry that is not overdue by our clock only looks old, because the wall clock has jumped. So
            # all ages start from zero, in the same order, before any callback runs and may change the table.
            self._entries.pop(key)
            self._entries[key] = entry
        for key, entry in entries:
            if entry.since < overdue and self._get(*key) is entry:
                self._expire(*key)


def _fail(entry: _Expectation, problem: RoutingCrustError) -> None:
    if not entry.arrival.called:  # the holder may have cancelled it just now
        entry.arrival.errback(problem)

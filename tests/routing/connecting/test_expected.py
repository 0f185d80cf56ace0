"""Expected connections."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import cast

import expiringdict
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import Settings
from routing_crust.crust.interfaces import ILink
from routing_crust.endpoints import Connection, Endpoint, Protocol
from routing_crust.errors import (
    ExpectedConnectionExpired,
    ExpectedConnectionReplaced,
    LimitReached,
    ServiceStopped,
)
from routing_crust.names import Name
from routing_crust.routing.connecting.expected import (
    ExpectedConnection,
    ExpectedConnections,
    ExpectedRequest,
    ExpectedResponse,
)
from routing_crust.wire.messages import ConnectRequest, ConnectResponse, LinkUse

PUBLIC = Endpoint("8.8.8.8", 5483)


def name_of(number: int) -> Name:
    return Name(number.to_bytes(32, "big"))


def nonce_of(number: int) -> bytes:
    return number.to_bytes(16, "big")


def request(peer: int = 1, nonce: int = 1, *endpoints: Endpoint) -> ExpectedRequest:
    message = ConnectRequest(bytes(32), nonce_of(nonce), 0.0, 90.0, 1, LinkUse.MEMBER, ())
    return ExpectedRequest(name_of(peer), nonce_of(nonce), endpoints, message)


def connection(port: int) -> Connection:
    return Connection(Protocol.TCP, Endpoint("192.0.2.1", port), Endpoint("192.0.2.2", 5483))


LINK = cast(ILink, object())


class ExpectedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.expired: list[ExpectedConnection] = []
        self.make()

    def make(self, **changes: int) -> None:
        self.table = ExpectedConnections(self.clock, Settings(**changes), self.expired.append)

    def assert_empty(self) -> None:
        """No entry is left, and no count or delayed call either."""
        self.assertEqual(len(self.table), 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        leftovers = (self.table._of_peer, self.table._of_prefix, self.table._of_connection)
        self.assertEqual(leftovers, ({}, {}, {}))

    def test_matched_and_fulfilled(self) -> None:
        """The Deferred fires with the link, and nothing is left."""
        entry = request()
        arrival = self.table.expect(entry)
        self.assertIs(self.table.match(entry.peer, entry.nonce), entry)
        self.assertNoResult(arrival)
        self.assertIs(self.table.fulfil(entry.peer, entry.nonce, LINK), entry)
        self.assertIs(self.successResultOf(arrival), LINK)
        self.assertIsNone(self.table.match(entry.peer, entry.nonce))
        self.assertIsNone(self.table.fulfil(entry.peer, entry.nonce, LINK))
        self.assert_empty()

    def test_both_kinds(self) -> None:
        """A response is expected just as a request is."""
        response = ConnectResponse(bytes(32), b"token", ())
        entry = ExpectedResponse(name_of(1), nonce_of(1), (), response, b"token")
        arrival = self.table.expect(entry)
        self.assertIs(self.table.match(name_of(1), nonce_of(1)), entry)
        self.table.fulfil(name_of(1), nonce_of(1), LINK)
        self.assertIs(self.successResultOf(arrival), LINK)

    def test_by_peer_and_nonce(self) -> None:
        """Neither the nonce of another peer nor another nonce of the peer matches."""
        self.table.expect(request(1, 1))
        self.assertIsNone(self.table.match(name_of(2), nonce_of(1)))
        self.assertIsNone(self.table.match(name_of(1), nonce_of(2)))

    def test_of_peer(self) -> None:
        """What is expected of one peer, oldest first."""
        first, other, second = request(1, 5), request(2, 5), request(1, 4)
        for each in (first, other, second):
            self.table.expect(each)
        self.assertEqual(self.table.of_peer(name_of(1)), (first, second))
        self.assertEqual(self.table.of_peer(name_of(3)), ())

    def test_make_room(self) -> None:
        """Of a peer that has all it may the oldest gives way, but not to one that asks again too soon."""
        first = self.table.expect(request(1, 1))
        self.table.make_room(name_of(1))
        self.clock.advance(10)
        self.table.expect(request(1, 2))
        self.table.make_room(name_of(1))
        self.assertEqual(len(self.table), 2)
        self.clock.advance(10)
        self.table.make_room(name_of(2))
        self.assertEqual(len(self.table), 2)
        self.table.make_room(name_of(1))
        self.failureResultOf(first, ExpectedConnectionReplaced)
        self.assertEqual([each.nonce for each in self.table.of_peer(name_of(1))], [nonce_of(2)])
        self.assertEqual([each.nonce for each in self.expired], [nonce_of(1)])

    def test_expiry(self) -> None:
        """After its time the Deferred fails, and what was dialled can be closed before."""
        entry = request()
        arrival = self.table.expect(entry)
        seen: list[object] = []
        arrival.addErrback(lambda failure: (seen.append(list(self.expired)), failure)[1])
        self.clock.advance(89.9)
        self.assertNoResult(arrival)
        self.clock.advance(0.2)
        self.failureResultOf(arrival, ExpectedConnectionExpired)
        self.assertEqual(seen, [[entry]])
        self.assert_empty()

    def test_cancelled(self) -> None:
        """Whoever holds the Deferred may end the expectation; that is no expiry."""
        arrival = self.table.expect(request())
        arrival.cancel()
        self.failureResultOf(arrival, CancelledError)
        self.assertEqual(self.expired, [])
        self.assert_empty()

    def test_cancelled_while_it_expires(self) -> None:
        """Cancelling from within what closes the dial is no second result."""
        arrivals: list[Deferred[ILink]] = []
        self.table = ExpectedConnections(self.clock, Settings(), lambda _: arrivals[0].cancel())
        arrivals.append(self.table.expect(request()))
        self.clock.advance(90)
        self.failureResultOf(arrivals[0], CancelledError)

    def test_replaced(self) -> None:
        """The same expectation anew: the older fails, the newer has its full time and its own Deferred."""
        old = self.table.expect(request(1, 1, PUBLIC))
        self.table.arrived(name_of(1), nonce_of(1), connection(1))
        self.clock.advance(60)
        newer = request(1, 1)
        new = self.table.expect(newer)
        self.failureResultOf(old, ExpectedConnectionReplaced)
        self.assertEqual(len(self.table), 1)
        self.assertIsNone(self.table.of_connection(connection(1)))
        self.clock.advance(60)
        self.assertNoResult(new)
        old.cancel()
        self.assertIs(self.table.match(name_of(1), nonce_of(1)), newer)
        self.clock.advance(31)
        self.failureResultOf(new, ExpectedConnectionExpired)
        self.assert_empty()

    def test_stop(self) -> None:
        """All of them fail, nothing is left, and nothing is expected any more."""
        arrivals = [self.table.expect(request(peer, 1, PUBLIC)) for peer in range(3)]
        self.table.stop()
        self.table.stop()
        for each in arrivals:
            self.failureResultOf(each, ServiceStopped)
        self.failureResultOf(self.table.expect(request()), ServiceStopped)
        self.assertEqual(self.expired, [])
        self.assert_empty()

    def test_cancelling_another_while_stopping(self) -> None:
        """What one failure sets off may end the others; each still ends once."""
        first = self.table.expect(request(1))
        second = self.table.expect(request(2))
        first.addErrback(lambda failure: second.cancel())
        self.table.stop()
        self.successResultOf(first)
        self.failureResultOf(second, CancelledError)
        self.assert_empty()

    def test_full(self) -> None:
        """A full table refuses, and names the setting; nothing that was expected is lost."""
        self.make(max_expected=3)
        arrivals = [self.table.expect(request(peer)) for peer in range(3)]
        error = self.assertRaises(LimitReached, self.table.expect, request(3))
        self.assertEqual(error.setting, "max_expected")
        for each in arrivals:
            self.assertNoResult(each)
        self.assertEqual(len(self.table), 3)
        arrivals[1].cancel()
        self.failureResultOf(arrivals[1], CancelledError)
        self.assertNoResult(self.table.expect(request(3)))

    def test_full_but_replacing(self) -> None:
        """What takes no more room is not refused, and is the youngest from then on."""
        self.make(max_expected=2, max_expected_per_peer=1, max_expected_per_prefix=2)
        old = self.table.expect(request(1, 1, PUBLIC))
        self.table.expect(request(2, 1, PUBLIC))
        self.assertNoResult(self.table.expect(request(1, 1, PUBLIC)))
        self.failureResultOf(old, ExpectedConnectionReplaced)
        self.assertEqual([key[0] for key in self.table._entries], [name_of(2), name_of(1)])

    def test_limit_of_a_peer(self) -> None:
        """One peer may not have many."""
        for nonce in range(2):
            self.table.expect(request(1, nonce))
        error = self.assertRaises(LimitReached, self.table.expect, request(1, 2))
        self.assertEqual(error.setting, "max_expected_per_peer")
        self.assertNoResult(self.table.expect(request(2, 2)))

    def test_limit_of_a_prefix(self) -> None:
        """Neither may the peers of one prefix; two endpoints in it count once."""
        twice = (Endpoint("8.8.8.1", 2000), Endpoint("8.8.8.2", 2000))
        arrivals = [self.table.expect(request(peer, 1, *twice)) for peer in range(8)]
        other = Endpoint("9.9.9.9", 2000)
        error = self.assertRaises(LimitReached, self.table.expect, request(8, 1, other, PUBLIC))
        self.assertEqual(error.setting, "max_expected_per_prefix")
        self.assertIn("8.8.8.0/24", str(error))
        self.assertNoResult(self.table.expect(request(8, 1, other)))
        self.table.fulfil(name_of(0), nonce_of(1), LINK)
        self.assertNoResult(self.table.expect(request(9, 1, PUBLIC)))
        self.successResultOf(arrivals[0])

    def test_local_addresses_do_not_count(self) -> None:
        """Loopback and private addresses have no limit by prefix."""
        local = (Endpoint("127.0.0.1", 2000), Endpoint("192.168.1.2", 2000), Endpoint("fd00::1", 2000))
        for peer in range(20):
            self.table.expect(request(peer, 1, *local))
        self.assertEqual(len(self.table), 20)

    def test_connections(self) -> None:
        """Each Connection that arrives is remembered until it is lost or all is settled."""
        entry = request()
        self.table.expect(entry)
        key = (entry.peer, entry.nonce)
        self.assertIs(self.table.arrived(*key, connection(1)), entry)
        self.assertIs(self.table.arrived(*key, connection(2)), entry)
        self.assertIs(self.table.arrived(*key, connection(2)), entry)
        self.assertIsNone(self.table.arrived(name_of(9), entry.nonce, connection(3)))
        self.assertEqual(self.table.connections(*key), (connection(1), connection(2)))
        self.assertIs(self.table.of_connection(connection(2)), entry)
        self.assertIsNone(self.table.of_connection(connection(3)))
        self.table.lost(connection(1))
        self.table.lost(connection(1))
        self.assertIsNone(self.table.of_connection(connection(1)))
        self.assertEqual(self.table.connections(*key), (connection(2),))
        self.assertIs(self.table.match(*key), entry)
        self.table.fulfil(*key, LINK)
        self.assertEqual(self.table.connections(*key), ())
        self.assert_empty()

    def test_wall_clock_jumps(self) -> None:
        """The wall clock may jump by decades, to and fro: only the given clock counts."""
        wall = SimpleNamespace(time=lambda: self.now, time_ns=time.time_ns)
        self.patch(expiringdict, "time", wall)
        self.now = 0.0
        entry = request()
        arrival = self.table.expect(entry)
        for self.now in (1.8e9, -1.8e9, 5e9, 0.0):
            self.assertIs(self.table.match(entry.peer, entry.nonce), entry)
        self.now = 1.8e9
        self.assertNoResult(arrival)
        self.clock.advance(90)
        self.failureResultOf(arrival, ExpectedConnectionExpired)
        self.assert_empty()


KEYS = st.tuples(st.integers(0, 3), st.integers(0, 2))
STEPS = st.one_of(
    st.tuples(st.just("expect"), KEYS, st.booleans()),
    st.tuples(st.sampled_from(["fulfil", "cancel", "arrived", "lost"]), KEYS, st.just(False)),
    st.tuples(st.just("advance"), st.tuples(st.integers(0, 60), st.just(0)), st.just(False)),
)


class Holders:
    """A table with everybody who waits for something of it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.expired: list[ExpectedConnection] = []
        limits = Settings(max_expected=6, max_expected_per_peer=2, max_expected_per_prefix=3)
        self.table = ExpectedConnections(self.clock, limits, self.expired.append)
        self.held: list[tuple[float, list[object]]] = []
        self.latest: dict[tuple[int, int], Deferred[ILink]] = {}

    def expect(self, key: tuple[int, int], public: bool) -> None:
        try:
            arrival = self.table.expect(request(*key, *([PUBLIC] if public else [])))
        except LimitReached:
            return
        results: list[object] = []
        arrival.addBoth(results.append)
        self.held.append((self.clock.seconds(), results))
        self.latest[key] = arrival

    def step(self, what: str, key: tuple[int, int], public: bool) -> None:
        peer, nonce = name_of(key[0]), nonce_of(key[1])
        if what == "advance":
            self.clock.advance(key[0])
        elif what == "expect":
            self.expect(key, public)
        elif what == "fulfil":
            self.table.fulfil(peer, nonce, LINK)
        elif what == "arrived":
            self.table.arrived(peer, nonce, connection(1 + key[0] * 10 + key[1]))
        elif what == "lost":
            self.table.lost(connection(1 + key[0] * 10 + key[1]))
        elif key in self.latest:
            self.latest[key].cancel()


class ExactlyOnceTests(SynchronousTestCase):
    @settings(max_examples=200, deadline=None)
    @given(st.lists(STEPS, max_size=60), st.booleans())
    def test_every_deferred_fires_once(
        self, steps: list[tuple[str, tuple[int, int], bool]], stop: bool
    ) -> None:
        """In any order of events each Deferred fires once, within its time, and nothing is left behind."""
        holders = Holders()
        clock, table = holders.clock, holders.table
        for step in steps:
            holders.step(*step)
            waiting = [since for since, results in holders.held if not results]
            self.assertEqual(len(table), len(waiting))
            self.assertEqual(len(clock.getDelayedCalls()), len(waiting))
            self.assertTrue(all(clock.seconds() < since + 90 for since in waiting))
        if stop:
            table.stop()
        else:
            clock.advance(90)
        self.assertEqual(len(table), 0)
        self.assertEqual(clock.getDelayedCalls(), [])
        self.assertEqual((table._of_peer, table._of_prefix, table._of_connection), ({}, {}, {}))
        ends: list[object] = []
        for _, (result,) in holders.held:
            ends.append(result.type if isinstance(result, Failure) else result)
        self.assertEqual(ends.count(ExpectedConnectionExpired), len(holders.expired))

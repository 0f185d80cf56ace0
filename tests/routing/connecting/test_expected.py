"""Expected connections."""

from __future__ import annotations

import time
from dataclasses import replace
from types import SimpleNamespace

import expiringdict
import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import Settings, change_settings
from routing_crust.crust.interfaces import ILink
from routing_crust.errors import (
    ExpectedConnectionExpired,
    ExpectedConnectionReplaced,
    LimitReached,
    ServiceStopped,
)
from routing_crust.limits import REQUEST_INTERVAL_SECONDS
from routing_crust.routing.connecting import expected
from routing_crust.routing.connecting.expected import (
    MAX_EXPECTED_PER_PEER,
    ExpectedConnection,
    ExpectedConnections,
    ExpectedRequest,
)
from routing_crust.timing.shares import Account

from .expected_values import LINK, PUBLIC, connection, name_of, nonce_of, request, response

ONE: Account = ("8.8.8.0/24", "8.8.8.8", "one")


ANOTHER: Account = ("9.9.9.0/24", "9.9.9.9", "another")


MANY: Account = ("7.7.7.0/24", "7.7.7.7", "a flood")


def request_by(asked_by: Account, peer: int, nonce: int = 1) -> ExpectedRequest:
    """A request that this party is held to account for."""
    return replace(request(peer, nonce), asked_by=asked_by)


def made_at(issued: float, nonce: int) -> ExpectedRequest:
    """A request that was made at this time."""
    made = request(1, nonce)
    return replace(made, request=msgspec.structs.replace(made.request, issued=issued))


class ExpectedTests(SynchronousTestCase):
    def make_room(self, peer: int, own: bool = False, issued: float = float("-inf")) -> None:
        """The oldest of this peer's requests, or of ours to it, is to make room if it has to."""
        for each in self.table.crowd(name_of(peer), own)[:1]:
            self.table.make_room(each, issued)

    def setUp(self) -> None:
        self.clock = Clock()
        self.expired: list[ExpectedConnection] = []
        self.make()

    def make(self, **changes: int) -> None:
        """Replace the table by one with other settings."""
        self.table = ExpectedConnections(self.clock, Settings(**changes), self.expired.append)

    def assert_empty(self) -> None:
        """No entry is left, and no count or delayed call either."""
        self.assertEqual(len(self.table), 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        leftovers = (self.table._of_peer, self.table._of_connection)
        self.assertEqual(leftovers, ({}, {}))
        self.assertEqual(len(self.table._of_others), 0)

    def test_deferred_fires_with_the_link_that_was_agreed_on(self) -> None:
        """Nothing is left afterwards, and a second link has nothing to fulfil."""
        entry = request()
        arrival = self.table.expect(entry)
        self.assertIs(self.table.match(entry.peer, entry.nonce), entry)
        self.assertNoResult(arrival)
        self.assertIs(self.table.fulfil(entry.peer, entry.nonce, LINK), entry)
        self.assertIs(self.successResultOf(arrival), LINK)
        self.assertIsNone(self.table.match(entry.peer, entry.nonce))
        self.assertIsNone(self.table.fulfil(entry.peer, entry.nonce, LINK))
        self.assert_empty()

    def test_response_is_expected_like_a_request(self) -> None:
        """The requester's expectation has the same key and the same end as the responder's."""
        entry = response(1)
        arrival = self.table.expect(entry)
        self.assertIs(self.table.match(name_of(1), nonce_of(1)), entry)
        self.table.fulfil(name_of(1), nonce_of(1), LINK)
        self.assertIs(self.successResultOf(arrival), LINK)

    def test_peer_and_nonce_must_both_match(self) -> None:
        """Another peer with the same nonce does not match, and neither does another nonce of the peer."""
        self.table.expect(request(1, 1))
        self.assertIsNone(self.table.match(name_of(2), nonce_of(1)))
        self.assertIsNone(self.table.match(name_of(1), nonce_of(2)))

    def test_expectations_of_a_peer_are_listed_oldest_first(self) -> None:
        """Those of other peers are left out."""
        first, other, second = request(1, 5), request(2, 5), request(1, 4)
        for each in (first, other, second):
            self.table.expect(each)
        self.assertEqual(self.table.of_peer(name_of(1)), (first, second))
        self.assertEqual(self.table.of_peer(name_of(3)), ())

    def test_oldest_expectation_of_a_full_peer_makes_room(self) -> None:
        """It does so only once it is older than the interval of requests: asking sooner gains nothing."""
        first = self.table.expect(request(1, 1))
        self.make_room(1)
        self.clock.advance(10)
        self.table.expect(request(1, 2))
        self.make_room(1)
        self.assertEqual(len(self.table), 2)
        self.clock.advance(10)
        self.make_room(2)
        self.assertEqual(len(self.table), 2)
        self.make_room(1)
        self.failureResultOf(first, ExpectedConnectionReplaced)
        self.assertEqual([each.nonce for each in self.table.of_peer(name_of(1))], [nonce_of(2)])
        self.assertEqual([each.nonce for each in self.expired], [nonce_of(1)])

    def test_newer_request_of_a_full_peer_takes_the_place_of_the_oldest(self) -> None:
        """
        The peer has given that up with the link that it was for. A copy that was delayed takes no place, nor
        does any request take that of one of ours.
        """
        name = name_of(1)
        first, _ = (self.table.expect(made_at(100.0 + nonce, nonce)) for nonce in (1, 2))
        self.make_room(1, issued=100.5)
        self.assertEqual(len(self.table), 2)
        self.make_room(1, issued=103.0)
        self.failureResultOf(first, ExpectedConnectionReplaced)
        self.assertEqual([each.nonce for each in self.table.of_peer(name)], [nonce_of(2)])
        for nonce in (3, 4):
            self.table.expect(response(2, nonce))
        self.make_room(2, own=True, issued=103.0)
        self.assertEqual(len(self.table.of_peer(name_of(2))), 2)

    def test_expiry_stops_the_dials_before_the_deferred_fails(self) -> None:
        """The expectation expires after C{EXPECTED_TIMEOUT_SECONDS}, not earlier."""
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

    def test_cancelling_ends_the_expectation_without_an_expiry(self) -> None:
        """The holder of the Deferred needs no notice of what it did itself."""
        arrival = self.table.expect(request())
        arrival.cancel()
        self.failureResultOf(arrival, CancelledError)
        self.assertEqual(self.expired, [])
        self.assert_empty()

    def test_cancelling_during_expiry_gives_one_result(self) -> None:
        """The callback that stops the dials may cancel the Deferred."""
        arrivals: list[Deferred[ILink]] = []
        self.table = ExpectedConnections(self.clock, Settings(), lambda _: arrivals[0].cancel())
        arrivals.append(self.table.expect(request()))
        self.clock.advance(90)
        self.failureResultOf(arrivals[0], CancelledError)

    def test_newer_expectation_replaces_the_same_older_one(self) -> None:
        """The older one fails; the newer one has its full time and its own Deferred."""
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

    def test_stop_fails_every_expectation_and_accepts_no_more(self) -> None:
        """Stopping is no expiry, and stopping twice changes nothing."""
        arrivals = [self.table.expect(request(peer, 1, PUBLIC)) for peer in range(3)]
        self.table.stop()
        self.table.stop()
        for each in arrivals:
            self.failureResultOf(each, ServiceStopped)
        self.failureResultOf(self.table.expect(request()), ServiceStopped)
        self.assertEqual(self.expired, [])
        self.assert_empty()

    def test_failure_may_cancel_another_expectation_while_stopping(self) -> None:
        """A callback of one failure may cancel another expectation; each ends once."""
        first = self.table.expect(request(1))
        second = self.table.expect(request(2))
        first.addErrback(lambda failure: second.cancel())
        self.table.stop()
        self.successResultOf(first)
        self.failureResultOf(second, CancelledError)
        self.assert_empty()

    def test_account_that_holds_most_of_a_full_table_makes_room(self) -> None:
        """By link and prefix, not by the names that are claimed; of these the oldest without a link."""
        self.make(max_expected=8)
        one = self.table.expect(request_by(ONE, 0))
        flood = [self.table.expect(request_by(MANY, peer)) for peer in range(1, 6)]
        self.table.arrived(name_of(1), nonce_of(1), connection(1))
        another = self.table.expect(request_by(ANOTHER, 6))
        error = self.failureResultOf(flood[1], LimitReached).value
        self.assertEqual(error.setting, "max_expected")
        self.assertEqual([each.peer for each in self.expired], [name_of(2)])
        for each in (one, another, flood[0], *flood[2:]):
            self.assertNoResult(each)
        self.assertEqual(len(self.table), 6)

    def test_flood_of_one_party_ends_its_own_expectations_only(self) -> None:
        """However many names it makes up: others keep their places, and their requests find some."""
        self.make(max_expected=8)
        kept = [self.table.expect(request_by(ONE, 1)), self.table.expect(response(2))]
        for peer in range(3, 300):
            self.table.expect(request_by(MANY, peer)).addErrback(lambda failure: failure.trap(LimitReached))
        self.assertEqual(len(self.table), 7)
        kept += [self.table.expect(request_by(ANOTHER, 300)), self.table.expect(response(301))]
        for each in kept:
            self.assertNoResult(each)

    def test_our_own_requests_have_places_that_others_cannot_take(self) -> None:
        """When others hold more than is theirs, they make room for ours; the last quarter stays theirs."""
        self.make(max_expected=8)
        others = [self.table.expect(request_by(MANY, peer)) for peer in range(6)]
        ours = [self.table.expect(response(10 + number)) for number in range(6)]
        for each in (*others[4:], *ours):
            self.assertNoResult(each)
        for each in others[:4]:
            self.failureResultOf(each, LimitReached)
        error = self.assertRaises(LimitReached, self.table.expect, response(20))
        self.assertEqual(error.setting, "max_expected")
        self.assertEqual(len(self.table), 8)
        self.table.stop()
        for each in (*others[4:], *ours):
            self.failureResultOf(each, ServiceStopped)
        self.assert_empty()

    def test_limit_of_the_settings_counts_as_it_is_now(self) -> None:
        """Those that are there stay; with a greater limit none of them makes room."""
        settings = Settings(max_expected=4)
        self.table = ExpectedConnections(self.clock, settings, self.expired.append)
        ours = [self.table.expect(response(number)) for number in range(3)]
        self.assertRaises(LimitReached, self.table.expect, response(10))
        change_settings(settings, Settings(max_expected=16))
        ours += [self.table.expect(response(number)) for number in range(10, 18)]
        change_settings(settings, Settings(max_expected=4))
        self.assertRaises(LimitReached, self.table.expect, response(20))
        for each in ours:
            self.assertNoResult(each)
        self.assertEqual(len(self.table), 11)

    def test_replacement_is_accepted_by_a_full_table(self) -> None:
        """It takes no more room, and it is the youngest from then on."""
        self.patch(expected, "MAX_EXPECTED_PER_PEER", 1)
        self.make(max_expected=2)
        old = self.table.expect(request(1, 1, PUBLIC))
        self.table.expect(request(2, 1, PUBLIC))
        self.assertNoResult(self.table.expect(request(1, 1, PUBLIC)))
        self.failureResultOf(old, ExpectedConnectionReplaced)
        self.assertEqual([key[0] for key in self.table._entries], [name_of(2), name_of(1)])

    def test_one_peer_cannot_fill_the_table(self) -> None:
        """A peer at its limit is refused; another is not."""
        for nonce in range(2):
            self.table.expect(request(1, nonce))
        error = self.assertRaises(LimitReached, self.table.expect, request(1, 2))
        self.assertEqual((error.setting, MAX_EXPECTED_PER_PEER), ("", 2))
        self.assertNoResult(self.table.expect(request(2, 2)))

    def test_requests_of_a_peer_leave_room_for_ours_to_it(self) -> None:
        """Its own may have come to nothing, and be expected still; ours have the same limit."""
        for nonce in range(2):
            self.table.expect(request(1, nonce))
        ours = [self.table.expect(response(1, nonce)) for nonce in (2, 3)]
        error = self.assertRaises(LimitReached, self.table.expect, response(1, 4))
        self.assertEqual(error.setting, "")
        self.clock.advance(REQUEST_INTERVAL_SECONDS)
        self.make_room(1, own=True)
        self.failureResultOf(ours[0], ExpectedConnectionReplaced)
        self.assertEqual(len(self.table), 3)

    def test_expectation_is_found_by_the_connection_that_arrived(self) -> None:
        """A C{Connection} is found until its link is lost or the expectation ends."""
        entry = request()
        self.table.expect(entry)
        key = (entry.peer, entry.nonce)
        self.assertIs(self.table.arrived(*key, connection(1)), entry)
        self.assertIs(self.table.arrived(*key, connection(2)), entry)
        self.assertIs(self.table.arrived(*key, connection(2)), entry)
        self.assertIsNone(self.table.arrived(name_of(9), entry.nonce, connection(3)))
        found = [self.table.of_connection(connection(each)) for each in (1, 2, 3)]
        self.assertEqual(found, [entry, entry, None])
        self.table.lost(connection(1))
        self.table.lost(connection(1))
        self.assertIsNone(self.table.of_connection(connection(1)))
        self.assertIs(self.table.of_connection(connection(2)), entry)
        self.assertIs(self.table.match(*key), entry)
        self.table.fulfil(*key, LINK)
        self.assertIsNone(self.table.of_connection(connection(2)))
        self.assert_empty()

    def test_wall_clock_ends_no_expectation(self) -> None:
        """The wall clock may jump by decades, to and fro: the given clock alone ends an expectation."""
        wall = SimpleNamespace(time=lambda: self.now, time_ns=time.time_ns)
        self.patch(expiringdict, "time", wall)
        self.now = 0.0
        entry = request()
        arrival = self.table.expect(entry)
        others = [self.table.expect(request(peer)) for peer in (2, 3)]
        for self.now in (1.8e9, -1.8e9, 5e9, 0.0):
            self.assertIs(self.table.match(entry.peer, entry.nonce), entry)
            self.assertIs(self.table.arrived(entry.peer, entry.nonce, connection(1)), entry)
            self.table.expect(request(4)).addErrback(lambda _: None)
            order = [key[0] for key in self.table._entries]
            self.assertEqual(order, [name_of(each) for each in (1, 2, 3, 4)])
        self.now = 1.8e9
        self.assertNoResult(arrival)
        self.clock.advance(90)
        for each in (arrival, *others):
            self.failureResultOf(each, ExpectedConnectionExpired)
        self.assert_empty()

"""Group queries: each Deferred fires once, whatever comes or does not come."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace
from typing import Any, cast

from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from routing_crust import Name, Settings
from routing_crust.crust.interfaces import ILink
from routing_crust.errors import CloseReason, LimitReached, PeerUnreachable, ServiceStopped, WireError
from routing_crust.routing.members import OPEN
from routing_crust.routing.membership import close_group_lookup
from routing_crust.routing.membership.close_group_lookup import MAX_LOOKUP_ATTEMPTS, CloseGroupLookup, Group
from routing_crust.routing.membership.network_time import NetworkTime
from routing_crust.wire.codec import decode, encode
from routing_crust.wire.messages import EnvelopeKind, GroupAnswer, GroupQuery

TARGET, ONE, TWO = (Name(bytes([number]) * 32) for number in (1, 2, 3))


def peer(name: Name) -> Any:
    """As much of a peer as the queries look at."""
    return SimpleNamespace(name=name)


def envelope(answer: GroupAnswer) -> Any:
    """As much of an envelope as is looked at."""
    return SimpleNamespace(body=encode(answer))


class FirstHop:
    """As much of a link as a query looks at."""

    def __init__(self, peer: Name) -> None:
        self.peer = peer


class QueryTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.sent: list[tuple[Name, bytes, int]] = []
        self.asked: list[Name | None] = []
        self.by: list[Name | None] = []
        self.queries = self.make(Settings())

    def make(self, settings: Settings, send: Any = None) -> CloseGroupLookup:
        node: Any = SimpleNamespace(settings=settings, clock=self.clock, random=Random(1), members=OPEN)
        return CloseGroupLookup(node, cast(Any, None), send or self.send, NetworkTime(self.clock))

    def send(
        self,
        kind: EnvelopeKind,
        destination: Name,
        body: bytes,
        proxy: Name | None,
        via: ILink | None,
        attempt: int,
        *,
        nearest: bool,
    ) -> None:
        query = decode(GroupQuery, body)
        self.asked.append(None if nearest else destination)
        self.by.append(None if via is None else via.peer)
        self.sent.append((Name(query.target), query.nonce, attempt))

    def answer(
        self, target: Name = TARGET, *members: Name, nonce: bytes | None = None, source: Name = TWO
    ) -> None:
        nonce = self.sent[-1][1] if nonce is None else nonce
        answer = GroupAnswer(nonce, target.raw, tuple(name.raw for name in members))
        self.queries.answer_received(envelope(answer), source, None)

    def test_answer_is_sorted_and_leaves_no_timer(self) -> None:
        """The names come sorted by their distance, each once, and no timer is left."""
        result = self.queries.look_up(TARGET)
        self.answer(TARGET, TWO, ONE, TWO)
        group = Group(tuple(sorted((ONE, TWO), key=TARGET.distance)), TWO, {})
        self.assertEqual(self.successResultOf(result), group)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.answer(TARGET, ONE)
        self.assertEqual(len(self.queries), 0)

    def test_networks_are_those_of_the_members_in_their_order(self) -> None:
        result = self.queries.look_up(TARGET)
        nonce = self.sent[-1][1]
        members = (TWO.raw, ONE.raw)
        for networks in ((b"\x08\x08\x08", b"", b""), (b"\x08\x08\x08",)):
            answer = GroupAnswer(nonce, TARGET.raw, members, networks)
            if len(networks) > len(members):
                self.assertRaises(WireError, self.queries.answer_received, envelope(answer), TWO, None)
            else:
                self.queries.answer_received(envelope(answer), TWO, None)
        self.assertEqual(self.successResultOf(result).networks, {TWO: b"\x08\x08\x08"})

    def test_answer_that_fits_no_query_is_ignored(self) -> None:
        result = self.queries.look_up(TARGET)
        self.answer(ONE, ONE)
        self.answer(TARGET, ONE, nonce=bytes(16))
        self.assertNoResult(result)
        self.answer(TARGET)
        self.assertEqual(self.successResultOf(result).members, ())

    def test_each_attempt_takes_another_first_hop(self) -> None:
        result = self.queries.look_up(TARGET)
        for attempt in range(MAX_LOOKUP_ATTEMPTS):
            self.assertEqual(self.sent[-1], (TARGET, self.sent[0][1], attempt))
            self.assertNoResult(result)
            self.clock.advance(5)
        self.failureResultOf(result, PeerUnreachable)
        self.assertEqual(len(self.sent), MAX_LOOKUP_ATTEMPTS)

    def test_answer_may_come_from_within_the_call(self) -> None:
        """A node that is its own nearest answers at once."""

        def send(kind: EnvelopeKind, destination: Name, body: bytes, *way: object, nearest: bool) -> None:
            query = decode(GroupQuery, body)
            queries.answer_received(envelope(GroupAnswer(query.nonce, query.target, ())), ONE, None)

        queries = self.make(Settings(), send)
        self.assertEqual(self.successResultOf(queries.look_up(TARGET)), Group((), ONE))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_query_may_be_addressed_to_one_node(self) -> None:
        """A query may be put to one node, for what it knows itself."""
        self.queries.look_up(TARGET)
        result = self.queries.look_up(TARGET, of=ONE)
        self.assertEqual(self.asked, [None, ONE])
        self.answer(TARGET, TWO, source=TWO)
        self.assertNoResult(result)
        self.answer(TARGET, TWO, source=ONE)
        self.assertEqual(self.successResultOf(result).members, (TWO,))

    def test_query_to_a_lost_node_fails_at_once(self) -> None:
        """What it was asked itself fails at once; what is put to others goes on."""
        lost, other = self.queries.look_up(TARGET, of=ONE), self.queries.look_up(TARGET, of=TWO)
        self.queries.peer_lost(peer(ONE), CloseReason.CONNECTION_LOST, "")
        self.failureResultOf(lost, PeerUnreachable)
        self.assertNoResult(other)
        self.assertEqual((len(self.queries), len(self.sent)), (1, 2))

    def test_query_takes_another_first_hop_when_its_own_is_lost(self) -> None:
        """Another is taken at once, as long as there are attempts left, and then as if nothing had been."""
        result = self.queries.look_up(TARGET, via=FirstHop(ONE))
        other = self.queries.look_up(TARGET, via=FirstHop(TWO))
        self.clock.advance(1)
        self.queries.peer_lost(peer(ONE), CloseReason.CONNECTION_LOST, "")
        self.assertEqual(self.by, [ONE, TWO, None])
        self.assertEqual(self.sent[-1][1:], (self.sent[0][1], 1))
        self.queries.peer_lost(peer(ONE), CloseReason.CONNECTION_LOST, "")
        self.assertEqual(len(self.sent), 3)
        self.answer()
        self.successResultOf(result)
        self.assertNoResult(other)
        last = self.queries.look_up(TARGET, via=FirstHop(ONE))
        self.clock.pump([5] * (MAX_LOOKUP_ATTEMPTS - 1))
        self.queries.peer_lost(peer(ONE), CloseReason.CONNECTION_LOST, "")
        self.assertNoResult(last)
        self.clock.advance(5)
        for each in (last, other):
            self.failureResultOf(each, PeerUnreachable)

    def test_query_over_the_limit_fails_at_once(self) -> None:
        self.patch(close_group_lookup, "MAX_LOOKUPS", 1)
        queries = self.make(Settings())
        first = queries.look_up(TARGET)
        self.failureResultOf(queries.look_up(ONE), LimitReached)
        queries.stop()
        self.failureResultOf(first, ServiceStopped)

    def test_cancelled_query_leaves_no_timer(self) -> None:
        result = self.queries.look_up(TARGET)
        result.cancel()
        self.failureResultOf(result, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_fails_what_waits_and_what_follows(self) -> None:
        result = self.queries.look_up(TARGET)
        self.queries.stop()
        self.failureResultOf(result, ServiceStopped)
        self.failureResultOf(self.queries.look_up(TARGET), ServiceStopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])

"""Streams on a network's bad day: what must hold does, and what does not is noticed, check by check."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.streams import StreamLinkLost, StreamReason, StreamReset, streams_of
from routing_crust.testing.play.faults import Schedule
from routing_crust.testing.play.invariants import InvariantBroken, Invariants
from routing_crust.testing.play.scenario import Plan, Scenario, play
from routing_crust.testing.play.streaming import HALF_DEAD, Streaming
from routing_crust.testing.play.transfers import (
    COUNT,
    ECHO,
    NUMBER_BYTES,
    PLAIN,
    SIMPLE,
    Flow,
    Transfer,
    TransferEnding,
)
from routing_crust.testing.simulation import SimulatedNetwork

CALM = Schedule()


class DayTests(SynchronousTestCase):
    def test_all_arrives_on_a_calm_day(self) -> None:
        """Where nothing goes wrong, each stream that neither end gives up carries all."""
        scenario = Scenario(Plan(1, nodes=5, minutes=1, schedule=CALM))
        scenario.run()
        transfers = list(scenario.streaming.transfers.values())
        self.assertGreater(len(transfers), 100)
        lost = [
            each
            for each in transfers
            if not each.done
            and each.ending is TransferEnding.HALF
            and each.acceptor_manner.abort_at is None
            and each.opener is not None
            and each.protocol != SIMPLE  # of which as much is sent as a window holds
        ]
        self.assertEqual(lost, [])
        self.assertEqual(scenario.figures["streams"], len(transfers))
        self.assertGreater(scenario.figures["streams that did all"], len(transfers) / 2)
        self.assertGreater(scenario.figures["bytes over streams"], 1_000_000)
        self.assertLess(scenario.figures["new streams done after"], 10)

    def test_streams_end_in_every_way_on_a_bad_day(self) -> None:
        """On a bad day streams end in every way that there is."""
        scenario = Scenario(Plan(4, nodes=10, minutes=3))
        scenario.run()
        transfers = scenario.streaming.transfers.values()
        reasons = {type(end.reason) for each in transfers for end in each.ends}
        self.assertLessEqual({ConnectionDone, ConnectionAborted, StreamReset, StreamLinkLost}, reasons)
        self.assertEqual({each.protocol for each in transfers}, {ECHO, COUNT, SIMPLE})

    def test_plan_without_streams_opens_none(self) -> None:
        """A plan without streams opens none, and its day is one without streams."""
        without = play(Plan(3, nodes=4, minutes=0.5, streams=0))
        self.assertEqual(without.problem, "")
        self.assertNotIn("streams", without.figures)
        self.assertNotEqual(without.trace, play(Plan(3, nodes=4, minutes=0.5)).trace)


class TransferTests(SynchronousTestCase):
    def test_flow_counts_what_arrives_in_order(self) -> None:
        flow = Flow(b"abcdef")
        self.assertEqual((flow.take(4), flow.written), (b"abcd", 4))
        self.assertTrue(flow.arrive(b"ab"))
        self.assertTrue(flow.arrive(b"cd"))
        self.assertFalse(flow.arrive(b"ef"))  # that was not written yet

    def test_flow_refuses_other_bytes(self) -> None:
        for wrong in (b"b", b"aa", b"abd"):
            flow = Flow(b"abc")
            flow.take(3)
            self.assertFalse(flow.arrive(wrong), wrong)

    def test_every_manner_is_drawn(self) -> None:
        """All manners come about; a plain transfer has none."""
        random = Random(1)
        drawn = [Transfer(number, random) for number in range(300)]
        self.assertEqual({each.ending for each in drawn}, set(TransferEnding))
        self.assertEqual({each.streaming for each in drawn}, {True, False})
        for manner in ("opener_manner", "acceptor_manner"):
            self.assertEqual({getattr(each, manner).abort_at is None for each in drawn}, {True, False})
            self.assertEqual({getattr(each, manner).pause > 0 for each in drawn}, {True, False})
        plain = Transfer(7, random, plain=True)
        self.assertEqual((plain.opener_manner, plain.acceptor_manner), (PLAIN, PLAIN))
        self.assertEqual(plain.there.source[:NUMBER_BYTES], (7).to_bytes(NUMBER_BYTES, "big"))


class NoticedTests(SynchronousTestCase):
    """Each check notices what it is there for."""

    def setUp(self) -> None:
        self.net = SimulatedNetwork(4)
        self.checks = Invariants(self.net)
        self.addCleanup(self.checks.abandon)
        self.streaming = Streaming(self.net, self.checks, 4)
        self.nodes = [self.net.node(setup=self.streaming.serve) for _ in range(3)]
        self.net.run_until(self.net.joined)
        self.net.run_for(3)

    def transfer(self, protocol: str = ECHO) -> Any:
        """One that is open at both ends, of which the acceptor reads nothing more."""
        for _ in range(100):
            transfer = self.streaming.open(self.nodes[0], self.nodes[1], plain=True)
            wanted = transfer.protocol == protocol and len(transfer.there.source) > 200_000
            self.net.run_for(0.0 if wanted else 20.0)
            if wanted:
                break
        self.net.run_until(lambda: transfer.acceptor, 5)
        acceptor: Any = transfer.acceptor
        acceptor.transport.pauseProducing()
        return transfer

    def assert_broken(self, check: str, seconds: float = 0.0) -> None:
        self.net.run_for(seconds)
        with self.assertRaisesRegex(InvariantBroken, f"^{check}"):
            self.streaming.look()

    def test_sound_streams_break_no_invariant(self) -> None:
        for _ in range(10):
            self.streaming.open(self.nodes[0], self.nodes[1])
        figures = self.streaming.heal()
        self.assertEqual(figures["streams"], 13)
        services = [node.service for node in self.nodes]
        self.net.stop()
        for service in services:
            self.streaming.nothing_is_left(service)

    def test_bytes_that_nobody_sent_are_noticed(self) -> None:
        self.transfer().acceptor.dataReceived(b"what nobody has sent")
        self.assert_broken("what_arrives_was_sent")

    def test_stream_of_no_transfer_is_noticed(self) -> None:
        factory = Factory.forProtocol(Protocol)
        opened = streams_of(self.nodes[0].service).open(self.nodes[1].name, ECHO, factory)
        stranger: Any = self.net.result_of(opened)
        stranger.transport.write(bytes(range(8)))
        self.assert_broken("what_arrives_was_sent", 1)

    def test_end_that_comes_too_early_is_noticed(self) -> None:
        self.transfer().acceptor.readConnectionLost()
        self.assert_broken("a_clean_end_carries_all")

    def test_wrong_count_is_noticed(self) -> None:
        transfer = self.transfer(COUNT)
        transfer.back.complete = True
        transfer.opener.readConnectionLost()
        self.assert_broken("a_clean_end_carries_all")

    def test_call_after_the_end_is_noticed(self) -> None:
        opener = self.transfer().opener
        opener.transport.abortConnection()
        self.net.run_for(1)
        for call in (
            lambda: opener.dataReceived(b"x"),
            opener.readConnectionLost,
            opener.writeConnectionLost,
            lambda: opener.connectionLost(Failure(ConnectionLost())),
        ):
            self.streaming._broken.clear()
            call()
            self.assert_broken("one_end")

    def test_end_without_its_reason_is_noticed(self) -> None:
        """What nobody did cannot be why a stream ends."""
        for reason in (
            ConnectionDone(),
            ConnectionAborted(),
            StreamReset(StreamReason.ABORTED),
            StreamReset(StreamReason.FAILED),
            ConnectionLost(),
        ):
            self.streaming._broken.clear()
            acceptor = self.transfer().acceptor
            acceptor.connectionLost(Failure(reason))
            self.assert_broken("ends_have_a_reason")

    def look_for(self, seconds: float) -> None:
        for _ in range(int(seconds)):
            self.net.run_for(1)
            self.streaming.look()

    def test_end_that_stays_alone_is_noticed(self) -> None:
        """An end that is alone, and is never told."""
        transfer = self.transfer()
        self.streaming.look()
        transfer.acceptor.reason = ConnectionDone()
        self.look_for(HALF_DEAD)
        self.assertIsNone(transfer.opener.reason)
        self.assert_broken("none_is_half_dead", 2)

    def hold(self) -> dict[int, Any]:
        """A stream that only one end holds, and of which no protocol knows. @return: where it is held."""
        peer = streams_of(self.nodes[0].service)._peers.get(self.nodes[1].name)
        assert peer is not None
        held: dict[int, Any] = peer.mux.streams
        held[99] = None
        return held

    def test_half_dead_stream_below_is_noticed(self) -> None:
        held = self.hold()
        self.look_for(HALF_DEAD)
        self.assert_broken("none_is_half_dead", 2)
        del held[99]
        self.streaming.look()

    def test_sleep_does_not_count(self) -> None:
        held = self.hold()
        self.nodes[1].sleep(50)
        self.look_for(HALF_DEAD + 45)
        self.assert_broken("none_is_half_dead", 10)
        del held[99]

    def test_stream_without_a_transfer_is_noticed(self) -> None:
        """A stream on which nothing comes, and whose other end is of no transfer."""
        factory = Factory.forProtocol(Protocol)
        self.net.result_of(streams_of(self.nodes[0].service).open(self.nodes[1].name, ECHO, factory))
        self.look_for(HALF_DEAD)
        self.assert_broken("none_is_half_dead: a stream without a transfer", 2)

    def test_stream_that_does_not_end_is_noticed(self) -> None:
        self.transfer()
        with self.assertRaisesRegex(InvariantBroken, "^every_stream_ends: .*transfer"):
            self.streaming.heal()

    def test_node_that_takes_no_new_stream_is_noticed(self) -> None:
        for node in self.nodes:
            node.service.stream_layer._offers._ports.clear()  # type: ignore[union-attr]
        with self.assertRaisesRegex(InvariantBroken, "^new_streams_carry: .*transfer"):
            self.streaming.heal()

    def test_stream_that_is_left_is_noticed(self) -> None:
        transfer = self.transfer()
        with self.assertRaisesRegex(InvariantBroken, "^nothing_is_left: .*peers.*protocols.*factories"):
            self.streaming.nothing_is_left(transfer.opener.service)

"""Transports of streams that wait: for another link, or for acknowledgements."""

from __future__ import annotations

from io import BytesIO
from sys import maxsize
from typing import Any

from twisted.protocols.basic import FileSender

from routing_crust.config import KIB, MIB
from routing_crust.streams import streams_of
from routing_crust.streams.survival import peer as peer_module
from routing_crust.streams.survival import session as session_module
from tests.streams.case import StreamsCase
from tests.streams.protocols import Keeping, Noting
from tests.streams.transport_case import Producer

WINDOW = 64 * KIB
PIECES = 500
SURVIVAL = 30.0


class SuspendedCase(StreamsCase):
    def setUp(self) -> None:
        super().setUp()
        self.one, self.two_ = self.two(stream_survival=SURVIVAL, stream_window=WINDOW)
        self.served = Keeping(Noting)
        streams_of(self.one).listen("taking", self.served)
        self.mine: Any = self.open(self.two_, self.one.node_name, "taking")
        self.theirs: Any = self.served.made[0]
        self.partition()

    def partition(self) -> None:
        """Neither reaches the other, and both know it."""
        self.net.network.partition([[self.net.crust(self.one)], [self.net.crust(self.two_)]])
        for each in list(self.net.network.links):
            self.net.network.cut(each)
        self.net.run(lambda: all(streams_of(node).status()["suspended"] for node in (self.one, self.two_)))

    def heal(self, until: Any) -> None:
        self.net.network.heal()
        self.net.run(until, timeout=20)

    @property
    def kept(self) -> int:
        """Bytes that the sending end holds, sent or not."""
        return int(streams_of(self.two_).status()["suspended"][str(self.one.node_name)]["kept"])


class SuspendedProducerTests(SuspendedCase):
    def producer(self) -> Producer:
        producer = Producer(self.mine.transport, PIECES)
        self.mine.transport.registerProducer(producer, True)
        producer.resumeProducing()
        self.net.settle(5)
        return producer

    def test_push_producer_is_paused_and_goes_on_with_the_next_link(self) -> None:
        producer = self.producer()
        self.assertTrue(producer.paused)
        self.assertLess(self.kept, WINDOW + MIB)
        self.heal(lambda: len(self.theirs.received) == PIECES * producer.size)
        self.assertEqual((producer.left, self.mine.transport.producer), (0, None))
        self.assertEqual(self.mine.calls, ["made"])

    def test_pull_producer_is_asked_for_no_more_than_there_is_room_for(self) -> None:
        data = bytes(range(256)) * 20 * KIB
        file = BytesIO(data)
        done = FileSender().beginFileTransfer(file, self.mine.transport)
        self.net.settle(5)
        self.assertLess(file.tell(), WINDOW + MIB)
        self.heal(lambda: len(self.theirs.received) == len(data))
        self.assertEqual(self.theirs.received, data)
        self.successResultOf(done)

    def test_closing_waits_for_the_producer_and_then_for_a_link(self) -> None:
        """As on a connection that is merely slow."""
        producer = self.producer()
        self.mine.transport.loseConnection()
        self.heal(lambda: self.theirs.reason is not None)
        self.assertEqual(len(self.theirs.received), PIECES * producer.size)
        self.assertEqual((self.mine.calls, self.theirs.calls), (["made", "lost"], ["made", "lost"]))

    def test_producer_that_leaves_meanwhile_is_neither_paused_nor_resumed_any_more(self) -> None:
        producer = self.producer()
        self.mine.transport.unregisterProducer()
        before, sent = list(producer.calls), PIECES - producer.left
        self.mine.transport.write(b"the rest")
        self.mine.transport.loseConnection()
        self.heal(lambda: self.theirs.reason is not None)
        self.assertEqual(producer.calls, before)
        self.assertEqual(self.theirs.received, bytes(sent * producer.size) + b"the rest")

    def test_producer_that_comes_meanwhile_is_paused_by_its_first_piece_if_much_waits(self) -> None:
        self.mine.transport.write(bytes(2 * MIB))
        producer = self.producer()
        self.assertEqual((producer.paused, producer.left), (True, PIECES - 1))
        self.heal(lambda: len(self.theirs.received) == 2 * MIB + PIECES * producer.size)

    def test_producer_is_stopped_when_no_link_has_come_in_time(self) -> None:
        producer = self.producer()
        self.net.run(lambda: self.mine.reason is not None, timeout=SURVIVAL + 70)
        self.assertEqual(producer.calls[-1], "stop")
        self.net.network.heal()


class SuspendedClosingTests(SuspendedCase):
    def test_half_close_arrives_behind_what_was_written(self) -> None:
        self.mine.transport.write(b"all of it")
        self.mine.transport.loseWriteConnection()
        self.heal(lambda: self.theirs.reason is not None)
        self.assertEqual(self.theirs.received, b"all of it")


class UnacknowledgedTests(StreamsCase):
    def test_no_more_is_kept_for_a_peer_than_stream_memory(self) -> None:
        """One that reads all and acknowledges nothing is sent no more then, by all its streams together."""
        for name in ("ACK_AFTER_BYTES", "ACK_BESIDE_BYTES"):
            self.patch(session_module, name, maxsize)
        self.patch(peer_module, "ACK_AFTER_SECONDS", 3600.0)
        one, two = self.two(stream_memory=MIB, max_streams=16)
        served = Keeping(Noting)
        streams_of(one).listen("taking", served)
        sending: list[Any] = [self.open(two, one.node_name, "taking") for _ in range(2)]
        for each in sending:
            each.transport.write(bytes(2 * MIB))
        self.net.settle(20)
        received = sum(len(each.received) for each in served.made)
        self.assertGreater(received, MIB / 2)
        # the last frame may be larger than the room that is left
        self.assertLess(received, MIB + 64 * KIB)
        found = streams_of(one)._peers.get(two.node_name)
        assert found is not None
        found._session.tell()
        self.net.settle(20)
        self.assertGreater(sum(len(each.received) for each in served.made), received)

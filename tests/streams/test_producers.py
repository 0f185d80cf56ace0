"""Producers of streams."""

from __future__ import annotations

from twisted.internet.error import ConnectionDone
from twisted.protocols.basic import FileSender

from routing_crust.config import KIB, MIB
from routing_crust.streams.errors import StreamReset
from routing_crust.streams.transport import StreamTransport

from .ends import Pair
from .protocols import Noting
from .transport_case import ONE, TWO, Producer, TransportCase


class ProducerTests(TransportCase):
    def test_push_producer_is_paused_and_resumed(self) -> None:
        """It is paused when much waits, and resumed as it goes out; nobody reads means it stays paused."""
        producer = Producer(self.transport, 500)
        self.transport.registerProducer(producer, True)
        self.other.pauseProducing()
        producer.resumeProducing()
        self.settle()
        self.assertTrue(producer.paused)
        self.assertLess(self.here.buffer.size, 150_000)
        self.assertEqual(len(self.theirs.received), 0)
        self.other.resumeProducing()
        self.settle()
        self.assertEqual((len(self.theirs.received), self.transport.producer), (5_000_000, None))
        self.assertEqual(producer.calls[:2], ["resume", "pause"])

    def test_pull_producer_is_asked_piece_by_piece(self) -> None:
        """One piece at a time, as it goes out: Twisted's C{FileSender} is one of these."""
        from io import BytesIO

        data = bytes(range(256)) * 8000
        self.other.pauseProducing()
        done = FileSender().beginFileTransfer(BytesIO(data), self.transport)
        self.settle()
        self.assertLess(self.here.buffer.size, 100_000)
        self.other.resumeProducing()
        self.settle()
        self.successResultOf(done)
        self.assertEqual(self.theirs.received, data)

    def test_second_producer_is_refused(self) -> None:
        self.transport.registerProducer(Producer(self.transport, 1), True)
        self.assertRaises(RuntimeError, self.transport.registerProducer, Producer(self.transport, 1), True)

    def test_producer_stops_with_the_connection(self) -> None:
        """With the connection; one that comes later is stopped at once."""
        first, second = Producer(self.transport, 1), Producer(self.transport, 1)
        self.transport.registerProducer(first, True)
        self.pair.one.mux.end(ValueError("gone"))
        self.transport.registerProducer(second, True)
        self.assertEqual((first.calls, second.calls), (["stop"], ["stop"]))

    def test_end_waits_for_it(self) -> None:
        producer = Producer(self.transport, 100)
        self.transport.registerProducer(producer, True)
        self.transport.loseConnection()
        self.settle()
        self.assertEqual(self.mine.calls, ["made"])
        producer.resumeProducing()
        self.over()
        self.assertEqual((len(self.theirs.received), self.mine.calls), (1_000_000, ["made", "lost"]))

    def test_memory_of_a_proxy_stays_bounded(self) -> None:
        """One transport as the producer of another: memory stays bounded from end to end."""
        pair = Pair()
        here, _, _, last = pair.open()
        last.reading = False
        out = StreamTransport(here, Noting(), ONE, TWO, self.eventually, lambda: None)
        here.handler = out
        self.theirs.dataReceived = out.write  # type: ignore[method-assign]
        out.registerProducer(self.other, True)
        producer = Producer(self.transport, 1000)
        self.transport.registerProducer(producer, True)
        producer.resumeProducing()
        for _ in range(20):
            self.settle()
            pair.settle()
        self.assertTrue(producer.paused)
        self.assertLess(10_000 * (1000 - producer.left), MIB)
        last.reading = True
        last.read(last.unread)
        for _ in range(200):
            self.settle()
            pair.settle()
        self.assertEqual(len(last.received), 10_000_000)

    def test_echo_ends_when_the_peer_is_gone(self) -> None:
        """An echo reads no faster than its peer, which has gone: it ends, as with TCP."""
        self.echo()
        self.other.pauseProducing()
        self.other.write(bytes(3 * MIB))
        self.settle()
        self.assertEqual(self.mine.calls, ["made"])
        self.there.buffer.clear()  # so that the peer can say that it reads no more
        self.other.loseConnection()
        self.over()
        self.assertEqual((self.mine.calls, self.theirs.calls), (["made", "lost"], ["made", "lost"]))
        self.assertIsInstance(self.mine.reason, StreamReset)

    def test_peer_that_is_gone_is_noticed_when_reading_goes_on(self) -> None:
        """The peer has gone while we read nothing for a reason of our own."""
        self.echo()
        self.transport.pauseProducing()
        self.other.write(bytes(64 * KIB))
        self.other.loseConnection()
        self.settle()
        self.assertEqual((self.mine.received, self.mine.calls), (b"", ["made"]))
        self.transport.resumeProducing()
        self.over()
        self.assertEqual((len(self.mine.received), self.mine.calls), (64 * KIB, ["made", "lost"]))
        assert isinstance(self.mine.reason, StreamReset)
        self.assertIn(f"{64 * KIB} bytes were not sent", str(self.mine.reason))

    def test_closing_while_much_is_unread_loses_nothing(self) -> None:
        """Closing while much waits to be read makes room, so that everything written gets out."""
        self.echo()
        self.other.pauseProducing()
        self.other.write(bytes(3 * MIB))
        self.settle()
        self.assertGreater(self.there.buffer.size, MIB)
        self.other.loseConnection()
        self.over()
        self.assertEqual((len(self.mine.received), self.theirs.received), (3 * MIB, b""))
        self.assertEqual((self.mine.calls, self.theirs.calls), (["made", "lost"], ["made", "lost"]))

    def test_waiting_protocol_gets_what_the_peer_sent_last(self) -> None:
        """A protocol that reads nothing, and has sent all, gets what the peer sent before it went."""
        producer = Producer(self.transport, 0)
        self.transport.registerProducer(producer, True)
        self.transport.pauseProducing()
        self.other.write(b"last words")
        self.other.loseConnection()
        self.settle()
        self.transport.resumeProducing()
        self.over()
        self.assertEqual(self.mine.received, b"last words")
        self.assertIsInstance(self.mine.reason, ConnectionDone)

    def echo(self) -> None:
        """Our end sends everything back, and reads no faster than that goes."""
        received = self.mine.dataReceived

        def back(data: bytes) -> None:
            received(data)
            self.transport.write(data)

        self.mine.dataReceived = back  # type: ignore[method-assign]
        self.transport.registerProducer(self.transport, True)

    def test_paused_data_comes_in_one_piece_a_turn_later(self) -> None:
        """Data that comes while paused waits, and comes in the turn after; in one piece."""
        pieces: list[bytes] = []
        self.mine.dataReceived = pieces.append  # type: ignore[method-assign, assignment]
        self.transport.pauseProducing()
        for each in (b"one", b"two"):
            self.other.write(each)
            self.settle()
        self.transport.resumeProducing()
        self.other.write(b"three")
        self.pair.settle()
        self.assertEqual(pieces, [])
        self.transport.pauseProducing()
        self.settle()
        self.assertEqual(pieces, [])
        self.transport.resumeProducing()
        self.transport.resumeProducing()
        self.settle()
        self.assertEqual(pieces, [b"onetwothree"])

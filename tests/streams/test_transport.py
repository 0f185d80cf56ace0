"""The transport: what Twisted's protocols, producers and consumers may expect of it."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IConsumer, IPushProducer, ITCPTransport
from twisted.protocols.basic import FileSender, LineReceiver
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from routing_crust.config import KIB, MIB
from routing_crust.identity import Identity
from routing_crust.streams.address import NodeAddress
from routing_crust.streams.errors import StreamLinkLost, StreamReset
from routing_crust.streams.frames import StreamReason
from routing_crust.streams.multiplexing.stream import Stream
from routing_crust.streams.transport import StreamTransport
from routing_crust.timing.eventual import EventualQueue

from .ends import Pair
from .protocols import HalfCloseable, Noting

ONE, TWO = (NodeAddress(Identity.from_seed(bytes([each]) * 32).name, "echo") for each in (1, 2))


class Producer:
    """Writes pieces for as long as it may."""

    def __init__(self, transport: Any, pieces: int, size: int = 10_000) -> None:
        self.transport = transport
        self.left = pieces
        self.size = size
        self.paused = True
        self.calls: list[str] = []

    def resumeProducing(self) -> None:
        self.calls.append("resume")
        self.paused = False
        while self.left and not self.paused:
            self.left -= 1
            self.transport.write(bytes(self.size))
        if not self.left:
            self.transport.unregisterProducer()

    def pauseProducing(self) -> None:
        self.calls.append("pause")
        self.paused = True

    def stopProducing(self) -> None:
        self.calls.append("stop")
        self.paused = True


class TransportCase(SynchronousTestCase):
    """A stream with a transport at both ends."""

    def setUp(self) -> None:
        self.set_up(Noting(), Noting())

    def set_up(self, mine: Noting, theirs: Noting) -> None:
        self.pair = Pair()
        self.eventually = EventualQueue(self.pair.clock)
        self.gone: list[Noting] = []
        here, _, there, _ = self.pair.open()
        self.here, self.there = here, there
        self.mine, self.theirs = mine, theirs
        self.transport = self.attach(here, mine, ONE, TWO)
        self.other = self.attach(there, theirs, TWO, ONE)

    def attach(
        self, stream: Stream, protocol: Noting, host: NodeAddress, peer: NodeAddress
    ) -> StreamTransport:
        transport = StreamTransport(
            stream, protocol, host, peer, self.eventually, lambda: self.gone.append(protocol)
        )
        stream.handler = transport
        transport.start()
        return transport

    def settle(self) -> None:
        self.pair.settle()
        while self.pair.clock.getDelayedCalls():
            self.pair.clock.advance(0)
            self.pair.settle()

    def over(self) -> None:
        """Nothing is left of the stream."""
        self.settle()
        self.assertEqual((self.pair.one.mux.streams, self.pair.two.mux.streams), ({}, {}))


class BasicTests(TransportCase):
    def test_transport_provides_its_interfaces(self) -> None:
        for interface in (ITCPTransport, IPushProducer, IConsumer):
            verifyObject(interface, self.transport)

    def test_addresses_hold_names_and_protocol(self) -> None:
        self.assertEqual((self.transport.getHost(), self.transport.getPeer()), (ONE, TWO))
        self.assertEqual(str(ONE), f"routing:{ONE.name}/echo")

    def test_only_bytes_can_be_written(self) -> None:
        self.transport.write(b"one ")
        self.transport.writeSequence([b"two ", b"three "])
        self.transport.write(bytearray(b"four"))
        self.transport.write(b"")
        self.settle()
        self.assertEqual(self.theirs.received, b"one two three four")
        for wrong in ("text", None):
            self.assertRaises(TypeError, self.transport.write, wrong)

    def test_tcp_options_are_kept_without_effect(self) -> None:
        """They are kept, and mean nothing."""
        self.assertTrue(self.transport.getTcpNoDelay())
        self.transport.setTcpNoDelay(False)
        self.transport.setTcpKeepAlive(True)
        self.assertEqual((self.transport.getTcpNoDelay(), self.transport.getTcpKeepAlive()), (False, True))

    def test_line_receiver_stops_when_it_disconnects(self) -> None:
        """A protocol that looks at C{disconnecting} works, and stops when it is to."""

        class Lines(LineReceiver):
            def __init__(self) -> None:
                self.lines: list[bytes] = []

            def lineReceived(self, line: bytes) -> None:
                self.lines.append(line)
                if line == b"quit":
                    self.transport.loseConnection()

        lines = Lines()
        self.other.protocol = lines
        lines.makeConnection(self.other)
        self.transport.write(b"one\r\nquit\r\nthree\r\n")
        self.settle()
        self.assertEqual(lines.lines, [b"one", b"quit"])


class EndTests(TransportCase):
    def test_lose_connection_waits_for_the_data(self) -> None:
        """After everything has gone out; never from within the call; both hear that it was clean."""
        self.transport.write(bytes(MIB))
        self.transport.loseConnection()
        self.transport.loseConnection()
        self.assertTrue(self.transport.disconnecting)
        self.assertEqual(self.mine.calls, ["made"])
        self.over()
        self.assertEqual(len(self.theirs.received), MIB)
        for each in (self.mine, self.theirs):
            self.assertEqual(each.calls, ["made", "lost"])
            self.assertIsInstance(each.reason, ConnectionDone)
        self.assertEqual(self.gone, [self.mine, self.theirs])
        self.transport.write(b"too late")
        self.transport.loseConnection()
        self.transport.abortConnection()
        self.over()

    def test_nothing_is_read_after(self) -> None:
        """What comes after L{loseConnection}, or waited then, is dropped; the peer is not held up by it."""
        self.transport.pauseProducing()
        self.other.write(bytes(100 * KIB))
        self.settle()
        self.other.registerProducer(Producer(self.other, 1000), True)
        self.transport.registerProducer(Producer(self.transport, 0), True)
        self.transport.loseConnection()
        self.other.producer.resumeProducing()
        self.settle()
        self.assertEqual(self.mine.received, b"")
        self.assertEqual(self.mine.calls, ["made"])  # there is still a producer
        self.assertIsNone(self.other.producer)
        self.transport.unregisterProducer()
        self.over()
        self.assertEqual(self.mine.calls, ["made", "lost"])

    def test_stop_producing_closes_the_stream(self) -> None:
        """The consumer has read enough."""
        self.transport.stopProducing()
        self.over()
        self.assertIsInstance(self.mine.reason, ConnectionDone)

    def test_abort_ends_at_once_in_a_later_turn(self) -> None:
        """At once, but not from within the call."""
        self.transport.write(bytes(MIB))
        self.transport.abortConnection()
        self.transport.abortConnection()
        self.assertEqual(self.mine.calls, ["made"])
        self.over()
        self.assertEqual(self.theirs.received, b"")
        self.assertIsInstance(self.mine.reason, ConnectionAborted)
        reason = self.theirs.reason
        assert isinstance(reason, StreamReset)
        self.assertIsInstance(reason, ConnectionLost)
        self.assertEqual(
            (reason.reason, str(reason)), (StreamReason.ABORTED, "the stream was aborted: by the peer")
        )
        self.assertEqual((self.mine.calls, self.theirs.calls), (["made", "lost"], ["made", "lost"]))

    def test_abort_cuts_a_slow_close_short(self) -> None:
        """A close that does not come to an end can be cut short."""
        self.other.pauseProducing()
        self.transport.write(bytes(MIB))
        self.transport.loseConnection()
        self.settle()
        self.assertEqual(self.mine.calls, ["made"])
        self.transport.abortConnection()
        self.over()
        self.assertIsInstance(self.mine.reason, ConnectionAborted)

    def test_lost_link_is_the_reason_of_the_loss(self) -> None:
        self.transport.pauseProducing()
        self.other.write(b"unread")
        self.settle()
        self.pair.one.mux.end(ValueError("cut"))
        reason = self.mine.reason
        self.assertIsInstance(reason, StreamLinkLost)
        self.assertIsInstance(reason, ConnectionLost)
        self.assertEqual(str(reason), "the link to the peer is gone: cut")
        self.transport.resumeProducing()
        self.pair.clock.advance(0)
        self.assertEqual((self.mine.received, self.mine.calls), (b"", ["made", "lost"]))

    def test_peer_closes_before_all_is_sent(self) -> None:
        """What we wrote and could not send is lost: that is no clean end."""
        self.other.pauseProducing()
        self.transport.write(bytes(MIB))
        self.settle()
        self.other.loseConnection()
        self.over()
        reason = self.mine.reason
        assert isinstance(reason, StreamReset)
        self.assertIn("bytes were not sent", str(reason))
        self.assertIsInstance(self.theirs.reason, ConnectionDone)

    def test_peer_closes_while_we_do(self) -> None:
        """With a producer that has not come to its end, whose bytes nobody wants."""
        producer = Producer(self.transport, 1000)
        self.transport.registerProducer(producer, True)
        self.transport.loseConnection()
        self.other.loseConnection()
        self.over()
        self.assertEqual((self.mine.calls, producer.calls), (["made", "lost"], ["stop"]))

    def test_all_is_read_before_the_end(self) -> None:
        """The end comes after the data, even if it was paused meanwhile; what is written then is lost."""
        self.transport.pauseProducing()
        self.other.write(b"last words")
        self.other.loseConnection()
        self.settle()
        self.assertEqual((self.mine.received, self.mine.calls), (b"", ["made"]))
        self.transport.write(b"nobody listens")
        self.transport.resumeProducing()
        self.assertEqual(self.mine.received, b"")
        self.over()
        self.assertEqual((self.mine.received, self.mine.calls), (b"last words", ["made", "lost"]))
        assert isinstance(self.mine.reason, StreamReset)
        self.assertIn("14 bytes were not sent", str(self.mine.reason))


class HalfCloseTests(TransportCase):
    def setUp(self) -> None:
        self.set_up(HalfCloseable(), HalfCloseable())

    def test_one_direction_ends_by_itself(self) -> None:
        """One way ends; the other goes on until it ends as well, and then everything does."""
        self.transport.write(b"question")
        self.transport.loseWriteConnection()
        self.settle()
        self.assertEqual(
            (self.mine.calls, self.theirs.calls), (["made", "write lost"], ["made", "read lost"])
        )
        self.transport.write(b"no more")
        self.other.write(bytes(MIB))
        self.other.loseWriteConnection()
        self.over()
        self.assertEqual((self.theirs.received, len(self.mine.received)), (b"question", MIB))
        self.assertEqual(self.mine.calls, ["made", "write lost", "read lost", "lost"])
        self.assertEqual(self.theirs.calls, ["made", "read lost", "write lost", "lost"])
        self.assertIsInstance(self.mine.reason, ConnectionDone)

    def test_write_side_closes_after_the_producer(self) -> None:
        producer = Producer(self.transport, 100)
        self.transport.registerProducer(producer, True)
        self.transport.loseWriteConnection()
        producer.resumeProducing()
        self.settle()
        self.assertEqual((len(self.theirs.received), self.theirs.calls), (1_000_000, ["made", "read lost"]))

    def test_peer_that_reads_no_more_ends_both_ways(self) -> None:
        """A peer that reads no more: both ways are over."""
        self.other.loseConnection()
        self.over()
        self.assertEqual(self.mine.calls, ["made", "read lost", "lost"])
        self.assertIsInstance(self.mine.reason, ConnectionDone)

    def test_half_and_full_close(self) -> None:
        self.other.loseWriteConnection()
        self.settle()
        self.other.loseConnection()
        self.over()
        self.assertEqual(self.mine.calls, ["made", "read lost", "lost"])
        self.assertEqual(self.theirs.calls, ["made", "write lost", "lost"])

    def test_protocol_may_close_from_within_the_call(self) -> None:
        self.mine.readConnectionLost = self.transport.loseConnection  # type: ignore[attr-defined]
        self.transport.write(b"last words")
        self.other.loseWriteConnection()
        self.over()
        self.assertEqual(self.theirs.received, b"last words")
        self.assertEqual(self.mine.calls, ["made", "lost"])


class NotHalfCloseableTests(TransportCase):
    """A protocol that knows nothing of half-closed connections, as most."""

    def setUp(self) -> None:
        self.set_up(Noting(), HalfCloseable())

    def test_end_of_the_peer_ends_the_connection(self) -> None:
        """It loses its connection at once, and what it has written goes out all the same."""
        self.other.pauseProducing()
        self.transport.write(bytes(300 * KIB))
        self.settle()
        self.other.loseWriteConnection()
        self.settle()
        self.assertEqual(self.mine.calls, ["made", "lost"])
        self.other.resumeProducing()
        self.over()
        self.assertEqual((len(self.theirs.received), self.theirs.calls[-1]), (300 * KIB, "lost"))
        self.assertIsInstance(self.theirs.reason, ConnectionDone)

    def test_too_much_to_linger(self) -> None:
        """More than a system would keep is given up, visibly."""
        self.other.pauseProducing()
        self.transport.write(bytes(2 * MIB))
        self.settle()
        self.other.loseWriteConnection()
        self.over()
        self.assertIsInstance(self.mine.reason, ConnectionDone)
        self.assertIsInstance(self.theirs.reason, StreamReset)

    def test_lingering_data_may_be_in_vain(self) -> None:
        self.other.pauseProducing()
        self.transport.write(bytes(300 * KIB))
        self.settle()
        self.other.loseWriteConnection()
        self.settle()
        self.other.loseConnection()
        self.over()
        self.assertEqual(self.mine.calls, ["made", "lost"])


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

    def test_echo_to_nobody_later(self) -> None:
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

    def test_closed_with_an_echo(self) -> None:
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

    def test_no_delay_in_pausing(self) -> None:
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


class FailureTests(TransportCase):
    """Protocols and producers that raise: they lose their stream, and nobody else anything."""

    def fail(self, *arguments: object) -> None:
        raise ZeroDivisionError

    def broken(self, count: int = 1) -> None:
        self.over()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), count)
        self.assertIsInstance(self.theirs.reason, StreamReset)
        self.assertEqual(self.mine.calls[-1], "lost")
        self.assertIsInstance(self.mine.reason, ZeroDivisionError)

    def test_error_in_data_received_resets_the_stream(self) -> None:
        self.mine.dataReceived = self.fail  # type: ignore[method-assign, assignment]
        self.other.write(b"x")
        self.settle()
        self.broken()

    def test_error_in_make_connection_resets_the_stream(self) -> None:
        self.mine.makeConnection = self.fail  # type: ignore[method-assign, assignment]
        self.transport.start()
        self.broken()

    def test_error_in_a_producer_resets_the_stream(self) -> None:
        producer = Producer(self.transport, 100)
        self.transport.registerProducer(producer, True)
        producer.resumeProducing()
        producer.resumeProducing = self.fail  # type: ignore[method-assign]
        self.settle()
        self.broken()

    def test_error_in_connection_lost_is_logged(self) -> None:
        """Even then the rest is done."""
        self.mine.connectionLost = self.fail  # type: ignore[method-assign, assignment]
        self.transport.loseConnection()
        self.over()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.gone[0], self.mine)

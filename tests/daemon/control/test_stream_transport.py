"""
Streams on connections of the control socket: two transports in memory, each given what the other sends.
"""

from __future__ import annotations

from errno import ENOBUFS
from socket import SO_SNDBUF, SOL_SOCKET
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IConsumer, IPushProducer, ITCPTransport
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from routing_crust.daemon.control.chunks import MAX_CHUNK_BYTES, UNREAD_BYTES, ChunkKind, chunk_head
from routing_crust.daemon.control.stream_transport import SocketTransport
from routing_crust.errors import CloseReason, LinkClosed
from routing_crust.streams import NodeAddress, StreamLinkLost, StreamReason, StreamReset
from routing_crust.transports import IAbortsWithReason
from tests.streams.protocols import HalfCloseable, Noting

from ..fakes import ALICE, BOB

HERE, THERE = NodeAddress(ALICE, "web"), NodeAddress(BOB, "web")


class Wire:
    """One end of a connection, with what it has sent and not delivered."""

    other: Wire

    def __init__(self) -> None:
        self.user: Any = None
        self.sent = b""
        self.closing = self.paused = self.gone = False
        self.producer: Any = None

    def write(self, data: bytes) -> None:
        self.sent += data

    def loseConnection(self) -> None:
        self.closing = True

    def abortConnection(self) -> None:
        self.sent = b""
        self.closing = True

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self.producer, self.streamingProducer = producer, streaming

    def unregisterProducer(self) -> None:
        self.producer = None

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False

    def lose(self) -> None:
        if not self.gone:
            self.gone = True
            self.user.wire_lost(Failure(ConnectionLost()))

    def deliver(self, piece: int) -> bool:
        """Deliver, in pieces of that many bytes. Returns whether something has happened."""
        if self.sent and not self.other.paused:
            data, self.sent = self.sent[:piece], self.sent[piece:]
            if not (self.other.gone or self.other.closing):
                self.other.user.received(data)
            return True
        if self.closing and not self.sent and not self.gone:
            self.lose()
            self.other.lose()
            return True
        return False


class SocketHandle:
    """Notes the options that are set."""

    def __init__(self) -> None:
        self.options: list[tuple[int, ...]] = []
        self.refuses = False

    def setsockopt(self, *option: int) -> None:
        self.options.append(option)
        if self.refuses:
            raise OSError(ENOBUFS, "it is too much")


class Socket(Wire, FileDescriptor):
    """One that is a socket of Twisted's."""

    at_once = 0

    def __init__(self) -> None:
        Wire.__init__(self)
        FileDescriptor.__init__(self, self)
        self.connected = 1
        self.handle = SocketHandle()

    def getHandle(self) -> SocketHandle:
        return self.handle

    def writeSomeData(self, data: bytes) -> int:
        self.at_once += 1
        self.write(data)
        return len(data)


class SocketCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.wires = Wire(), Wire()
        self.wires[0].other, self.wires[1].other = self.wires[::-1]

    def begin(self, one: Noting, two: Noting) -> tuple[SocketTransport, SocketTransport]:
        transports = []
        later = lambda call: self.clock.callLater(0, call)  # noqa: E731
        for wire, protocol, host, peer in (
            (self.wires[0], one, HERE, THERE),
            (self.wires[1], two, THERE, HERE),
        ):
            wire.user = SocketTransport(wire, host, peer, later, "the other")
            wire.user.start(protocol)
            transports.append(wire.user)
        return transports[0], transports[1]

    def run_all(self, piece: int = 1 << 20) -> None:
        while True:
            self.clock.advance(0)
            happened = [each.deliver(piece) for each in self.wires]
            if not any(happened):
                if not self.clock.getDelayedCalls():
                    return


class FlowTests(SocketCase):
    def test_transport_provides_its_interfaces(self) -> None:
        one, _ = self.begin(Noting(), Noting())
        for each in (ITCPTransport, IConsumer, IPushProducer, IAbortsWithReason):
            verifyObject(each, one)
        one.setTcpNoDelay(False)
        one.setTcpKeepAlive(False)
        self.assertEqual((one.getTcpNoDelay(), one.getTcpKeepAlive()), (True, True))
        self.assertEqual((one.getHost(), one.getPeer()), (HERE, THERE))

    def test_bytes_arrive_intact_however_they_are_split(self) -> None:
        """Bytes arrive as they were sent, however the connection splits them, and however long they are."""
        for piece in (1, 4, 7, 65536):
            self.setUp()
            first, second = HalfCloseable(), HalfCloseable()
            one, two = self.begin(first, second)
            data = bytes(range(256)) * (3 if piece < 10 else MAX_CHUNK_BYTES // 100)
            one.write(data)
            one.writeSequence([b"a", b"b"])
            two.write(b"back")
            one.loseConnection()
            one.loseConnection()
            self.run_all(piece)
            self.assertEqual(second.received, data + b"ab")
            self.assertIsInstance(second.reason, ConnectionDone)
            self.assertIsInstance(first.reason, ConnectionDone)
            self.assertEqual(second.calls, ["made", "read lost", "lost"])
            one.write(b"late")
            one.loseWriteConnection()
            one.abortConnection()
            one.abort_because(Failure(ConnectionDone()))
            self.assertEqual(self.wires[0].sent, b"")

    def test_each_direction_ends_by_itself(self) -> None:
        """Each direction ends by itself; when both have, so has the connection."""
        first, second = HalfCloseable(), HalfCloseable()
        one, two = self.begin(first, second)
        one.write(b"all")
        one.loseWriteConnection()
        one.loseWriteConnection()
        one.write(b"more")
        self.run_all()
        self.assertEqual((second.received, second.calls), (b"all", ["made", "read lost"]))
        self.assertEqual(first.calls, ["made", "write lost"])
        two.write(b"late")
        two.loseWriteConnection()
        self.run_all()
        self.assertEqual(first.received, b"late")
        for each in (first, second):
            self.assertIsInstance(each.reason, ConnectionDone)
            self.assertEqual(each.calls.count("lost"), 1)

    def test_end_that_has_sent_all_may_close_first(self) -> None:
        """An end that has sent all may close before the other has."""
        first, second = HalfCloseable(), HalfCloseable()
        one, _ = self.begin(first, second)
        one.loseWriteConnection()
        one.loseConnection()
        self.run_all()
        for each in (first, second):
            self.assertIsInstance(each.reason, ConnectionDone)
        self.assertEqual(second.calls, ["made", "read lost", "lost"])

    def test_protocol_without_half_close_ends_with_the_other(self) -> None:
        """A protocol that does not know of them is done when the other has sent all; what it wrote goes."""
        first, second = HalfCloseable(), Noting()
        one, two = self.begin(first, second)
        two.write(b"answer")
        one.loseWriteConnection()
        self.run_all()
        self.assertIsInstance(second.reason, ConnectionDone)
        self.assertEqual(first.received, b"answer")
        self.assertIsInstance(first.reason, ConnectionDone)

    def test_paused_protocol_gets_nothing(self) -> None:
        """Nothing is delivered to who is paused, the end neither; what is there comes in a later turn."""
        second = HalfCloseable()
        one, two = self.begin(HalfCloseable(), second)
        one.write(b"one")
        one.write(b"two")
        dataReceived = second.dataReceived

        def once(data: bytes) -> None:
            dataReceived(data)
            two.pauseProducing()

        second.dataReceived = once  # type: ignore[method-assign]
        one.loseWriteConnection()
        chunk = len(self.wires[0].sent) // 2 - 2  # the end has no payload
        self.run_all(chunk)
        self.assertEqual((second.received, self.wires[1].paused), (b"one", True))
        two.resumeProducing()
        two.resumeProducing()
        self.assertEqual(second.received, b"one")
        self.run_all()
        self.assertEqual((second.received, self.wires[1].paused), (b"onetwo", True))
        self.assertEqual(second.calls, ["made"])
        two.resumeProducing()
        self.run_all()
        self.assertEqual((second.calls[-1], self.wires[1].paused), ("read lost", False))

    def test_bytes_of_one_read_come_in_one_call(self) -> None:
        first, second = HalfCloseable(), HalfCloseable()
        one, _ = self.begin(first, second)
        received: list[bytes] = []
        second.dataReceived = received.append  # type: ignore[method-assign]
        data = bytes(2 * MAX_CHUNK_BYTES + 1)
        one.write(data)
        one.write(b"behind")
        one.loseWriteConnection()
        self.run_all(4 * MAX_CHUNK_BYTES)
        (read,) = received
        # not a comparison of megabytes that would be shown
        self.assertTrue(read == data + b"behind")
        self.assertEqual(second.calls, ["made", "read lost"])

    def test_bytes_of_a_chunk_are_delivered_as_they_come(self) -> None:
        """No chunk waits for its last byte, and the next one is found behind it."""
        second = HalfCloseable()
        one, _ = self.begin(HalfCloseable(), second)
        one.write(b"all of it")
        self.wires[0].deliver(len(chunk_head(ChunkKind.DATA, b"")) + 3)
        self.assertEqual(second.received, b"all")
        one.loseWriteConnection()
        self.run_all()
        self.assertEqual((second.received, second.calls), (b"all of it", ["made", "read lost"]))

    def test_read_within_a_chunk_is_not_copied(self) -> None:
        second = HalfCloseable()
        _, two = self.begin(HalfCloseable(), second)
        received: list[bytes] = []
        second.dataReceived = received.append  # type: ignore[method-assign]
        two.received(chunk_head(ChunkKind.DATA, bytes(12)) + b"abc")
        read = b"defghij"
        two.received(read)
        two.received(b"kl" + chunk_head(ChunkKind.DATA, b"") + chunk_head(ChunkKind.DATA, b"m") + b"m")
        self.assertEqual(received, [b"abc", read, b"klm"])
        self.assertIs(received[1], read)

    def test_socket_is_given_room(self) -> None:
        """The kernel is asked to hold more than by itself, and may refuse."""
        for refuses in (False, True):
            first = Socket()
            first.handle.refuses = refuses
            self.wires = first, Wire()
            self.wires[0].other, self.wires[1].other = self.wires[::-1]
            self.begin(HalfCloseable(), HalfCloseable())
            self.assertEqual(first.handle.options, [(SOL_SOCKET, SO_SNDBUF, UNREAD_BYTES)])

    def test_socket_takes_bytes_at_once(self) -> None:
        """A socket is written to within the call, but for a producer that is asked once all is written."""
        for streaming in (True, False):
            self.wires = Socket(), Wire()
            self.wires[0].other, self.wires[1].other = self.wires[::-1]
            second = HalfCloseable()
            one, _ = self.begin(HalfCloseable(), second)
            one.registerProducer(one, streaming)
            one.write(b"some")
            self.assertEqual(bool(self.wires[0].at_once), streaming)
            self.run_all()
            self.assertEqual(second.received, b"some")

    def test_closing_waits_for_the_producer(self) -> None:
        """They are the connection's; closing waits until they are done."""

        class Producer:
            stopped = False

            def stopProducing(self) -> None:
                self.stopped = True

        second = HalfCloseable()
        one, two = self.begin(HalfCloseable(), second)
        producer = Producer()
        one.unregisterProducer()
        one.registerProducer(producer, True)
        self.assertIs(self.wires[0].producer, producer)
        one.loseConnection()
        two.write(b"ignored")
        self.run_all()
        self.assertIsNone(second.reason)
        one.write(b"rest")
        one.unregisterProducer()
        self.run_all()
        self.assertEqual(second.received, b"rest")
        self.assertIsInstance(second.reason, ConnectionDone)
        one.registerProducer(producer, True)
        self.assertTrue(producer.stopped)

    def test_close_of_the_other_end_waits_for_no_producer(self) -> None:
        one, two = self.begin(HalfCloseable(), HalfCloseable())
        one.registerProducer(one, True)
        two.loseConnection()
        self.run_all()
        self.assertTrue(self.wires[0].closing)
        self.assertIsNone(self.wires[0].producer)

    def test_stop_producing_closes_the_stream(self) -> None:
        second = HalfCloseable()
        one, _ = self.begin(HalfCloseable(), second)
        one.stopProducing()
        self.run_all()
        self.assertIsInstance(second.reason, ConnectionDone)


class EndTests(SocketCase):
    def test_aborted_stream_is_lost_for_the_other_end(self) -> None:
        """Without an end, what has come is not all: the other hears that the stream is lost."""
        first, second = HalfCloseable(), HalfCloseable()
        one, _ = self.begin(first, second)
        one.write(b"part")
        self.run_all()
        one.abortConnection()
        self.run_all()
        self.assertIsInstance(first.reason, ConnectionAborted)
        self.assertIsInstance(second.reason, StreamLinkLost)
        self.assertEqual(str(second.reason), "the link to the peer is gone: the other is gone")

    def test_reason_of_a_reset_is_told(self) -> None:
        """Why a stream was given up is told, in what can be told and in words."""
        for problem, kind, text in (
            (StreamReset(StreamReason.FAILED, "so"), StreamReset, "it failed: so"),
            (
                StreamLinkLost(LinkClosed(CloseReason.STOPPING)),
                StreamLinkLost,
                "the link to the peer is gone: the service is stopping",
            ),
            (ConnectionLost("hm"), StreamLinkLost, "hm"),
        ):
            self.setUp()
            first, second = HalfCloseable(), HalfCloseable()
            one, _ = self.begin(first, second)
            one.registerProducer(object(), True)
            one.write(b"before")
            one.abort_because(Failure(problem))
            one.abort_because(Failure(problem))
            one.write(b"after")
            self.run_all()
            self.assertEqual(second.received, b"before")
            self.assertIsInstance(second.reason, kind)
            self.assertIn(text, str(second.reason))
            self.assertIsInstance(first.reason, ConnectionAborted)

    def test_malformed_chunk_ends_the_connection(self) -> None:
        """What is no chunk, and a reason that cannot be read."""
        for data in (b"\x04\0\0\0\0", b"\0\0\x10\0\1", b"\3\0\0\0\1{"):
            self.setUp()
            second = HalfCloseable()
            self.begin(HalfCloseable(), second)
            self.wires[0].sent = data
            self.run_all()
            self.assertIsInstance(second.reason, ConnectionLost)
        self.setUp()
        second = HalfCloseable()
        self.begin(HalfCloseable(), second)
        self.wires[0].sent = b"\0\0\0\0\4good\4\0\0\0\0"
        self.run_all()
        self.assertEqual(second.received, b"good")
        self.assertIsInstance(second.reason, ConnectionLost)
        self.setUp()
        second = HalfCloseable()
        self.begin(HalfCloseable(), second)
        text = b'{"reason": 99, "text": "new"}'
        self.wires[0].sent = bytes([ChunkKind.RESET, 0, 0, 0, len(text)]) + text
        self.run_all()
        reason: Any = second.reason
        self.assertEqual((reason.reason, reason.detail), (StreamReason.UNKNOWN, "new"))

    def test_protocol_that_raises_loses_its_stream(self) -> None:
        """A protocol that raises loses its stream, and the other end hears; the same as it loses it."""

        class Broken(HalfCloseable):
            def dataReceived(self, data: bytes) -> None:
                raise ZeroDivisionError

            def connectionLost(self, reason: Failure = Failure(ConnectionDone())) -> None:  # noqa: B008
                super().connectionLost(reason)
                raise ZeroDivisionError

        gone: list[str] = []
        first, second = HalfCloseable(), Broken()
        one, two = self.begin(first, second)
        two.gone = lambda: gone.append("gone")
        one.write(b"x")
        self.run_all()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        self.assertIsInstance(second.reason, ZeroDivisionError)
        self.assertIsInstance(first.reason, StreamLinkLost)
        self.assertEqual(gone, ["gone"])

"""The transport of a stream as protocols see it."""

from __future__ import annotations

from twisted.internet.interfaces import IConsumer, IPushProducer, ITCPTransport
from twisted.protocols.basic import LineReceiver
from zope.interface.verify import verifyObject

from routing_crust.streams.errors import StreamReset

from .transport_case import ONE, TWO, Producer, TransportCase


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

"""Who takes streams, and what they carry."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone, ConnectionRefusedError, NoProtocol
from twisted.internet.ssl import Certificate, PrivateCertificate, optionsForClientTLS
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import implementer

from routing_crust.config import KIB, MIB
from routing_crust.routing.links.stream_layer import FIRST_STREAM_KIND
from routing_crust.streams import (
    EarlyData,
    IStreamAcceptor,
    NodeAddress,
    StreamReason,
    StreamReset,
    streams_of,
)

from .case import StreamsCase
from .protocols import Echo, Keeping, Noting


@implementer(IStreamAcceptor)
class Hesitant(Keeping):
    """Accepts later."""

    def __init__(self) -> None:
        super().__init__()
        self.decisions: list[Deferred[Any]] = []
        self.cancelled = 0

    def accept_stream(self, address: NodeAddress) -> Deferred[Any]:
        decision: Deferred[Any] = Deferred(self.cancel)
        self.decisions.append(decision)
        return decision

    def cancel(self, decision: Deferred[Any]) -> None:
        self.cancelled += 1


class AcceptorTests(StreamsCase):
    def setUp(self) -> None:
        super().setUp()
        self.one, self.two_ = self.two()
        self.factory = Hesitant()
        streams_of(self.one).listen("echo", self.factory)
        self.opened: list[Any] = []
        self.early = EarlyData()
        self.opening = streams_of(self.two_).open(self.one.node_name, "echo", Keeping(), early=self.early)
        self.opening.addBoth(self.opened.append)
        self.net.run(lambda: self.factory.decisions)

    def test_acceptor_may_accept_later(self) -> None:
        self.net.settle(10)
        self.assertEqual(self.opened, [])
        theirs = Echo()
        self.factory.decisions[0].callback(theirs)
        self.net.run(lambda: self.opened)
        self.opened[0].transport.write(b"hello")
        self.net.run(lambda: self.opened[0].received == b"hello")

    def test_first_bytes_wait_for_the_decision(self) -> None:
        self.early.write(b"first, ")
        self.net.settle(10)
        theirs = Noting()
        self.factory.decisions[0].callback(theirs)
        self.assertEqual(theirs.received, b"first, ")
        self.net.run(lambda: self.opened)
        self.opened[0].transport.write(b"second")
        self.net.run(lambda: theirs.received == b"first, second")

    def test_first_bytes_are_dropped_with_a_refusal(self) -> None:
        self.early.write(b"first" * KIB)
        self.net.settle(1)
        self.factory.decisions[0].errback(ConnectionRefusedError())
        self.net.run(lambda: self.opened)
        self.assertIs(self.opened[0].value.reason, StreamReason.FAILED)
        # the link is good for others
        streams_of(self.one).listen("other", Keeping(Echo))
        stream = self.open(self.two_, self.one.node_name, "other")
        stream.transport.write(b"hello")
        self.net.run(lambda: stream.received == b"hello")

    def test_acceptor_may_refuse_later_with_a_text(self) -> None:
        """The text of a failed connection is told: it is what an operator looks for."""
        self.factory.decisions[0].errback(ConnectionRefusedError())
        self.net.run(lambda: self.opened)
        error = self.opened[0].value
        self.assertIs(error.reason, StreamReason.FAILED)
        self.assertIn("Connection was refused by other side", str(error))

    def test_slow_acceptor_refuses_the_stream(self) -> None:
        """Both ends give up."""
        self.net.settle(31)
        self.assertEqual(self.opened[0].value.reason, StreamReason.TOO_SLOW)
        self.assertEqual(self.factory.cancelled, 1)

    def test_stream_is_asked_for_again_over_the_link_that_replaces_a_dead_one(self) -> None:
        """Nothing comes over the first link, so a second one is made, long before the time is over."""
        self.net.network.half_open(self.net.network.links[0])
        self.opening.cancel()
        self.opened.clear()
        streams_of(self.two_).open(self.one.node_name, "echo", Keeping()).addBoth(self.opened.append)
        self.net.run(lambda: len(self.factory.decisions) == 2, timeout=8)
        theirs = Echo()
        self.factory.decisions[1].callback(theirs)
        self.net.run(lambda: self.opened)
        self.opened[0].transport.write(b"hello")
        self.net.run(lambda: self.opened[0].received == b"hello")

    def test_cancelled_open_cancels_the_acceptor(self) -> None:
        """The opener gives up, and the acceptor hears of it."""
        self.opening.cancel()
        self.assertIsInstance(self.opened[0].value, CancelledError)
        self.net.run(lambda: self.factory.cancelled)
        self.net.settle(1)
        self.assertFalse(streams_of(self.two_).in_use(self.one.node_name))
        self.assertFalse(streams_of(self.one).in_use(self.two_.node_name))

    def test_opening_goes_on_over_another_link(self) -> None:
        """The acceptor decides while there is no link, and the answer comes with the next."""
        self.net.network.cut(self.net.network.links[0])
        self.net.settle(0.1)
        theirs = Echo()
        self.factory.decisions[0].callback(theirs)
        self.net.run(lambda: self.opened, timeout=10)
        self.opened[0].transport.write(b"hello")
        self.net.run(lambda: self.opened[0].received == b"hello")

    def test_late_decision_has_no_effect(self) -> None:
        """A decision after the peer has given up is of no effect."""
        decision: Deferred[Any] = Deferred(lambda cancelled: cancelled.callback(Noting()))
        self.factory.accept_stream = lambda address: decision  # type: ignore[method-assign]
        other = streams_of(self.two_).open(self.one.node_name, "echo", Keeping())
        self.net.settle(1)
        other.cancel()
        self.failureResultOf(other, CancelledError)
        self.net.settle(1)
        self.assertEqual(streams_of(self.one).status()["open"], {str(self.two_.node_name): 1})


class OwnFactoryTests(StreamsCase):
    """Our own factory may change its mind when the peer has accepted."""

    def test_factory_without_protocol_fails_the_open(self) -> None:
        one, two = self.two()
        served = Keeping()
        streams_of(one).listen("echo", served)

        class Nothing(Keeping):
            def buildProtocol(self, addr: Any) -> None:
                return None

        class Failing(Keeping):
            def buildProtocol(self, addr: Any) -> None:
                raise ZeroDivisionError

        for factory, error in ((Nothing(), NoProtocol), (Failing(), ZeroDivisionError)):
            self.fails(streams_of(two).open(one.node_name, "echo", factory), error)
            self.assertEqual(factory.running, 0)
        self.net.settle(1)
        self.assertEqual([type(each.reason) for each in served.made], [StreamReset, StreamReset])
        self.assertEqual(streams_of(two).status()["open"], {})


class FlowTests(StreamsCase):
    def setUp(self) -> None:
        super().setUp()
        self.one, self.two_ = self.two()
        self.served = Keeping()
        streams_of(self.one).listen("sink", self.served)

    def open_both(self) -> tuple[Any, Any]:
        mine = self.open(self.two_, self.one.node_name, "sink")
        return mine, self.served.made[-1]

    def test_unread_stream_stops_only_its_sender(self) -> None:
        """That stream's sender stops, and no other; when it reads again all comes."""
        slow, reader = self.open_both()
        quick, other = self.open_both()
        reader.transport.pauseProducing()
        slow.transport.write(bytes(4 * MIB))
        quick.transport.write(bytes(4 * MIB))
        self.net.run(lambda: len(other.received) == 4 * MIB)
        self.net.settle(100)
        self.assertEqual(reader.received, b"")
        self.assertEqual(slow.transport._stream.send_window, 0)
        self.net.result(self.two_.request(self.one.node_name, b"x").addErrback(lambda failure: None))
        reader.transport.resumeProducing()
        self.net.run(lambda: len(reader.received) == 4 * MIB)

    def test_messages_and_small_streams_go_ahead(self) -> None:
        """Counted in frames: beside eight bulk streams, a message and a few bytes of another come soon."""
        bulk = [self.open_both()[0] for _ in range(8)]
        small, reader = self.open_both()
        frames: list[tuple[int, bytes]] = []
        (sender,) = self.net.crust(self.two_).links
        send = sender.send
        sender.send = lambda kind, payload: (frames.append((kind, payload)), send(kind, payload))[1]  # type: ignore[method-assign]
        heard: list[bytes] = []
        self.one.set_message_handler(lambda message: heard.append(message.body))
        for each in bulk:
            each.transport.write(bytes(4 * MIB))
        self.net.run(lambda: len(frames) > 100)
        self.assertLess(sender.queued, 200 * KIB)
        at = len(frames)
        small.transport.write(b"hello")
        self.net.run(lambda: reader.received)
        number = small.transport._stream.head
        sent = next(i for i, (_, payload) in enumerate(frames) if i >= at and payload[:4] == number) - at
        self.assertLessEqual(sent, 4)
        at = len(frames)
        self.two_.send(self.one.node_name, b"message")
        self.net.run(lambda: heard)
        sent = next(i for i, (kind, _) in enumerate(frames) if i >= at and kind < FIRST_STREAM_KIND) - at
        self.assertLessEqual(sent, 1)
        del sender.send
        self.net.run(lambda: all(len(each.received) == 4 * MIB for each in self.served.made[:8]))


class TlsTests(StreamsCase):
    """TLS inside a stream, as for any other transport."""

    def test_tls_runs_over_a_stream(self) -> None:
        one, two = self.two()
        pem = CERTIFICATE.encode()
        both = PrivateCertificate.loadPEM(pem)
        served, opened = Keeping(Echo), Keeping()
        clock: Any = self.net.clock
        streams_of(one).listen("tls", TLSMemoryBIOFactory(both.options(), False, served, clock))
        options = optionsForClientTLS("example.net", trustRoot=Certificate(both.original))
        wrapped = TLSMemoryBIOFactory(options, True, opened, clock)
        self.net.result(streams_of(two).open(one.node_name, "tls", wrapped))
        mine = opened.made[0]
        data = bytes(range(256)) * 4096
        mine.transport.write(data)
        self.net.run(lambda: mine.received == data)
        self.assertEqual(mine.transport.getPeer(), NodeAddress(one.node_name, "tls"))
        mine.transport.loseConnection()
        self.net.run(lambda: mine.reason and served.made[0].reason)
        self.assertIsInstance(mine.reason, ConnectionDone)
        self.net.settle(1)
        self.assertEqual(streams_of(one).status()["open"], {})


def _certificate() -> str:
    from datetime import datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "example.net")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2020, 1, 1))
        .not_valid_after(datetime(2020, 1, 1) + timedelta(days=20_000))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("example.net")]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return (made.public_bytes(Encoding.PEM) + private).decode()


CERTIFICATE = _certificate()

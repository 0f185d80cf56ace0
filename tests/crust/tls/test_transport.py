"""What goes through our TLS transport, in which pieces, and how it ends."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import ISSLTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.crust.link.tls import ALPN
from routing_crust.crust.tls import transport
from routing_crust.crust.tls.places import PIECE_BYTES, READ_BYTES
from routing_crust.crust.tls.records import OVERHEAD_BYTES, RECORD_BYTES

from .pairs import End, Recorder, carry, pair

LARGE = bytes(range(256)) * 2048
"""Four pieces."""


class Producer:
    """Writes when it is resumed, and notes what it is told."""

    def __init__(self, data: bytes = b"") -> None:
        self.told: list[str] = []
        self.data = data
        self.to: Any = None

    def resumeProducing(self) -> None:
        self.told.append("resume")
        if self.data:
            data, self.data = self.data[:1000], self.data[1000:]
            self.to.write(data)
            if not self.data:
                self.to.unregisterProducer()

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def stopProducing(self) -> None:
        self.told.append("stop")


class PieceTests(SynchronousTestCase):
    """How much goes at once."""

    def setUp(self) -> None:
        self.client, self.server = pair()

    def test_large_write_is_handed_on_in_pieces(self) -> None:
        """Whole records of full size leave in one call for each two pieces."""
        self.client.transport.write(LARGE)
        whole = READ_BYTES + READ_BYTES // RECORD_BYTES * OVERHEAD_BYTES
        self.assertEqual([len(each) for each in self.client.below.sent], [whole] * 2)
        carry(self.client, self.server)
        self.assertEqual(self.server.protocol.data, LARGE)

    def test_protocol_is_given_all_records_of_a_read_at_once(self) -> None:
        for number in range(100):
            self.client.transport.write(b"%3d" % number)
        carry(self.client, self.server)
        self.assertEqual(len(self.server.protocol.received), 1)
        self.assertEqual(self.server.protocol.data, b"".join(b"%3d" % number for number in range(100)))

    def test_openssl_is_not_asked_for_more_than_has_come(self) -> None:
        asked: list[tuple[int, int]] = []
        read = transport.read_records

        def watched(session: Any, at: int, count: int) -> tuple[int, int]:
            asked.append((count, read(session, at, count)[0]))
            return asked[-1][1], 1

        self.patch(transport, "read_records", watched)
        self.client.transport.write(b"one")
        self.client.transport.write(b"two")
        data = self.client.take()
        self.server.transport.dataReceived(data[:30])
        self.server.transport.dataReceived(data[30:])
        self.assertEqual(asked, [(1, 3), (1, 3)])
        self.assertEqual(self.server.protocol.received, [b"one", b"two"])

    def test_large_read_goes_through_in_pieces(self) -> None:
        self.client.transport.write(LARGE)
        self.server.transport.dataReceived(self.client.take())
        # two pieces at a time, and of these the records that are whole
        sizes = [each * RECORD_BYTES for each in (15, 16, 1)]
        self.assertEqual([len(each) for each in self.server.protocol.received], sizes)
        self.assertEqual(self.server.protocol.data, LARGE)

    def test_rest_of_a_large_read_is_dropped_when_the_protocol_aborts(self) -> None:
        self.client.transport.write(LARGE)
        received: list[bytes] = []

        def abort(data: bytes) -> None:
            received.append(data)
            self.server.transport.abortConnection()

        self.server.protocol.dataReceived = abort  # type: ignore[method-assign]
        self.server.transport.dataReceived(self.client.take())
        self.assertEqual(len(received), 1)
        self.assertTrue(self.server.below.disconnecting)

    def test_protocol_may_use_another_session_from_within(self) -> None:
        """The places that all sessions share are empty whenever a protocol or a transport is called."""
        client, server = pair()
        received: list[bytes] = []

        def relay(data: bytes) -> None:
            client.transport.write(data[::-1])
            server.transport.dataReceived(client.take())
            received.append(data)

        self.server.protocol.dataReceived = relay  # type: ignore[method-assign]
        self.client.transport.write(LARGE)
        self.server.transport.dataReceived(self.client.take())
        self.assertEqual(b"".join(received), LARGE)
        self.assertEqual(server.protocol.data, b"".join(each[::-1] for each in received))

    def test_end_in_the_first_piece_of_a_read_leaves_nothing_behind(self) -> None:
        """What is decrypted and not delivered when a session fails is not given to the next one."""
        self.client.transport.write(LARGE)
        data = bytearray(self.client.take())
        data[PIECE_BYTES + 100] ^= 1
        self.server.transport.dataReceived(bytes(data))
        client, server = pair()
        client.transport.write(b"next")
        server.transport.dataReceived(client.take())
        self.assertEqual(server.protocol.data, b"next")
        self.assertEqual(self.server.protocol.data, LARGE[: len(self.server.protocol.data)])
        self.assertEqual(len(self.server.protocol.data), 7 * RECORD_BYTES)

    def test_nothing_is_sent_for_an_empty_write(self) -> None:
        self.client.transport.write(b"")
        self.client.transport.writeSequence([])
        self.assertEqual(self.client.take(), b"")

    def test_written_bytes_may_change_afterwards(self) -> None:
        data = bytearray(b"before" * 10000)
        self.client.transport.write(data)
        data[:] = bytes(len(data))
        carry(self.client, self.server)
        self.assertEqual(self.server.protocol.data, b"before" * 10000)


class SessionTests(SynchronousTestCase):
    """What a protocol may ask of its transport."""

    def test_protocol_can_ask_for_the_session(self) -> None:
        client, server = pair()
        self.assertTrue(ISSLTransport.providedBy(client.transport))
        self.assertEqual((client.protocol.shaken, server.protocol.shaken), (1, 1))
        for end, other in ((client, server), (server, client)):
            self.assertEqual(end.transport.negotiatedProtocol, ALPN)
            self.assertIsInstance(end.transport.getHandle(), SSL.Connection)
            shown = end.transport.getPeerCertificate().to_cryptography().public_key().public_bytes_raw()
            self.assertEqual(shown, other.tls._own.raw)

    def test_writes_before_the_handshake_come_after_it_in_order(self) -> None:
        client, server = End(1, True), End(2, False)
        for each in (b"first", LARGE, b"last"):
            client.transport.write(each)
        server.transport.write(b"hello")
        carry(client, server)
        self.assertEqual(server.protocol.data, b"first" + LARGE + b"last")
        self.assertEqual(client.protocol.data, b"hello")

    def test_push_producer_hears_of_the_connection_below(self) -> None:
        client, _ = pair()
        producer = Producer()
        client.transport.registerProducer(producer, True)
        client.below.producer.pauseProducing()
        client.below.producer.resumeProducing()
        self.assertEqual(producer.told, ["pause", "resume"])

    def test_push_producer_waits_for_the_handshake(self) -> None:
        client, server = End(1, True), End(2, False)
        producer = Producer()
        client.transport.registerProducer(producer, True)
        client.transport.write(LARGE)
        self.assertEqual(producer.told, ["pause"])
        carry(client, server)
        self.assertEqual(producer.told, ["pause", "resume"])
        self.assertEqual(server.protocol.data, LARGE)


class EndTests(SynchronousTestCase):
    """How connections end."""

    def setUp(self) -> None:
        self.client, self.server = pair()

    def test_what_was_written_comes_before_the_end(self) -> None:
        self.client.transport.write(LARGE)
        self.client.transport.loseConnection()
        self.client.transport.write(b"too late")
        carry(self.client, self.server)
        self.assertEqual(self.server.protocol.data, LARGE)
        for end in (self.client, self.server):
            self.assertTrue(end.below.disconnecting)
            end.transport.connectionLost(Failure(ConnectionDone()))
            self.assertEqual([each.type for each in end.protocol.lost], [ConnectionDone])

    def test_nothing_after_the_close_notify_is_delivered(self) -> None:
        self.client.transport.write(b"before")
        self.client.transport.loseConnection()
        closing = self.client.take()
        self.server.transport.dataReceived(closing + b"\x17\x03\x03\x00\x20" + bytes(32))
        self.assertEqual(self.server.protocol.data, b"before")
        self.server.transport.connectionLost(Failure(ConnectionDone()))
        self.assertEqual([each.type for each in self.server.protocol.lost], [ConnectionDone])

    def test_peer_may_still_send_until_it_has_answered_the_close_notify(self) -> None:
        self.client.transport.loseConnection()
        self.server.transport.write(LARGE)
        carry(self.client, self.server)
        self.assertEqual(self.client.protocol.data, LARGE)

    def test_connection_that_ends_without_a_close_notify_is_lost(self) -> None:
        self.client.transport.write(b"before")
        self.server.transport.dataReceived(self.client.take())
        self.server.transport.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.server.protocol.data, b"before")
        self.assertEqual([each.type for each in self.server.protocol.lost], [ConnectionLost])

    def test_damaged_record_ends_the_connection_after_what_came_before_it(self) -> None:
        """The peer is sent the alert."""
        self.client.transport.write(b"good")
        self.client.transport.write(b"damaged")
        data = bytearray(self.client.take())
        data[-1] ^= 1
        self.server.transport.dataReceived(bytes(data))
        self.assertEqual(self.server.protocol.data, b"good")
        self.assertTrue(self.server.below.disconnecting)
        self.client.transport.dataReceived(self.server.take())
        self.client.transport.connectionLost(Failure(ConnectionDone()))
        self.assertIn("bad record mac", str(self.client.protocol.lost[0].value))

    def test_header_that_cannot_be_ends_the_connection_at_once(self) -> None:
        self.server.transport.dataReceived(b"GET / HTTP/1.1")
        self.assertTrue(self.server.below.disconnecting)

    def test_nothing_is_delivered_after_an_abort_in_the_handshake(self) -> None:
        client, server = End(1, True), End(2, False)
        client.transport.write(b"behind the handshake")
        server.protocol.handshakeCompleted = server.transport.abortConnection  # type: ignore[method-assign]
        carry(client, server)
        self.assertEqual(server.protocol.received, [])
        self.assertTrue(server.below.disconnecting)

    def test_producer_delays_the_end(self) -> None:
        producer = Producer()
        self.client.transport.registerProducer(producer, True)
        self.client.transport.loseConnection()
        self.client.transport.write(b"more")
        self.assertFalse(self.client.below.disconnecting)
        self.client.transport.unregisterProducer()
        carry(self.client, self.server)
        self.assertEqual(self.server.protocol.data, b"more")
        self.assertTrue(self.server.below.disconnecting)

    def test_producer_of_a_connection_that_is_over_is_stopped(self) -> None:
        self.client.transport.loseConnection()
        carry(self.client, self.server)
        producer = Producer()
        self.client.transport.registerProducer(producer, True)
        self.assertEqual(producer.told, ["stop"])


class SplitTests(SynchronousTestCase):
    """However the bytes are split, they come, in order, once, up to where they end."""

    @settings(deadline=None, max_examples=60)
    @given(
        st.lists(st.tuples(st.booleans(), st.sampled_from([0, 1, 70, 16384, 16385, 200_000])), max_size=8),
        st.lists(st.tuples(st.booleans(), st.integers(1, 150_000)), max_size=30),
        st.booleans(),
    )
    def test_bytes_arrive_however_they_are_split(
        self, writes: list[tuple[bool, int]], cuts: list[tuple[bool, int]], before: bool
    ) -> None:
        client, server = (End(1, True), End(2, False)) if before else pair()
        wanted = {True: b"", False: b""}
        for number, (from_client, size) in enumerate(writes):
            data = bytes([number + 1]) * size
            (client if from_client else server).transport.write(data)
            wanted[from_client] += data
        flying = {True: b"", False: b""}
        for from_client, cut in [*cuts, *[(True, 1 << 20), (False, 1 << 20)] * 5]:
            flying[True] += client.take()
            flying[False] += server.take()
            data, flying[from_client] = flying[from_client][:cut], flying[from_client][cut:]
            if data:
                (server if from_client else client).transport.dataReceived(data)
        self.assertEqual(server.protocol.data, wanted[True])
        self.assertEqual(client.protocol.data, wanted[False])

    @settings(deadline=None, max_examples=60)
    @given(st.integers(0, 40_000), st.integers(1, 700), st.booleans(), st.integers(0, 3))
    def test_end_at_any_byte_delivers_whole_records_and_no_more(
        self, sent: int, cut: int, orderly: bool, splits: int
    ) -> None:
        """Whether the peer had closed is known only where its close_notify has come."""
        client, server = pair(Recorder(), Recorder())
        client.transport.write(bytes(sent))
        if orderly:
            client.transport.loseConnection()
        data = client.take()
        kept = data[: max(0, len(data) - cut + 1)]
        step = len(kept) // (splits + 1) + 1
        for at in range(0, len(kept), step):
            server.transport.dataReceived(kept[at : at + step])
        server.transport.connectionLost(Failure(ConnectionDone()))
        whole = kept == data
        self.assertEqual(len(server.protocol.lost), 1)
        lost = server.protocol.lost[0].type
        self.assertIs(lost, ConnectionDone if whole and orderly else ConnectionLost)
        if whole:
            self.assertEqual(len(server.protocol.data), sent)
        else:
            self.assertLessEqual(len(server.protocol.data), sent)
            self.assertIn(len(server.protocol.data) % RECORD_BYTES, {0, sent % RECORD_BYTES})

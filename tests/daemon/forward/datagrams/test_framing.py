"""Datagrams as bytes of a stream, and the queue of those that wait for it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.daemon.forward.datagrams.framing import (
    MAX_DATAGRAM_BYTES,
    QUEUE_BYTES,
    QUEUE_DATAGRAMS,
    DatagramQueue,
    DatagramReader,
    frame,
)
from routing_crust.errors import WireError


class FramingTests(SynchronousTestCase):
    def test_frame_is_the_length_and_the_datagram(self) -> None:
        """As DNS has it over TCP."""
        self.assertEqual(frame(b"abc"), b"\0\3abc")
        self.assertEqual(frame(b""), b"\0\0")
        self.assertEqual(frame(bytes(MAX_DATAGRAM_BYTES))[:2], b"\xff\xe3")

    def test_datagrams_are_read_wherever_the_stream_is_cut(self) -> None:
        sent = [b"", b"a", bytes(300), b"", b"end"]
        wire = b"".join(map(frame, sent))
        for size in (1, 2, 3, 7, 301, len(wire)):
            reader = DatagramReader()
            pieces = [wire[at : at + size] for at in range(0, len(wire), size)]
            self.assertEqual([each for piece in pieces for each in reader.feed(piece)], sent)

    def test_longer_ones_than_udp_carries_are_no_datagrams(self) -> None:
        self.assertRaises(WireError, frame, bytes(MAX_DATAGRAM_BYTES + 1))
        reader = DatagramReader()
        got: list[bytes] = []
        with self.assertRaises(WireError):
            got.extend(reader.feed(frame(b"good") + b"\xff\xe4"))
        self.assertEqual(got, [b"good"])

    @given(st.lists(st.binary(max_size=100), max_size=20))
    def test_any_bytes_are_datagrams_or_an_error_and_little_is_kept(self, pieces: list[bytes]) -> None:
        reader = DatagramReader()
        for piece in pieces:
            try:
                got = list(reader.feed(piece))
            except WireError:
                return
            self.assertLessEqual(sum(map(len, got)), sum(map(len, pieces)))
            self.assertLess(len(reader._held), MAX_DATAGRAM_BYTES + 2)


class QueueTests(SynchronousTestCase):
    def test_oldest_goes_when_there_are_too_many(self) -> None:
        queue = DatagramQueue()
        dropped = [queue.put(number.to_bytes(2, "big")) for number in range(QUEUE_DATAGRAMS + 3)]
        self.assertEqual(dropped, [0] * QUEUE_DATAGRAMS + [1] * 3)
        self.assertEqual((len(queue), queue.take()), (QUEUE_DATAGRAMS, b"\0\3"))

    def test_oldest_go_when_they_take_too_much(self) -> None:
        """The newest stays in any case."""
        queue = DatagramQueue()
        size = QUEUE_BYTES // 10
        for _ in range(10):
            self.assertEqual(queue.put(bytes(size)), 0)
        self.assertEqual(queue.put(bytes(MAX_DATAGRAM_BYTES)), 3)
        self.assertLessEqual(sum(len(queue.take()) for _ in range(len(queue))), QUEUE_BYTES)
        self.assertEqual(queue.put(b"again"), 0)

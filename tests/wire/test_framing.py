"""Frames: whatever the splits of the stream, the same frames; whatever the bytes, nothing but a WireError."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.errors import CloseReason, WireError
from routing_crust.wire.framing import (
    HEADER_BYTES,
    MAX_FRAME_PAYLOAD_BYTES,
    FrameDecoder,
    FrameKind,
    frame_header,
)

LIMIT = 300
SUBJECT = object()

frames = st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=LIMIT)), max_size=12)
properties = settings(deadline=None, derandomize=True)

Frame = tuple[int, bytes]


def stream(sent: list[Frame]) -> bytes:
    """The bytes of these frames."""
    return b"".join(frame_header(kind, len(payload)) + payload for kind, payload in sent)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """The bytes, cut at these places."""
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(places)]


class Receiver:
    """Takes frames from a decoder and remembers how they came."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.got: list[Frame] = []
        self.by: list[str] = []
        self.decoder = FrameDecoder(limit, self.deliver, SUBJECT, self.control)

    def deliver(self, subject: object, kind: int, payload: bytes) -> None:
        assert subject is SUBJECT
        self.got.append((kind, payload))
        self.by.append("deliver")

    def control(self, kind: int, payload: bytes) -> None:
        self.got.append((kind, payload))
        self.by.append("control")

    @property
    def held(self) -> int:
        """How many bytes the decoder keeps."""
        return len(self.decoder._head) + sum(map(len, self.decoder._gathered))


class FrameDecoderTests(SynchronousTestCase):
    """The decoder."""

    @properties
    @given(frames, st.lists(st.integers(0, 1 << 16), max_size=40))
    def test_same_frames_come_out_however_the_stream_is_cut(self, sent: list[Frame], cuts: list[int]) -> None:
        """The same frames come out however the stream is cut, and nothing is left over."""
        receiver = Receiver()
        for piece in pieces(stream(sent), cuts):
            receiver.decoder.feed(piece)
            self.assertLess(receiver.held, LIMIT + HEADER_BYTES)
        self.assertEqual(receiver.got, sent)
        self.assertEqual(receiver.held, 0)

    def test_frames_are_decoded_byte_by_byte(self) -> None:
        sent = [(1, b""), (200, b"abc"), (5, b"x" * 20), (6, b""), (255, b"y" * LIMIT)]
        receiver = Receiver()
        for byte in stream(sent):
            receiver.decoder.feed(bytes([byte]))
        self.assertEqual(receiver.got, sent)

    @properties
    @given(frames, st.lists(st.integers(0, 1 << 16), max_size=10))
    def test_frames_of_the_link_and_of_users_go_separate_ways(
        self, sent: list[Frame], cuts: list[int]
    ) -> None:
        """The link's own kinds go one way, all others the other."""
        receiver = Receiver()
        for piece in pieces(stream(sent), cuts):
            receiver.decoder.feed(piece)
        self.assertEqual(
            receiver.by, ["control" if kind <= FrameKind.GOODBYE else "deliver" for kind, _ in sent]
        )

    @properties
    @given(st.binary(max_size=2000), st.lists(st.integers(0, 1 << 16), max_size=10))
    def test_any_bytes_give_frames_within_the_limit_or_a_wire_error(
        self, data: bytes, cuts: list[int]
    ) -> None:
        """Any bytes give frames within the limit, or a WireError; never more than a frame is kept."""
        receiver = Receiver()
        try:
            for piece in pieces(data, cuts):
                receiver.decoder.feed(piece)
                self.assertLess(receiver.held, LIMIT + HEADER_BYTES)
        except WireError as error:
            self.assertIs(error.reason, CloseReason.PROTOCOL_ERROR)
        self.assertTrue(all(len(payload) <= LIMIT for _, payload in receiver.got))
        self.assertTrue(data.startswith(stream(receiver.got)))

    def test_oversized_frame_is_refused_before_it_is_buffered(self) -> None:
        """A frame that is too large is refused at its header, with nothing of it kept."""
        for first in (b"", stream([(6, b"fine")])):
            receiver = Receiver()
            error = self.assertRaises(
                WireError, receiver.decoder.feed, first + frame_header(6, LIMIT + 1) + b"its beginning"
            )
            self.assertEqual(str(error), "a frame of 301 bytes is over the limit of 300")
            self.assertEqual(receiver.held, 0)
            self.assertEqual(len(receiver.got), 1 if first else 0)

    def test_limit_holds_for_a_split_header(self) -> None:
        receiver = Receiver()
        header = frame_header(6, MAX_FRAME_PAYLOAD_BYTES)
        receiver.decoder.feed(header[:3])
        self.assertRaises(WireError, receiver.decoder.feed, header[3:])

    def test_limit_changed_during_a_delivery_holds_from_the_next_frame(self) -> None:
        """The limit may be changed while a frame is delivered, and holds from the next one."""
        receiver = Receiver(4)

        def widen(subject: object, kind: int, payload: bytes) -> None:
            receiver.decoder.limit = MAX_FRAME_PAYLOAD_BYTES
            receiver.got.append((kind, payload))

        receiver.decoder._deliver = widen
        sent = [(6, b"four"), (7, b"x" * 70_000)]
        receiver.decoder.feed(stream(sent))
        self.assertEqual(receiver.got, sent)

    @properties
    @given(frames.filter(bool), st.lists(st.integers(0, 1 << 16), max_size=10), st.integers(0, 11))
    def test_nothing_is_delivered_or_kept_after_a_stop(
        self, sent: list[Frame], cuts: list[int], last: int
    ) -> None:
        """After a stop nothing is delivered, not even the rest of the chunk, and nothing is kept."""
        receiver = Receiver()
        last %= len(sent)

        def take(kind: int, payload: bytes) -> None:
            receiver.got.append((kind, payload))
            if len(receiver.got) > last:
                receiver.decoder.stop()

        receiver.decoder._control = take
        receiver.decoder._deliver = lambda subject, kind, payload: take(kind, payload)
        for piece in pieces(stream([*sent, *sent]), cuts):
            receiver.decoder.feed(piece)
        self.assertEqual(receiver.got, sent[: last + 1])
        self.assertEqual(receiver.held, 0)

    def test_stopped_decoder_ignores_any_bytes(self) -> None:
        """What comes after a stop is not even looked at."""
        receiver = Receiver()
        receiver.decoder.feed(frame_header(6, 10) + b"half")
        receiver.decoder.stop()
        receiver.decoder.feed(frame_header(6, MAX_FRAME_PAYLOAD_BYTES))
        receiver.decoder.feed(b"x")
        self.assertEqual((receiver.got, receiver.held), ([], 0))


class HeaderTests(SynchronousTestCase):
    """Headers as they are documented."""

    def test_header_is_the_kind_and_a_24_bit_length(self) -> None:
        self.assertEqual(frame_header(0x86, 0x012345), b"\x86\x01\x23\x45")
        self.assertEqual(frame_header(255, MAX_FRAME_PAYLOAD_BYTES), b"\xff" * HEADER_BYTES)

    def test_frame_kinds_keep_their_numbers(self) -> None:
        """These numbers are on the wire and must never change."""
        self.assertEqual(
            {each.name: int(each) for each in FrameKind if each <= 8},
            {
                "HEARTBEAT": 1,
                "HELLO": 2,
                "CONFIRMATION": 3,
                "CONFIRMATION_ACK": 4,
                "GOODBYE": 5,
                "ENVELOPE": 6,
                "MESSAGE": 7,
                "ACK": 8,
            },
        )

"""The frames of streams: what is written can be read, and nothing else can."""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.errors import WireError
from routing_crust.streams.frames import (
    MAX_DETAIL_BYTES,
    MAX_WINDOW_BYTES,
    StreamReason,
    check_protocol,
    open_frame,
    opened_frame,
    pack_number,
    pack_two,
    read_amount,
    read_close,
    read_nothing,
    read_open,
    read_opened,
    read_reason,
    reason_frame,
    stream_of,
)

numbers = st.integers(0, 2**32 - 1)
windows = st.integers(0, MAX_WINDOW_BYTES)
protocols = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}", fullmatch=True)


class FrameTests(SynchronousTestCase):
    @given(numbers, windows, numbers, protocols)
    def test_open_holds_window_survival_and_protocol(
        self, number: int, window: int, survival: int, protocol: str
    ) -> None:
        frame = open_frame(number, window, survival, protocol)
        self.assertEqual((stream_of(frame), *read_open(frame)), (number, window, survival, protocol))
        frame = opened_frame(number, window, survival)
        self.assertEqual((stream_of(frame), *read_opened(frame)), (number, window, survival))

    def test_survival_is_rounded_up_and_has_a_bound(self) -> None:
        """A part of a second must not become none, which would end the stream with its link."""
        for wanted, sent in ((0, 0), (0.1, 1), (600.0, 600), (1e12, (1 << 32) - 1)):
            self.assertEqual(read_opened(opened_frame(1, 2, wanted))[1], sent)

    @given(numbers, windows)
    def test_amounts_are_read_as_written(self, number: int, amount: int) -> None:
        frame = pack_two(number, amount)
        self.assertEqual((stream_of(frame), read_amount(frame)), (number, amount))

    @given(numbers, st.sampled_from(StreamReason), st.text())
    def test_detail_of_a_reason_is_safe_to_log(self, number: int, reason: StreamReason, detail: str) -> None:
        """Whatever the detail is, what is read can be put into a log."""
        frame = reason_frame(number, reason, detail)
        read, text = read_reason(frame)
        self.assertEqual((stream_of(frame), read), (number, reason))
        self.assertTrue(all(" " <= each <= "~" for each in text))
        self.assertLessEqual(len(text), MAX_DETAIL_BYTES)
        if detail.isascii() and detail.isprintable():
            self.assertEqual(text, detail[:MAX_DETAIL_BYTES])

    def test_reason_of_a_later_version_is_unknown(self) -> None:
        """A reason of a later version is one that is not known."""
        self.assertEqual(read_reason(pack_number(1) + b"\xff"), (StreamReason.UNKNOWN, ""))

    def test_close_says_what_has_cut_the_stream_off(self) -> None:
        self.assertIsNone(read_close(pack_number(1)))
        frame = reason_frame(1, StreamReason.FAILED, "so")
        self.assertEqual(read_close(frame), (StreamReason.FAILED, "so"))
        self.assertRaises(WireError, read_close, frame + bytes(MAX_DETAIL_BYTES))

    def test_frame_without_content_is_checked(self) -> None:
        read_nothing(pack_number(1))
        self.assertRaises(WireError, read_nothing, pack_number(1) + b"x")

    @given(st.binary(max_size=80))
    def test_any_bytes_are_read_or_refused(self, payload: bytes) -> None:
        """Any bytes are either read or refused with the one error that closes links."""
        for read in (stream_of, read_open, read_opened, read_amount, read_nothing, read_close):
            with contextlib.suppress(WireError):
                read(payload)

    def test_malformed_frames_are_refused(self) -> None:
        number = pack_number(7)
        for read, payload in (
            (stream_of, b"abc"),
            (read_open, number + bytes(8)),
            (read_open, number + bytes(8) + b"x" * 65),
            (read_open, number + bytes(8) + b"a/b"),
            (read_open, number + bytes(8) + "é".encode()),
            (read_open, number + b"\xff\xff\xff\xff" + bytes(4) + b"echo"),
            (read_opened, number + b"\x80\x00\x00\x00" + bytes(4)),
            (read_opened, number + bytes(4)),
            (read_opened, number + bytes(9)),
            (read_amount, number + b"\x80\x00\x00\x00"),
            (read_amount, number),
            (read_amount, number + bytes(5)),
            (read_reason, number),
            (read_reason, number + b"\x00" + bytes(MAX_DETAIL_BYTES + 1)),
        ):
            self.assertRaises(WireError, read, payload)

    def test_protocol_names_are_checked(self) -> None:
        """What may be called what."""
        for good in ("ssh", "a", "HTTP-1.1", "x" * 64, "9p+tls"):
            self.assertEqual(check_protocol(good), good)
        for bad in ("", "x" * 65, "a b", "a/b", "-a", "é", "a\n"):
            self.assertRaises(ValueError, check_protocol, bad)

    def test_each_reason_has_its_own_text(self) -> None:
        """Each reason has words of its own."""
        texts = [each.text for each in StreamReason]
        self.assertEqual(len(set(texts)), len(texts))

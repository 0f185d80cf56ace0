"""
A peer that does not keep to the protocol: every frame in every state is either allowed, or refused with a
reason, or the end of the link.
"""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import KIB
from routing_crust.errors import WireError
from routing_crust.streams.frames import (
    EARLY_BYTES,
    MAX_WINDOW_BYTES,
    StreamFrame,
    StreamReason,
    open_frame,
    opened_frame,
    pack_number,
    pack_two,
    reason_frame,
)
from routing_crust.streams.multiplexing import resets

from ..ends import End, Recorder

F = StreamFrame
OURS, THEIRS = 1, 2


def frame(kind: StreamFrame, number: int) -> tuple[int, bytes]:
    """A frame of this kind that is well formed."""
    if kind is F.OPEN:
        return kind, open_frame(number, 1000, 600, "echo")
    if kind is F.OPENED:
        return kind, opened_frame(number, 1000, 600)
    if kind is F.CREDIT:
        return kind, pack_two(number, 1000)
    if kind in (F.REFUSED, F.RESET):
        return kind, reason_frame(number, StreamReason.ABORTED, "")
    return kind, pack_number(number) + (b"data" if kind is F.DATA else b"")


def opening(end: End) -> int:
    end.open()
    return OURS


def cancelled(end: End) -> int:
    end.open()[0].reset(StreamReason.CANCELLED)
    return OURS


def asked(end: End) -> int:
    end.decide = end.later
    end.mux.receive(*frame(F.OPEN, THEIRS))
    return THEIRS


def open_(end: End) -> int:
    end.mux.receive(*frame(F.OPEN, THEIRS))
    return THEIRS


def open_ours(end: End) -> int:
    end.open()
    end.mux.receive(*frame(F.OPENED, OURS))
    return OURS


def we_finished(end: End) -> int:
    end.mux.streams[open_(end)].finish()
    end.feed()
    return THEIRS


def we_closed(end: End) -> int:
    end.mux.streams[open_(end)].close()
    end.feed()
    return THEIRS


def we_reset(end: End) -> int:
    end.mux.streams[open_(end)].reset(StreamReason.ABORTED)
    return THEIRS


def they_finished(end: End) -> int:
    end.mux.receive(*frame(F.FIN, open_(end)))
    return THEIRS


def they_closed(end: End) -> int:
    end.mux.receive(*frame(F.CLOSE, open_(end)))
    return THEIRS


def both_closed(end: End) -> int:
    end.mux.receive(*frame(F.CLOSE, we_closed(end)))
    return THEIRS


def they_reset(end: End) -> int:
    end.mux.receive(*frame(F.RESET, open_(end)))
    return THEIRS


def we_refused(end: End) -> int:
    end.decide = lambda stream: stream.refuse(StreamReason.NOT_OFFERED)
    end.mux.receive(*frame(F.OPEN, THEIRS))
    return THEIRS


def they_refused(end: End) -> int:
    end.mux.receive(*frame(F.REFUSED, opening(end)))
    return OURS


def never_ours(end: End) -> int:
    return OURS


def never_theirs(end: End) -> int:
    return THEIRS


# What is allowed in each state; everything else breaks the protocol.
ALLOWED: dict[Callable[[End], int], set[StreamFrame]] = {
    never_ours: set(),
    never_theirs: {F.OPEN, F.RESET},
    opening: {F.OPENED, F.REFUSED},
    cancelled: {F.OPENED, F.REFUSED},
    asked: {F.DATA, F.RESET},
    open_: {F.DATA, F.CREDIT, F.FIN, F.CLOSE, F.RESET},
    open_ours: {F.DATA, F.CREDIT, F.FIN, F.CLOSE, F.RESET},
    we_finished: {F.DATA, F.CREDIT, F.FIN, F.CLOSE, F.RESET},
    we_closed: {F.DATA, F.CREDIT, F.FIN, F.CLOSE, F.RESET},
    we_reset: {F.DATA, F.CREDIT, F.FIN, F.CLOSE, F.RESET},
    they_finished: {F.CREDIT, F.CLOSE, F.RESET},
    they_closed: set(),
    both_closed: {F.RESET},
    they_reset: {F.RESET},
    we_refused: {F.DATA, F.RESET},  # which may have crossed our REFUSED
    they_refused: set(),
}


class StateTests(SynchronousTestCase):
    def test_every_state_answers_every_frame(self) -> None:
        for state, allowed in ALLOWED.items():
            for kind in StreamFrame:
                end = End(True)
                number = state(end)
                try:
                    end.mux.receive(*frame(kind, number))
                except WireError:
                    self.assertNotIn(kind, allowed, (state.__name__, kind))
                else:
                    self.assertIn(kind, allowed, (state.__name__, kind))

    def test_last_frame_is_answered(self) -> None:
        """Whatever state we are in, a RESET and a CLOSE leave nothing behind once we have said our last."""
        for state, allowed in ALLOWED.items():
            for kind in (F.RESET, F.CLOSE):
                if kind not in allowed or state is never_theirs:
                    continue
                end = End(True)
                number = state(end)
                end.mux.receive(*frame(kind, number))
                if number in end.mux.streams:
                    self.assertIs(kind, F.CLOSE)
                    end.mux.streams[number].close()
                    end.feed()
                self.assertEqual(end.mux.streams, {}, (state.__name__, kind))
                ours = [each for each in end.kinds() if each in (F.RESET, F.CLOSE, F.REFUSED)]
                self.assertEqual(len(ours), 1, (state.__name__, kind))

    @given(st.lists(st.tuples(st.integers(30, 45), st.integers(0, 5), st.binary(max_size=20)), max_size=30))
    def test_any_frames_raise_only_wire_errors(self, frames: list[tuple[int, int, bytes]]) -> None:
        """Any frames at all: nothing but the one error, and no more streams than there may be."""
        end = End(True, max_streams=2)
        end.open()
        for kind, number, payload in frames:
            try:
                end.mux.receive(kind, pack_number(number) + payload)
            except WireError:
                break
            self.assertLessEqual(len(end.mux.streams), 3)


class ViolationTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(resets, "MAX_STREAM_RESETS", 5)
        self.end = End(True, max_streams=4)

    def refused(self, kind: StreamFrame, payload: bytes, *words: str) -> None:
        error = self.assertRaises(WireError, self.end.mux.receive, kind, payload)
        for word in words:
            self.assertIn(word, str(error))

    def receive(self, kind: StreamFrame, number: int) -> None:
        self.end.mux.receive(*frame(kind, number))

    def opened(self) -> Recorder:
        self.receive(F.OPEN, THEIRS)
        return self.end.handlers[THEIRS]

    def test_no_more_crosses_a_refusal_than_may_be_on_its_way(self) -> None:
        """In pieces of any size, but for empty ones, and not after an orderly end."""
        self.end.decide = lambda stream: stream.refuse(StreamReason.NOT_OFFERED)
        self.end.mux.receive(*frame(F.OPEN, THEIRS))
        self.refused(F.DATA, pack_number(THEIRS), "not open")
        for size in (1, EARLY_BYTES - 1):
            self.end.mux.receive(F.DATA, pack_number(THEIRS) + bytes(size))
        self.refused(F.DATA, pack_number(THEIRS) + b"x", "not open")

    def test_data_beyond_the_credit_is_refused(self) -> None:
        """One byte more than there was credit for; nothing of it is reported."""
        handler = self.opened()
        handler.reading = False
        number = pack_number(THEIRS)
        for _ in range(4):
            self.end.mux.receive(F.DATA, number + bytes(64 * KIB))
        self.refused(F.DATA, number + b"x", "credit for 0")
        self.assertEqual(handler.unread, 256 * KIB)

    def test_window_holds_for_a_stream_that_was_given_up(self) -> None:
        """The window holds for a stream that we have given up, too."""
        self.opened()
        self.end.mux.streams[THEIRS].reset(StreamReason.ABORTED)
        for _ in range(4):
            self.end.mux.receive(F.DATA, pack_number(THEIRS) + bytes(64 * KIB))
        self.refused(F.DATA, pack_number(THEIRS) + b"x")

    def test_empty_data_is_refused(self) -> None:
        """A DATA without data would cost us something and them nothing."""
        self.opened()
        self.refused(F.DATA, pack_number(THEIRS), "without data")

    def test_credit_cannot_overflow_the_window(self) -> None:
        self.opened()
        self.end.mux.receive(F.CREDIT, pack_two(THEIRS, MAX_WINDOW_BYTES - 1000))
        self.refused(F.CREDIT, pack_two(THEIRS, 1), str(MAX_WINDOW_BYTES))

    def test_credit_of_nothing_is_refused(self) -> None:
        self.opened()
        self.refused(F.CREDIT, pack_two(THEIRS, 0))

    def test_stream_numbers_must_grow(self) -> None:
        """Not ours, not one that was used, not a smaller one; gaps are allowed."""
        self.refused(*frame(F.OPEN, 1))
        self.refused(*frame(F.OPEN, 0))
        self.receive(F.OPEN, 6)
        self.refused(*frame(F.OPEN, 4), "4 cannot be")
        self.receive(F.CLOSE, 6)
        self.end.mux.streams[6].close()
        self.end.feed()
        self.refused(*frame(F.OPEN, 6))
        self.receive(F.OPEN, 8)

    def test_unknown_kind_is_refused(self) -> None:
        self.opened()
        error = self.assertRaises(WireError, self.end.mux.receive, 60, pack_number(THEIRS))
        self.assertIn("kind 60", str(error))
        self.assertRaises(WireError, self.end.mux.receive, 60, pack_number(4))

    def test_streams_beyond_the_limit_cost_no_memory(self) -> None:
        """However many it opens: those beyond the limit are refused, and cost no memory."""
        for number in range(2, 2002, 2):
            self.receive(F.OPEN, number)
        self.assertEqual(len(self.end.mux.streams), 4)
        self.assertEqual(self.end.kinds(), [F.OPENED] * 4 + [F.REFUSED] * 996)

    def test_flood_of_resets_ends_the_link(self) -> None:
        """Opening and resetting, again and again, ends the link; slowly it is allowed."""
        number = 2
        for _ in range(5):
            self.receive(F.OPEN, number)
            self.receive(F.RESET, number)
            number += 2
        self.receive(F.OPEN, number)
        self.refused(*frame(F.RESET, number), "more than 5 resets")
        self.end = End(True)
        for _ in range(50):
            self.receive(F.OPEN, number)
            self.receive(F.RESET, number)
            self.end.clock.advance(2.1)
            number += 2
        self.assertEqual(self.end.mux.streams, {})

    def test_resets_of_refused_streams_count(self) -> None:
        """Resets of streams that we have refused count as well."""
        for _ in range(5):
            self.receive(F.RESET, 2)
        self.refused(*frame(F.RESET, 2), "resets")

    def test_answers_are_not_a_flood(self) -> None:
        """Resets that answer ours are not counted."""
        number = 2
        for _ in range(50):
            self.receive(F.OPEN, number)
            self.end.mux.streams[number].reset(StreamReason.ABORTED)
            self.end.clock.advance(3)
            self.receive(F.RESET, number)
            number += 2
        self.assertEqual(self.end.mux.streams, {})

"""
Two ends against a model: whatever is done in whatever order, and however the bytes between them are split,
each end gets what the other has written, and nothing is left in the end.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.streams.frames import Cause, StreamReason
from routing_crust.streams.multiplexing import resets
from routing_crust.streams.multiplexing.machine import Side
from routing_crust.streams.multiplexing.stream import Stream
from routing_crust.streams.multiplexing.windows import Windows
from routing_crust.wire.framing import FrameDecoder, frame_header

from ..ends import End, Pair, Recorder

WINDOW = 16 * 1024
SETTINGS = {
    "max_streams": 64,  # so that the small windows are smaller than the full ones
    "stream_window": WINDOW,
    "stream_memory": 1 << 21,
}
ends = st.integers(0, 1)
which = st.integers(0, 7)


@dataclass
class User:
    """One end of a stream, as the model sees it."""

    stream: Stream
    handler: Recorder
    written: bytearray = field(default_factory=bytearray)
    opened: bool = False
    finished: bool = False
    closed: bool = False
    given_up: bool = False

    @property
    def done(self) -> bool:
        """Whether nothing more may be asked of the stream."""
        ended = any(event[0] in ("refused", "reset", "lost") for event in self.handler.events)
        return ended or self.given_up or self.closed


class Wire:
    """Bytes from one end to the other, cut into frames as on a link."""

    def __init__(self, source: End, target: End) -> None:
        self.source, self.target = source, target
        self.bytes = bytearray()
        self.decoder: FrameDecoder[None] = FrameDecoder(
            65536, lambda _, kind, payload: target.receive(kind, payload), None, lambda *_: None
        )

    def load(self) -> None:
        while self.source.out:
            kind, payload = self.source.out.popleft()
            self.bytes += frame_header(kind, len(payload)) + payload

    def move(self, count: int) -> None:
        self.load()
        piece = bytes(self.bytes[:count])
        del self.bytes[:count]
        self.decoder.feed(piece)


class Machine(RuleBasedStateMachine):
    COUNTS = st.one_of(st.integers(1, 40), st.integers(1, 100_000))

    def __init__(self) -> None:
        super().__init__()
        self.pair = self.make_pair()
        self.ends = (self.pair.one, self.pair.two)
        self.wires = (Wire(*self.ends), Wire(*self.ends[::-1]))
        self.users: tuple[dict[int, User], dict[int, User]] = ({}, {})
        for number, end in enumerate(self.ends):
            end.decide = lambda stream, number=number, end=end: self.asked(number, end, stream)  # type: ignore[misc]

        for number in (0, 1):
            self.open(number, True)
        self.settle()

    def make_pair(self) -> Pair:
        return Pair(**SETTINGS)

    def asked(self, number: int, end: End, stream: Stream) -> None:
        end.later(stream)
        user = self.users[number][stream.number] = User(stream, end.handlers[stream.number])
        user.handler.reading = False
        if stream.protocol == "at-once":
            self.accept(user)

    def accept(self, user: User) -> None:
        user.opened = True
        user.stream.accepted_by(user.handler)
        user.handler.reading = True
        user.handler.read(user.handler.unread)

    def pick(self, end: int, index: int, *, opened: bool = True) -> User | None:
        """A user of this end that may still do something."""
        able = [
            each
            for each in self.users[end].values()
            if not each.done and (each.opened or ("opened",) in each.handler.events) == opened
        ]
        return able[index % len(able)] if able else None

    def opening(self, end: int, index: int) -> User | None:
        """One that waits for the answer to its OPEN."""
        user = self.pick(end, index, opened=False)
        return user if user is not None and user.stream.number % 2 != end else None

    @rule(end=ends, at_once=st.booleans())
    def open(self, end: int, at_once: bool) -> None:
        if len(self.users[end]) < 8:
            stream, handler = self.ends[end].open("at-once" if at_once else "later")
            self.users[end][stream.number] = User(stream, handler)

    @rule(end=ends, index=which, yes=st.booleans())
    def decide(self, end: int, index: int, yes: bool) -> None:
        user = self.pick(end, index, opened=False)
        if user is None or (user.stream.number % 2 == 1) == (end == 0):
            return
        if yes:
            self.accept(user)
        else:
            user.given_up = True
            user.stream.refuse(StreamReason.NOT_ALLOWED)

    @rule(end=ends, index=which, data=st.binary(min_size=1, max_size=50), times=st.sampled_from((1, 1000)))
    def write(self, end: int, index: int, data: bytes, times: int) -> None:
        user = self.pick(end, index) or self.opening(end, index)
        if user is not None and not user.finished:
            user.written += data * times
            user.stream.write(data * times)

    @rule(end=ends, index=which)
    def finish(self, end: int, index: int) -> None:
        user = self.pick(end, index)
        if user is not None:
            user.finished = True
            user.stream.finish()

    @rule(end=ends, index=which, cause=st.none() | st.just((StreamReason.ABORTED, "cut")))
    def close(self, end: int, index: int, cause: Cause | None) -> None:
        user = self.pick(end, index)
        if user is not None:
            user.closed = True
            user.stream.close(cause)

    @rule(end=ends, index=which, opened=st.booleans())
    def reset(self, end: int, index: int, opened: bool) -> None:
        user = self.pick(end, index, opened=opened)
        if user is not None and (opened or (user.stream.number % 2 == 1) == (end == 0)):
            user.given_up = True
            user.stream.reset(StreamReason.ABORTED)

    @rule(end=ends, index=which, reading=st.booleans())
    def read(self, end: int, index: int, reading: bool) -> None:
        user = self.pick(end, index)
        if user is not None:
            user.handler.reading = reading
            if user.handler.unread:
                user.handler.read((user.handler.unread + 1) // 2)

    @rule(end=ends, room=st.integers(1, 100_000))
    def feed(self, end: int, room: int) -> None:
        # the link feeds again as long as something was sent
        hungry = self.ends[end].hungry
        before = len(self.ends[end].out)
        self.ends[end].feed(room)
        self.ends[end].hungry |= hungry and len(self.ends[end].out) > before

    @rule(end=ends, count=COUNTS)
    def deliver(self, end: int, count: int) -> None:
        self.wires[end].move(count)

    @rule()
    def settle(self) -> None:
        for _ in range(10_000):
            for end in self.ends:
                end.turn()
                if end.hungry:
                    end.flush()
            moving = any(end.out or wire.bytes for end, wire in zip(self.ends, self.wires, strict=True))
            if not (moving or any(end.next_turn for end in self.ends)):
                return
            for wire in self.wires:
                wire.move(1 << 30)
        raise AssertionError("it never ends")

    @rule(end=ends)
    def turn(self, end: int) -> None:
        self.ends[end].turn()

    @rule(seconds=st.floats(0, 1))
    def advance(self, seconds: float) -> None:
        self.pair.clock.advance(seconds)

    @precondition(lambda self: any(self.users))
    @rule(lost=st.just(None))
    def look_at_everything(self, lost: None) -> None:
        """What was received is the beginning of what was written, and all of it once the end has come."""
        for end in (0, 1):
            for number, user in self.users[end].items():
                other = self.users[1 - end].get(number)
                written = bytes(other.written) if other is not None else b""
                received = bytes(user.handler.received)
                assert written.startswith(received)
                heard = {event[0] for event in user.handler.events}
                if heard & {"finished", "closed", "cut off"} and not user.done:
                    assert received == written

    @invariant()
    def bounds(self) -> None:
        for end in self.ends:
            streams = list(end.mux.streams.values())
            assert sum(each.window for each in streams) <= SETTINGS["stream_memory"]
            for each in streams:
                assert each.receive_window >= 0
                assert each.unread >= 0
                assert each.receive_window + each.unread <= each.window
                assert each.send_window >= 0

    def everyone(self) -> list[User]:
        return [user for users in self.users for user in users.values()]

    def teardown(self) -> None:
        self.settle()
        self.look_at_everything(None)
        self.read_everything()
        self.settle()
        for number, user in self.users[0].items():
            other = self.users[1].get(number)
            if other is not None and not user.done and not other.done:
                assert user.handler.received == other.written, "all that was written has been read"
                assert other.handler.received == user.written, "at either end"
        for user in self.everyone():
            if not user.done:
                user.closed = True
                user.stream.close()
            elif user.closed:
                user.handler.reading = True
                user.handler.read(user.handler.unread)
        self.settle()
        self.nothing_is_left()
        for user in self.everyone():
            self.history(user)

    def read_everything(self) -> None:
        for user in self.everyone():
            if user.done:
                continue
            if user.stream.phase.value == "requested":
                user.given_up = True
                user.stream.refuse(StreamReason.FAILED)
                continue
            user.handler.reading = True
            if user.handler.unread:
                user.handler.read(user.handler.unread)

    def nothing_is_left(self) -> None:
        for end in self.ends:
            left: list[Any] = [
                (each.number, each.sent, each.received, each.phase) for each in end.mux.streams.values()
            ]
            assert left == [], left
            assert end.mux._windows._spare == Windows(end.mux._settings)._spare
            assert end.mux._counts == [0, 0]
            assert len(end.over) == len(set(end.over))
            assert self.pair.clock.getDelayedCalls() == end.next_turn == []

    def history(self, user: User) -> None:
        """What a user hears is in order, and ends once."""
        words = [event[0] for event in user.handler.events]
        last = {"refused", "reset"}
        assert all(word not in last for word in words[:-1]), words
        assert words.count("opened") <= 1, words
        assert words.count("finished") <= 1, words
        assert words.count("closed") + words.count("cut off") <= 1, words
        if user.closed and not set(words) & last:
            assert ("all sent", True) in user.handler.events, words
        assert user.stream.sent is Side.ENDED
        assert user.stream.received is Side.ENDED


class PropertyTests(SynchronousTestCase):
    def test_any_sequence_of_actions_matches_the_model(self) -> None:
        self.patch(resets, "MAX_STREAM_RESETS", 1000)
        test = Machine.TestCase
        test.settings = hypothesis_settings(max_examples=150, stateful_step_count=50, deadline=None)
        test("runTest").debug()

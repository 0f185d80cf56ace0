"""Two ends of streams, joined in memory, with a handler that writes everything down."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock

from routing_crust.config import Settings
from routing_crust.streams.frames import Cause, StreamFrame, StreamReason
from routing_crust.streams.multiplexing.mux import Mux
from routing_crust.streams.multiplexing.stream import Stream


class Recorder:
    """A handler that writes down what it hears. It reads at once unless told otherwise."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []
        self.stream: Stream | None = None
        self.received = bytearray()
        self.unread = 0
        self.reading = True

    def opened(self) -> None:
        self.events.append(("opened",))

    def refused(self, reason: StreamReason, detail: str) -> None:
        self.events.append(("refused", reason, detail))

    def data(self, data: bytes) -> None:
        self.received += data
        self.unread += len(data)
        if self.reading:
            self.read(self.unread)

    def read(self, size: int) -> None:
        assert self.stream is not None
        self.unread -= size
        self.stream.consume(size)

    def finished(self) -> None:
        self.events.append(("finished",))

    def closed(self, unsent: int, cause: Cause | None) -> None:
        self.events.append(("closed", unsent) if cause is None else ("cut off", unsent, *cause))

    def reset(self, reason: StreamReason, detail: str) -> None:
        self.events.append(("reset", reason, detail))

    def lost(self, problem: Exception) -> None:
        self.events.append(("lost", str(problem)))

    def suspended(self, problem: Exception) -> None:
        self.events.append(("suspended", str(problem)))

    def resumed(self) -> None:
        self.events.append(("resumed",))

    def all_sent(self, closed: bool) -> None:
        self.events.append(("all sent", closed))

    def room(self) -> None:
        self.events.append(("room",))


class End:
    """One end: a mux, its sink and its owner in one."""

    def __init__(self, odd: bool, clock: Clock | None = None, **settings: Any) -> None:
        self.clock = clock or Clock()
        self.out: deque[tuple[int, bytes]] = deque()
        self.hungry = False
        self.next_turn: list[Callable[[], None]] = []
        self.asked_for: list[Stream] = []
        self.over: list[int] = []
        self.handlers: dict[int, Recorder] = {}
        self.decide: Callable[[Stream], None] = self.accept
        self.mux = Mux(Settings(**settings), self.clock.seconds, odd, self, self)

    # FrameSink.

    def send(self, kind: int, payload: bytes) -> None:
        self.out.append((kind, payload))

    def feed_soon(self) -> None:
        self.hungry = True

    # What comes from the other end.

    def receive(self, kind: int, payload: bytes) -> None:
        self.mux.receive(kind, payload)

    # MuxOwner.

    def stream_requested(self, stream: Stream) -> None:
        self.asked_for.append(stream)
        self.decide(stream)

    def stream_over(self, stream: Stream) -> None:
        self.over.append(stream.number)

    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        self.clock.callLater(seconds, call)

    def soon(self, call: Callable[[], None]) -> None:
        self.next_turn.append(call)

    # For tests.

    def turn(self) -> None:
        """A turn of the reactor begins."""
        calls, self.next_turn = self.next_turn, []
        for call in calls:
            call()

    def accept(self, stream: Stream) -> None:
        handler = self.handlers[stream.number] = Recorder()
        handler.stream = stream
        stream.accepted_by(handler)

    def later(self, stream: Stream) -> None:
        """Decide later."""
        handler = self.handlers[stream.number] = Recorder()
        handler.stream = stream
        stream.handler = handler

    def open(self, protocol: str = "echo") -> tuple[Stream, Recorder]:
        handler = Recorder()
        stream = handler.stream = self.mux.open(protocol, handler)
        self.handlers[stream.number] = handler
        return stream, handler

    def feed(self, room: int = 1 << 20) -> None:
        self.hungry = False
        self.mux.feeding.feed(room)

    def flush(self) -> None:
        """Feed for as long as there is something, as a link does."""
        sent = -1
        while sent != len(self.out):
            sent = len(self.out)
            self.feed()

    def kinds(self) -> list[StreamFrame]:
        """The kinds of what was sent; forgotten then."""
        kinds = [StreamFrame(kind) for kind, _ in self.out]
        self.out.clear()
        return kinds

    def sent(self) -> list[tuple[StreamFrame, bytes]]:
        """What was sent, without the number of the stream; forgotten then."""
        frames = [(StreamFrame(kind), payload[4:]) for kind, payload in self.out]
        self.out.clear()
        return frames


class Pair:
    """Two ends that get each other's frames."""

    def __init__(self, **settings: Any) -> None:
        self.clock = Clock()
        self.one = End(True, self.clock, **settings)
        self.two = End(False, self.clock, **settings)

    def deliver(self, source: End, target: End, count: int = 1 << 30) -> None:
        while source.out and count:
            count -= 1
            target.mux.receive(*source.out.popleft())

    def settle(self) -> None:
        """Until nothing moves any more in this turn."""
        ends = (self.one, self.two)
        while any(each.out or each.hungry for each in ends):
            for here, there in (ends, ends[::-1]):
                if here.hungry:
                    here.flush()
                self.deliver(here, there)

    def come_to_rest(self) -> None:
        """Until nothing moves any more, however many turns that takes."""
        self.settle()
        while self.one.next_turn or self.two.next_turn:
            self.one.turn()
            self.two.turn()
            self.settle()

    def open(self) -> tuple[Stream, Recorder, Stream, Recorder]:
        """An open stream: its two ends."""
        here, mine = self.one.open()
        self.settle()
        there = self.two.mux.streams[here.number]
        return here, mine, there, self.two.handlers[here.number]

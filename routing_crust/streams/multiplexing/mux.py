"""
All streams with one peer: frames in, frames out, limits.

It does no I/O, and knows the link only as a place to send frames to, which may change. It checks every frame
of the peer before it keeps any of it. A L{WireError} means that the peer broke the protocol, so its link has
to be closed.

The end with the smaller name gives its streams odd numbers, the other even ones; each counts upwards and uses
none twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from ...config import Settings
from ...errors import LimitReached, WireError
from ..frames import (
    EARLY_BYTES,
    MAX_STREAM_NUMBER,
    NUMBER_BYTES,
    StreamFrame,
    StreamReason,
    open_frame,
    opened_frame,
    read_amount,
    read_close,
    read_nothing,
    read_open,
    read_opened,
    read_reason,
    reason_frame,
    stream_of,
)
from .feeding import Feeding, FrameSink, NoLink
from .machine import Phase, Side
from .resets import Resets
from .stream import IgnoringHandler, Stream, StreamHandler
from .windows import CreditSender, Windows

MAX_SURVIVAL_ASKED_SECONDS: Final = 86400.0
"""The longest suspension that a peer may ask for when it opens a stream; none if we suspend none."""
_DATA: Final = int(StreamFrame.DATA)
_ENDED: Final = Side.ENDED  # looked up once: these are asked for with each frame


class MuxOwner(Protocol):
    """What a mux tells its owner."""

    def stream_requested(self, stream: Stream) -> None:
        """
        The peer wants to open a stream. The owner sets a handler now, and calls L{Stream.accepted_by} or
        L{Stream.refuse} sooner or later, unless the handler hears L{StreamHandler.reset} or
        L{StreamHandler.lost} first.
        """

    def stream_over(self, stream: Stream) -> None:
        """A stream is over."""

    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        """Call this once, after C{seconds}. It takes the place of a call that is still to come."""

    def soon(self, call: Callable[[], None]) -> None:
        """Call this in the next turn of the reactor."""


class Mux:
    """
    Made for a peer with a link, given its frames, discarded after L{end}. It is the owner of its streams.

    @ivar streams: the streams that are not over, by number.
    @ivar held: how many of them the peer has opened and neither end has given up.
    @ivar feeding: sends their data.
    @ivar sink: where frames go now.
    """

    __slots__ = (
        "_counts", "_credit_sender", "_crossing", "_last", "_max_streams", "_mine", "_next", "_owner",
        "_readers", "_resets", "_settings", "_windows", "feeding", "held", "sink", "streams",
    )  # fmt: skip

    def __init__(
        self, settings: Settings, seconds: Callable[[], float], odd: bool, sink: FrameSink, owner: MuxOwner
    ) -> None:
        """
        @param seconds: the clock.
        @param odd: whether our streams have odd numbers.
        """
        self._settings = settings
        # goes together with the windows, which share a memory among as many streams
        self._max_streams = settings.max_streams
        self._owner = owner
        self._mine = int(odd)
        self._next = 1 if odd else 2
        self._last = 0
        self._counts = [0, 0]
        self._crossing = 0  # bytes for streams that we have refused, which may be on their way
        self._windows = Windows(settings)
        self._resets = Resets(settings, seconds, self._send_reset, owner.call_later)
        self._readers: dict[int, Callable[[Stream, bytes], None]] = {
            StreamFrame.OPENED: self._opened,
            StreamFrame.REFUSED: self._refused,
            StreamFrame.CREDIT: self._credit,
            StreamFrame.FIN: self._fin,
            StreamFrame.CLOSE: self._close,
            StreamFrame.RESET: self._reset,
        }
        self.streams: dict[int, Stream] = {}
        self.held = 0
        self.sink = sink
        self.feeding = Feeding(seconds, sink, self._forget_if_over)
        self._credit_sender = CreditSender(self._windows, seconds, self._send, owner.soon)

    def _send(self, kind: int, payload: bytes) -> None:
        self.sink.send(kind, payload)

    # What our side does, through a stream or its owner.

    def open(self, protocol: str, handler: StreamHandler, survival: float | None = None) -> Stream:
        """
        Ask the peer for a stream.

        @param survival: for how long it may be suspended, in seconds; C{None} is C{stream_survival}.
        @raise LimitReached: too many are open.
        """
        most = self._max_streams
        if self._counts[self._mine] >= most:
            raise LimitReached(f"{most} streams to this peer are open", "max_streams", most)
        if self._next > MAX_STREAM_NUMBER:
            raise LimitReached("this link has had all its streams", "max_streams", most)
        if survival is None:
            survival = self._settings.stream_survival
        stream = Stream(self, self._next, Phase.OPENING, protocol, handler, survival)
        self._next += 2
        # before the peer has answered, so that its first bytes come with the answer
        stream.grant(self._windows.first())
        self._add(stream)
        self.sink.send(StreamFrame.OPEN, open_frame(stream.number, stream.window, survival, protocol))
        return stream

    def accept(self, stream: Stream, handler: StreamHandler) -> None:
        stream.handler = handler
        more = self._windows.first() - EARLY_BYTES
        stream.accept(more)
        self.sink.send(StreamFrame.OPENED, opened_frame(stream.number, more, stream.survival))

    def refuse(self, stream: Stream, reason: StreamReason, detail: str) -> None:
        # the peer may have given the stream up while it waited for the decision
        if stream.sent is Side.SENDING and self.streams.get(stream.number) is stream:
            stream.sent = stream.received = Side.ENDED
            self._send_refused(stream.number, reason, detail)
            self._forget(stream)

    def _send_refused(self, number: int, reason: StreamReason, detail: str) -> None:
        self._crossing += EARLY_BYTES
        self.sink.send(StreamFrame.REFUSED, reason_frame(number, reason, detail))

    def reset(self, stream: Stream, reason: StreamReason, detail: str) -> None:
        if stream.given_up or stream.sent is Side.ENDED or self.streams.get(stream.number) is not stream:
            return
        self._give_up(stream)
        self._resets.add(stream, reason, detail)

    def ready_to_send(self, stream: Stream) -> None:
        self.feeding.ready(stream)

    def send_credit(self, stream: Stream, amount: int) -> None:
        self._credit_sender.send(stream, amount)

    def owe_credit(self, stream: Stream) -> None:
        self._credit_sender.owe(stream)

    def _send_reset(self, stream: Stream, reason: StreamReason, detail: str) -> None:
        stream.sent = Side.ENDED
        self.sink.send(StreamFrame.RESET, reason_frame(stream.number, reason, detail))
        self._forget_if_over(stream)

    # What the peer sends.

    def receive(self, kind: int, payload: bytes) -> None:
        """
        Take a frame.

        @raise WireError: the peer broke the protocol.
        """
        number = stream_of(payload)
        stream = self.streams.get(number)
        if stream is None:
            self._receive_unknown(kind, number, payload)
        elif kind == _DATA:
            # first, and without a table: nearly every frame is one of these
            size = len(payload) - NUMBER_BYTES
            stream.data_received(size)
            # it crossed our last frame: it uses up credit like any other, and is dropped
            if stream.given_up or stream.sent is _ENDED:
                stream.unread -= size
            else:
                stream.handler.data(payload[NUMBER_BYTES:])
        else:
            reader = self._readers.get(kind)
            if reader is None:
                raise WireError(f"a frame of kind {kind} came for stream {stream.number}")
            reader(stream, payload)

    def _receive_unknown(self, kind: int, number: int, payload: bytes) -> None:
        if kind == StreamFrame.OPEN:
            self._open(number, payload)
        elif kind == StreamFrame.RESET and number % 2 != self._mine:
            # its RESET crossed our REFUSED
            read_reason(payload)
            self._resets.count_theirs()
        elif kind == _DATA and number % 2 != self._mine and 0 < len(payload) - NUMBER_BYTES <= self._crossing:
            # it sent this before it had the answer
            self._crossing -= len(payload) - NUMBER_BYTES
        else:
            raise WireError(f"a frame of kind {kind} came for stream {number}, which is not open")

    def _open(self, number: int, payload: bytes) -> None:
        window, survival, protocol = read_open(payload)
        if number % 2 == self._mine or number <= self._last:
            raise WireError(f"{number} cannot be the number of a new stream")
        # even if it is refused below: a number is used once
        self._last = number
        if self._counts[1 - self._mine] >= self._max_streams:
            # refused, not a protocol error: the peer does not know our limit
            self._send_refused(number, StreamReason.TOO_MANY, f"max_streams is {self._max_streams}")
            return
        ours = self._settings.stream_survival
        most = max(ours, MAX_SURVIVAL_ASKED_SECONDS) if ours else 0.0
        stream = Stream(self, number, Phase.REQUESTED, protocol, _NOBODY, min(survival, most))
        stream.send_window = window
        self._add(stream)
        self._owner.stream_requested(stream)

    def _opened(self, stream: Stream, payload: bytes) -> None:
        window, survival = read_opened(payload)
        stream.opened(window)
        stream.survival = min(stream.survival, survival)
        if stream.sent is not Side.ENDED and not stream.given_up:
            if stream.ready:
                self.feeding.ready(stream)
            stream.handler.opened()

    def _refused(self, stream: Stream, payload: bytes) -> None:
        reason, detail = read_reason(payload)
        given_up = stream.given_up
        stream.refused()
        # early data may be in line, and more may be on its way to it
        stream.futile = True
        stream.buffer.clear()
        self._forget(stream)
        if not given_up:
            stream.handler.refused(reason, detail)

    def _credit(self, stream: Stream, payload: bytes) -> None:
        amount = read_amount(payload)
        stream.credit_received(amount)
        # a CREDIT that enlarges the window answers nothing that is on its way
        stream.in_flight = max(0, stream.in_flight - amount)
        if stream.ready and stream.sent is Side.SENDING:
            self.feeding.ready(stream)

    def _fin(self, stream: Stream, payload: bytes) -> None:
        read_nothing(payload)
        stream.fin_received()
        if stream.sent is not Side.ENDED and not stream.given_up:
            stream.handler.finished()

    def _close(self, stream: Stream, payload: bytes) -> None:
        cause = read_close(payload)
        stream.close_received()
        if stream.sent is Side.ENDED:
            self._forget(stream)
        elif not stream.given_up:
            # what waits to be sent will not be read: better to free it now than with the stream
            stream.futile = True
            unsent = stream.buffer.size
            stream.buffer.clear()
            if stream.ready:  # a FIN or CLOSE behind that data need not wait for credit any more
                self.feeding.ready(stream)
            stream.handler.closed(unsent, cause)

    def _reset(self, stream: Stream, payload: bytes) -> None:
        reason, detail = read_reason(payload)
        stream.reset_received()
        if stream.sent is Side.ENDED:
            self._forget(stream)  # it answers ours, or crosses our CLOSE
            return
        self._resets.count_theirs()
        given_up = stream.given_up
        self._give_up(stream)
        # the answer goes out at once, outside our own limit: the peer's limit bounds it
        self._resets.forget(stream)
        if stream.phase is Phase.REQUESTED:
            self.refuse(stream, StreamReason.CANCELLED, "")
        else:
            self._send_reset(stream, reason, "")
        if not given_up:
            stream.handler.reset(reason, detail)

    def suspended(self) -> None:
        """There is no link: what we reset is kept for the next one."""
        self._resets.suspended()

    def resumed(self) -> None:
        """There is another link."""
        self._resets.resumed()

    def make_room(self, detail: str) -> None:
        """End the latest stream that the peer has opened: it is the one that takes more than its share."""
        for stream in reversed(self.streams.values()):
            if stream.number % 2 != self._mine and not stream.given_up and stream.sent is not Side.ENDED:
                handler = stream.handler
                if stream.phase is Phase.REQUESTED:
                    handler.reset(StreamReason.TOO_MANY, detail)
                    self.refuse(stream, StreamReason.TOO_MANY, detail)
                else:
                    self.reset(stream, StreamReason.TOO_MANY, detail)
                    handler.reset(StreamReason.TOO_MANY, detail)
                return

    def expire(self, stream: Stream, problem: Exception) -> None:
        """
        End a stream that has been suspended for as long as it may be; its user hears of C{problem}. The peer
        is told if it comes back.
        """
        # a user that has closed it has heard of the end already
        if stream.given_up or stream.sent is Side.ENDED:
            return
        handler = stream.handler
        if stream.phase is Phase.REQUESTED:
            handler.lost(problem)
            self.refuse(stream, StreamReason.EXPIRED, "")
        else:
            self.reset(stream, StreamReason.EXPIRED, "")
            handler.lost(problem)

    # Keeping count.

    def _add(self, stream: Stream) -> None:
        self.streams[stream.number] = stream
        self._counts[stream.number % 2] += 1
        self.held += stream.number % 2 != self._mine

    def _forget_if_over(self, stream: Stream) -> None:
        if stream.over:
            self._forget(stream)

    def _forget(self, stream: Stream) -> None:
        del self.streams[stream.number]
        self._let_go(stream)
        self._counts[stream.number % 2] -= 1
        self._resets.forget(stream)
        self._credit_sender.forget(stream)
        self.feeding.forget(stream)
        # what a peer may send before we have accepted is no part of what streams share
        if stream.phase is not Phase.REQUESTED:
            self._windows.give_back(stream.window)
        self._owner.stream_over(stream)

    def _let_go(self, stream: Stream) -> None:
        self.held -= stream.number % 2 != self._mine and not stream.given_up

    def _give_up(self, stream: Stream) -> None:
        # before the mark is set, by which it knows whether the stream still counts
        self._let_go(stream)
        stream.given_up = True
        stream.futile = True
        stream.ending = None
        stream.wants_room = False
        stream.buffer.clear()
        self._credit_sender.forget(stream)

    def end(self, problem: Exception) -> None:
        """The session is over: tell every user, and forget all streams."""
        # taken first: what a handler opens or writes from here on goes nowhere
        streams, self.streams = self.streams, {}
        self._resets.clear()
        self.feeding.clear()
        self.sink = self.feeding.sink = NoLink()
        for stream in streams.values():
            told = stream.given_up or stream.sent is Side.ENDED
            self._give_up(stream)
            if not told:
                stream.handler.lost(problem)


_NOBODY: Final = IgnoringHandler()

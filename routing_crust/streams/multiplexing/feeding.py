"""
Sends the data of all streams with a peer, turn by turn, whenever the link takes more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from ..frames import StreamFrame
from .machine import Side
from .scheduler import LONE_QUANTUM, QUANTUM, Scheduler
from .stream import BUFFER_LOW_BYTES, Stream

INTERACTIVE_BYTES: Final = 4096
"""A stream that sends no more than this in a turn counts as interactive."""
INTERACTIVE_SECONDS: Final = 0.1
"""Seconds after an interactive stream's last turn in which bulk streams leave room for it."""
BULK_IN_FLIGHT_BYTES: Final = 96 * 1024
"""What a bulk stream may have on its way meanwhile. It is more than a CREDIT covers, so that none stalls."""
_HEADERS: Final = 8
_DATA: Final = int(StreamFrame.DATA)


class FrameSink(Protocol):
    """Where frames go: the part of L{ILink<routing_crust.crust.interfaces.ILink>} that a mux needs."""

    def send(self, kind: int, payload: bytes) -> None:
        """Send a frame."""

    def feed_soon(self) -> None:
        """Have L{Feeding.feed} called."""


class NoLink:
    """Takes the place of a link that is gone."""

    def send(self, kind: int, payload: bytes) -> None:
        """Drop the frame."""

    def feed_soon(self) -> None:
        """Without effect."""


class Feeding:
    """
    Made, and discarded, with its mux.

    @ivar sink: where frames go now.
    """

    __slots__ = ("_after", "_closed", "_scheduler", "_seconds", "_small", "_small_at", "sink")

    def __init__(
        self, seconds: Callable[[], float], sink: FrameSink, closed: Callable[[Stream], None]
    ) -> None:
        """
        @param seconds: the clock.
        @param closed: called with a stream whose last frame has been sent.
        """
        self._seconds = seconds
        self._closed = closed
        self._scheduler: Scheduler[Stream] = Scheduler()
        self._after: list[tuple[Stream, StreamFrame | None]] = []
        self._small: Stream | None = None
        self._small_at = 0.0
        self.sink = sink

    def ready(self, stream: Stream) -> None:
        """Give this stream a turn: it has something to send."""
        if not stream.in_line:
            self._scheduler.add(stream)
            self.sink.feed_soon()

    def feed(self, room: int) -> None:
        """
        Send what is ready, turn by turn.

        @param room: about how many bytes.
        """
        while True:
            while room > 0:
                stream = self._scheduler.next()
                if stream is None:
                    break
                room -= self._take_turn(stream)
            if not self._after:
                return
            # A handler may write, close or reset from within these calls, so the list is taken first, and
            # the loop sends what it has written.
            after, self._after = self._after, []
            for stream, ending in after:
                if ending is StreamFrame.CLOSE:
                    stream.handler.all_sent(True)
                elif stream.given_up:
                    continue
                elif ending is None:
                    stream.handler.room()
                else:
                    stream.handler.all_sent(False)

    def _take_turn(self, stream: Stream) -> int:
        buffer = stream.buffer
        # every byte of a bulk stream delays an interactive one
        yields = self._small is not None and self._small is not stream and self._is_busy()
        size = min(buffer.size, stream.send_window, QUANTUM if yields or self._scheduler else LONE_QUANTUM)
        # A held stream leaves the line; the peer's next CREDIT brings it back.
        held = yields and size > INTERACTIVE_BYTES and stream.in_flight >= BULK_IN_FLIGHT_BYTES
        if held:
            size = 0
        elif size > 0:
            stream.send_window -= size
            stream.in_flight += size
            self.sink.send(_DATA, buffer.take(stream.head, size))
            if size <= INTERACTIVE_BYTES and not buffer.size:
                self._small = stream
                self._small_at = self._seconds()
        if stream.ending is not None and not buffer.size:
            self._send_ending(stream, stream.ending)
        self._scheduler.sent(stream, size, stream.ready and not held)
        if stream.wants_room and buffer.size <= BUFFER_LOW_BYTES:
            stream.wants_room = False
            self._after.append((stream, None))
        return size + _HEADERS

    def _is_busy(self) -> bool:
        """Whether the interactive stream has sent something recently."""
        # a clock that was set back ends the restraint
        if 0 <= self._seconds() - self._small_at < INTERACTIVE_SECONDS:
            return True
        self._small = None
        return False

    def _send_ending(self, stream: Stream, ending: StreamFrame) -> None:
        stream.ending = None
        self.sink.send(ending, stream.farewell)
        self._after.append((stream, ending))
        if ending is StreamFrame.CLOSE:
            stream.sent = Side.ENDED
            self._closed(stream)
        else:
            stream.sent = Side.FINISHED

    def forget(self, stream: Stream) -> None:
        """Drop a stream that is over."""
        if self._small is stream:
            self._small = None

    def clear(self) -> None:
        """Drop all streams."""
        self._scheduler = Scheduler()
        self._small = None

"""
Sending what streams have to send: turn by turn, whenever the link takes more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from .frames import StreamFrame
from .machine import Side
from .scheduler import QUANTUM, Scheduler
from .stream import BUFFER_LOW, Stream

SMALL: Final = 4096
"""A stream that sends no more than this at a time is one that does not want to wait."""
SMALL_SECONDS: Final = 0.1
"""And for so long others leave room for it."""
GENTLE: Final = 96 * 1024
"""That is, they have no more than this on their way; more than a CREDIT may be late."""
_HEADERS: Final = 8
_DATA: Final = int(StreamFrame.DATA)


class FrameSink(Protocol):
    """Where frames go: of L{ILink<routing_crust.crust.interfaces.ILink>}, what a mux needs."""

    def send(self, kind: int, payload: bytes) -> None:
        """Send a frame."""

    def feed_soon(self) -> None:
        """Have L{Feeding.feed} called."""


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
        """This stream has something to send."""
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
            # whom we tell may do anything
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
        size = min(buffer.size, stream.send_window, QUANTUM)
        held = self._small is not None and size > SMALL and self._is_held(stream)
        if held:
            size = 0
        elif size > 0:
            stream.send_window -= size
            stream.in_flight += size
            self.sink.send(_DATA, buffer.take(stream.head, size))
            if size <= SMALL and not buffer.size:
                self._small = stream
                self._small_at = self._seconds()
        if stream.ending is not None and not buffer.size:
            self._send_ending(stream, stream.ending)
        self._scheduler.sent(stream, size, stream.ready and not held)
        if stream.wants_room and buffer.size <= BUFFER_LOW:
            stream.wants_room = False
            self._after.append((stream, None))
        return size + _HEADERS

    def _is_held(self, stream: Stream) -> bool:
        """
        Whether a stream has enough on its way for now. Whatever it has on its way another has to wait for,
        so while others send little and often it has less of it. A CREDIT lets it go on.
        """
        if stream.in_flight < GENTLE or self._small is stream:
            return False
        if 0 <= self._seconds() - self._small_at < SMALL_SECONDS:
            return True
        self._small = None
        return False

    def _send_ending(self, stream: Stream, ending: StreamFrame) -> None:
        stream.ending = None
        self.sink.send(ending, stream.head)
        self._after.append((stream, ending))
        if ending is StreamFrame.CLOSE:
            stream.sent = Side.ENDED
            self._closed(stream)
        else:
            stream.sent = Side.FINISHED

    def forget(self, stream: Stream) -> None:
        """This one is over."""
        if self._small is stream:
            self._small = None

    def clear(self) -> None:
        """All are over."""
        self._scheduler = Scheduler()
        self._small = None

"""
A stream as its user sees it: bytes in, bytes out, and two ways to end it.

The user is a L{StreamHandler}: the transport of a protocol or, before the stream is open, what waits for the
answer to an OPEN.
"""

from __future__ import annotations

from typing import Final, Protocol

from ..frames import Cause, StreamFrame, StreamReason, pack_number, reason_frame
from .machine import OVERDUE_BYTES, Phase, Side, StreamMachine
from .sendbuffer import SendBuffer

BUFFER_HIGH_BYTES: Final = 128 * 1024
"""Bytes waiting to be sent at which a writer is paused."""
BUFFER_LOW_BYTES: Final = 32 * 1024
"""Bytes waiting to be sent at which it is resumed."""


class StreamHandler(Protocol):
    """What a stream tells its user. No method may raise. After L{lost} or L{reset} nothing more comes."""

    def opened(self) -> None:
        """The peer has accepted."""

    def refused(self, reason: StreamReason, detail: str) -> None:
        """The peer has refused. Nothing more comes."""

    def data(self, data: bytes) -> None:
        """Bytes came. Call L{Stream.consume} when they have been dealt with."""

    def finished(self) -> None:
        """The peer has sent all."""

    def closed(self, unsent: int, cause: Cause | None) -> None:
        """
        The peer has sent all that it will send, and reads no more. The user ends the stream with
        L{Stream.close} when it has read everything.

        @param unsent: how many bytes were not sent yet, and are thrown away.
        @param cause: what has cut the stream off; C{None} if the peer has ended it cleanly.
        """

    def reset(self, reason: StreamReason, detail: str) -> None:
        """The peer has given the stream up."""

    def lost(self, problem: Exception) -> None:
        """The link to the peer is gone for good."""

    def suspended(self, problem: Exception) -> None:
        """The link to the peer is gone; L{resumed} or L{lost} follows. Until then nothing comes."""

    def resumed(self) -> None:
        """There is another link, and everything goes on where it was."""

    def all_sent(self, closed: bool) -> None:
        """
        Everything written has been sent, and the FIN or CLOSE after it.

        @param closed: whether it was a CLOSE, after which nothing more comes.
        """

    def room(self) -> None:
        """At most L{BUFFER_LOW_BYTES} wait to be sent. Called once each time L{Stream.wants_room} is set."""


class IgnoringHandler:
    """A L{StreamHandler} that does nothing: for a stream that nobody uses yet, and as a base class."""

    def opened(self) -> None:
        """Ignored."""

    def refused(self, reason: StreamReason, detail: str) -> None:
        """Ignored."""

    def data(self, data: bytes) -> None:
        """Ignored: the user of a stream that is not open yet keeps it."""

    def finished(self) -> None:
        """Ignored."""

    def closed(self, unsent: int, cause: Cause | None) -> None:
        """Ignored."""

    def reset(self, reason: StreamReason, detail: str) -> None:
        """Ignored."""

    def lost(self, problem: Exception) -> None:
        """Ignored."""

    def suspended(self, problem: Exception) -> None:
        """Ignored."""

    def resumed(self) -> None:
        """Ignored."""

    def all_sent(self, closed: bool) -> None:
        """Ignored."""

    def room(self) -> None:
        """Ignored."""


class StreamOwner(Protocol):
    """What a stream needs of the mux that made it."""

    def ready_to_send(self, stream: Stream) -> None:
        """The stream has something to send: give it its turns."""

    def send_credit(self, stream: Stream, amount: int) -> None:
        """Let the peer send this number of bytes more, now."""

    def owe_credit(self, stream: Stream) -> None:
        """Let the peer send as many more as are due, once nothing more has come for a turn."""

    def accept(self, stream: Stream, handler: StreamHandler) -> None:
        """The peer may have the stream, and C{handler} uses it."""

    def refuse(self, stream: Stream, reason: StreamReason, detail: str) -> None:
        """The peer may not have the stream."""

    def reset(self, stream: Stream, reason: StreamReason, detail: str) -> None:
        """Give the stream up."""


class Stream(StreamMachine):
    """
    One stream. Made by its L{StreamOwner}, discarded by it when it is over.

    @ivar handler: what uses it.
    @ivar protocol: what is spoken, as the end that opened it calls it.
    @ivar wants_room: whether L{StreamHandler.room} is to be called.
    @ivar in_flight: about how many bytes the peer has not given new credit for.
    @ivar lately: for how many bytes the peer has been given credit since C{since}, in seconds.
    @ivar ending: the frame that follows what waits to be sent.
    @ivar farewell: the payload of that frame.
    @ivar futile: whether the peer reads no more.
    @ivar survival: for how many seconds it may be suspended; 0 ends it with the link.
    """

    __slots__ = (
        "_owner", "allowance", "buffer", "ending", "farewell", "futile", "given_up", "handler", "head",
        "in_flight", "in_line", "lately", "protocol", "round", "since", "survival", "wants_room",
    )  # fmt: skip

    def __init__(
        self,
        owner: StreamOwner,
        number: int,
        phase: Phase,
        protocol: str,
        handler: StreamHandler,
        survival: float,
    ) -> None:
        super().__init__(number, phase)
        self._owner = owner
        self.handler = handler
        self.protocol = protocol
        self.survival = survival
        self.head = pack_number(number)
        self.buffer = SendBuffer()
        self.ending: StreamFrame | None = None
        self.farewell = self.head
        self.wants_room = self.futile = self.given_up = False
        self.in_line = False
        self.allowance = self.in_flight = self.lately = 0
        self.since = 0.0
        self.round = -1

    @property
    def ready(self) -> bool:
        """Whether there is something that can be sent."""
        if self.buffer.size:
            return self.send_window > 0
        return self.ending is not None

    def write(self, data: bytes) -> None:
        """Queue bytes to be sent in turn. Not to be called after L{finish} or L{reset}, or once closed."""
        # the peer reads no more: bytes would fill memory that nothing empties
        if not self.futile:
            self.buffer.append(data)
            # without credit a turn would send nothing: the next CREDIT brings the stream back
            if self.send_window > 0:
                self._owner.ready_to_send(self)

    def consume(self, size: int) -> None:
        """Count bytes that the user has dealt with, so that the peer may send as many again."""
        if not self.given_up:
            due = self.consumed(size)
            # half a window is too much to wait with: the peer would run dry before the next turn
            if due >= OVERDUE_BYTES or 2 * due >= self.window > 0:
                self._owner.send_credit(self, due)
            elif due:
                self._owner.owe_credit(self)

    def finish(self) -> None:
        """Write no more. The handler hears when the peer has been told."""
        # a CLOSE that waits already says more than a FIN
        if self.sent is Side.SENDING and self.ending is None:
            self._end(StreamFrame.FIN)

    def close(self, cause: Cause | None = None) -> None:
        """
        Send what was written, and then the last frame. Until that has happened, of which the handler hears,
        it also hears of what the peer sends.

        @param cause: what has cut the stream off; C{None} is a clean end.
        """
        # the first CLOSE says why
        if self.sent is not Side.ENDED and self.ending is not StreamFrame.CLOSE:
            if cause is not None:
                self.farewell = reason_frame(self.number, *cause)
            self._end(StreamFrame.CLOSE)

    def _end(self, ending: StreamFrame) -> None:
        self.ending = ending
        if self.ready:
            self._owner.ready_to_send(self)

    def reset(self, reason: StreamReason, detail: str = "") -> None:
        """Give the stream up; what was not sent is thrown away. The handler hears nothing more."""
        self._owner.reset(self, reason, detail)

    def accepted_by(self, handler: StreamHandler) -> None:
        """Accept the stream of a peer; C{handler} uses it from now on."""
        self._owner.accept(self, handler)

    def refuse(self, reason: StreamReason, detail: str = "") -> None:
        """Refuse the stream of a peer. The handler hears nothing more."""
        self._owner.refuse(self, reason, detail)

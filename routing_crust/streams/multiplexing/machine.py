"""
One stream: what each end may send next, and how much.

Order of frames: OPEN by the end that opens, and a little DATA; OPENED or REFUSED by the other; then by each
end DATA and CREDIT, FIN when it has sent all, and one last frame: CLOSE when it neither sends nor reads any
more, or RESET when it gives up. A stream is over when each end has sent its last frame; a RESET is answered
with one. REFUSED is the last frame of both.

Nothing is sent or called here. Each input of the peer is judged, in every state, and changes the state. The
caller that sends a frame checks first whether the state allows it.
"""

from __future__ import annotations

from enum import Enum, IntEnum
from typing import Final

from ...errors import WireError
from ..frames import EARLY_BYTES, MAX_WINDOW_BYTES

CREDIT_BYTES: Final = 64 * 1024
"""Read bytes that are worth a CREDIT of their own; so is a quarter of the window."""
OVERDUE_BYTES: Final = 512 * 1024
"""Credit that is sent at once, as half of the window is; less may wait until nothing more comes."""


class Phase(Enum):
    """How far a stream has come."""

    OPENING = "opening"
    """We have asked for it."""
    REQUESTED = "requested"
    """The peer has asked for it, and has no answer yet."""
    OPEN = "open"
    """It has been accepted. How far each end has ended it is in its L{Side}."""


class Side(IntEnum):
    """What one end has sent."""

    SENDING = 0
    """It may still send anything."""
    FINISHED = 1
    """FIN: no more data."""
    ENDED = 2
    """Its last frame: nothing more."""


# looked up once: these are asked for with each frame of data
_OPENING: Final = Phase.OPENING
_SENDING: Final = Side.SENDING


class StreamMachine:
    """
    The state of one stream, seen from one end.

    @ivar number: the number of the stream, on the wire.
    @ivar sent: what we have sent.
    @ivar received: what the peer has.
    @ivar send_window: how many bytes we may send.
    @ivar receive_window: how many bytes the peer may send.
    @ivar unread: how many bytes have come and have not been consumed.
    @ivar window: the most that C{receive_window} and C{unread} may come to.
    """

    __slots__ = ("number", "phase", "receive_window", "received", "send_window", "sent", "unread", "window")

    def __init__(self, number: int, phase: Phase) -> None:
        self.number = number
        self.phase = phase
        self.sent = self.received = Side.SENDING
        self.send_window = self.receive_window = self.unread = self.window = 0
        if phase is Phase.OPENING:
            self.send_window = EARLY_BYTES
        elif phase is Phase.REQUESTED:
            self.grant(EARLY_BYTES)

    @property
    def over(self) -> bool:
        """Whether each end has sent its last frame."""
        return self.sent is Side.ENDED and self.received is Side.ENDED

    # What the peer sends. Each of these may raise WireError.

    def opened(self, window: int) -> None:
        """OPENED: the peer accepts, and gives us this window."""
        if self.phase is not Phase.OPENING:
            raise self._misplaced("OPENED")
        self.phase = Phase.OPEN
        self.send_window += window

    def refused(self) -> None:
        """REFUSED: the peer does not accept."""
        if self.phase is not Phase.OPENING:
            raise self._misplaced("REFUSED")
        self.sent = self.received = Side.ENDED

    def data_received(self, size: int) -> None:
        """DATA: this number of bytes has come."""
        if self.phase is _OPENING or self.received is not _SENDING:
            raise self._misplaced("DATA")
        # an empty DATA would cost us work and the peer no credit
        if not 0 < size <= self.receive_window:
            if not size:
                raise WireError("a DATA without data")
            raise WireError(
                f"{size} bytes came for stream {self.number}, and there was credit for {self.receive_window}"
            )
        self.receive_window -= size
        self.unread += size

    def credit_received(self, amount: int) -> None:
        """CREDIT: the peer lets us send this number of bytes more."""
        if self.phase is not Phase.OPEN or self.received is Side.ENDED:
            raise self._misplaced("CREDIT")
        if not amount or self.send_window + amount > MAX_WINDOW_BYTES:
            raise WireError(f"stream {self.number} is given credit for {amount} and has {self.send_window}")
        self.send_window += amount

    def fin_received(self) -> None:
        """FIN: all of the peer's data has come."""
        if self.phase is not Phase.OPEN or self.received is not Side.SENDING:
            raise self._misplaced("FIN")
        self.received = Side.FINISHED

    def close_received(self) -> None:
        """CLOSE: all of the peer's data has come, and it reads no more of ours."""
        if self.phase is not Phase.OPEN or self.received is Side.ENDED:
            raise self._misplaced("CLOSE")
        self.received = Side.ENDED

    def reset_received(self) -> None:
        """RESET: the peer gives up. The caller answers it unless our last frame is sent."""
        # no RESET before the answer to our OPEN: the peer refuses instead
        if self.phase is Phase.OPENING or self.received is Side.ENDED:
            raise self._misplaced("RESET")
        self.received = Side.ENDED

    def _misplaced(self, what: str) -> WireError:
        return WireError(
            f"{what} came for stream {self.number}, which is {self.phase.value} "
            f"({self.received.name.lower()} by the peer)"
        )

    # What we send.

    def accept(self, window: int) -> None:
        """Accept the peer's stream, with this window for what it sends from now on."""
        self.phase = Phase.OPEN
        self.grant(window)

    def grant(self, window: int) -> None:
        """Let the peer have this window, too."""
        self.window += window
        self.receive_window += window

    def consumed(self, size: int) -> int:
        """
        Count bytes that the user has read.

        @return: L{due}.
        """
        self.unread -= size
        return self.due

    @property
    def due(self) -> int:
        """For how many bytes a CREDIT is due; 0 as long as it is not worth one."""
        due = self.window - self.receive_window - self.unread
        if due < CREDIT_BYTES and 4 * due < self.window:
            return 0
        # credit is of no use to a peer that has sent all, and has no place after our own last frame
        if self.received is not Side.SENDING or self.sent is Side.ENDED:
            return 0
        return due

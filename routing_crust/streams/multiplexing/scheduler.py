"""
Decides which stream sends next: round robin among those that have something to send.

A turn is one frame, of a quantum at most, so that streams share what there is by bytes, within a quantum
(deficit round robin: Shreedhar and Varghese, 1995). A stream that had nothing to send and has something now
goes before those that always have, as long as it does not send more than a quantum in a round (as in
FQ-CoDel, RFC 8290), so that an answer of a few bytes does not wait for a frame of each bulk stream.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Generic, Protocol, TypeVar

QUANTUM: Final = 16 * 1024 - 8
"""The most bytes in a turn: with the headers of frame and stream they just fill a TLS record."""
LONE_QUANTUM: Final = 64 * 1024 - 8
"""The most while no other stream waits: four records, and the largest frame."""


class Turned(Protocol):
    """What takes turns. Only the scheduler changes the three attributes."""

    in_line: bool
    allowance: int
    round: int


_Turned = TypeVar("_Turned", bound=Turned)


class Scheduler(Generic[_Turned]):
    """
    The lines in which streams wait. Made, and discarded, with the streams of a peer.
    """

    __slots__ = ("_fresh", "_left", "_regular", "_round")

    def __init__(self) -> None:
        self._fresh: deque[_Turned] = deque()
        self._regular: deque[_Turned] = deque()
        self._round = 0
        self._left = 0

    def __len__(self) -> int:
        return len(self._fresh) + len(self._regular)

    def add(self, stream: _Turned) -> None:
        """Put a stream that has something to send in line. Without effect if it is there."""
        if stream.in_line:
            return
        stream.in_line = True
        self._renew(stream)
        # A stream that comes back within the round in which it has sent a quantum is no better than those
        # that never left: else leaving the line would be the way to more turns.
        (self._fresh if stream.allowance > 0 else self._regular).append(stream)

    def _renew(self, stream: _Turned) -> None:
        """In each round a stream may send a quantum, whichever line it is in."""
        if stream.round != self._round:
            stream.round = self._round
            stream.allowance = QUANTUM

    def next(self) -> _Turned | None:
        """Take the stream whose turn it is out of the line; C{None} when nothing is to be sent."""
        if self._fresh:
            stream = self._fresh.popleft()
        elif self._regular:
            # a round ends when each stream that was in line at its beginning has had its turn
            if self._left <= 0:
                self._round += 1
                self._left = len(self._regular)
            self._left -= 1
            stream = self._regular.popleft()
            self._renew(stream)
        else:
            # an empty line ends the round, so that whatever comes next is fresh
            self._round += 1
            self._left = 0
            return None
        stream.in_line = False
        return stream

    def sent(self, stream: _Turned, size: int, more: bool) -> None:
        """
        End a turn.

        @param size: how many bytes were sent.
        @param more: whether it has more to send.
        """
        stream.allowance -= size
        if more and not stream.in_line:
            stream.in_line = True
            self._regular.append(stream)

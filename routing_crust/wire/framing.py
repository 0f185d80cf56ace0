"""
Frames: how messages are told apart on a link's byte stream.

A frame is a 32-bit word in network byte order, the frame's kind in its upper 8 bits and the length of
the payload in its lower 24, followed by the payload.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from enum import IntEnum
from typing import Final

from ..errors import WireError

HEADER_BYTES: Final = 4
LARGEST_FRAME: Final = (1 << 24) - 1
_HEADER = struct.Struct(">I")


class FrameKind(IntEnum):
    """What a frame holds. 32 to 63 are kept for byte streams, 128 to 255 are the application's."""

    HEARTBEAT = 1
    HELLO = 2
    CONFIRMATION = 3
    CONFIRMATION_ACK = 4
    GOODBYE = 5
    ENVELOPE = 6
    MESSAGE = 7
    ACK = 8


def frame_header(kind: int, length: int) -> bytes:
    """The four bytes that precede a payload of this kind and length."""
    return _HEADER.pack(kind << 24 | length)


class FrameDecoder:
    """
    Cuts a byte stream into frames, however the stream was split. Holds no more than one frame.

    Small frames are cut out of the chunk they came in with one pass and no joining; a frame that spans
    chunks is gathered in a list and joined once.

    @ivar limit: the largest payload that is accepted, in bytes; may be changed between frames.
    """

    __slots__ = ("_deliver", "_gathered", "_head", "_kind", "_missing", "_stopped", "limit")

    def __init__(self, limit: int, deliver: Callable[[int, bytes], None]) -> None:
        """
        @param deliver: called with the kind and the payload of each frame, in order, from within L{feed}.
        """
        self.limit = limit
        self._deliver = deliver
        self._head = b""
        self._gathered: list[bytes] = []
        self._kind = 0
        self._missing = 0
        self._stopped = False

    def stop(self) -> None:
        """Deliver nothing more, not even what the chunk at hand still holds."""
        self._stopped = True
        self._head = b""
        self._gathered = []
        self._missing = 0

    def feed(self, data: bytes) -> None:
        """
        Take the next bytes of the stream.

        @raise WireError: a frame is larger than L{limit}. It is raised before any of it is kept.
        """
        at = 0
        if self._missing:
            if len(data) < self._missing:
                self._gathered.append(data)
                self._missing -= len(data)
                return
            at = self._missing
            self._gathered.append(data[:at])
            payload = b"".join(self._gathered)
            self._gathered = []
            self._missing = 0
            self._deliver(self._kind, payload)
        elif self._head:
            data = self._head + data
            self._head = b""
        self._cut(data, at)

    def _cut(self, data: bytes, at: int) -> None:
        end = len(data)
        deliver = self._deliver
        unpack = _HEADER.unpack_from
        while end - at >= HEADER_BYTES and not self._stopped:
            (word,) = unpack(data, at)
            length = word & LARGEST_FRAME
            if length > self.limit:
                raise WireError(f"a frame of {length} bytes is over the limit of {self.limit}")
            start = at + HEADER_BYTES
            at = start + length
            if at > end:
                self._kind = word >> 24
                self._gathered = [data[start:]]
                self._missing = at - end
                return
            deliver(word >> 24, data[start:at])
        if not self._stopped:
            self._head = data[at:]

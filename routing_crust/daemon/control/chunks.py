"""
How a stream is written on a connection of the control socket: in chunks, so that the end of a stream can be
told from the loss of it.

A chunk has a byte for its L{ChunkKind}, the length of what follows in 32 bits, big-endian,
and that number of bytes.
The order: any number of C{DATA}; C{END}, once; C{CLOSE} or C{RESET} at any time, after which the connection
is closed. A connection that ends without them is a stream that is lost.

The console script reads this too, so nothing of Twisted is here.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final

from ...limits import KIB
from ...plain_errors import RoutingCrustError

MAX_CHUNK_BYTES: Final = 64 * KIB
"""What follows the head of a chunk, at most, in bytes."""
_HEAD: Final = struct.Struct(">BI")


class ChunkKind(IntEnum):
    """What a chunk is."""

    DATA = 0
    """Bytes of the stream."""
    END = 1
    """The sender has sent all; it reads on."""
    CLOSE = 2
    """The sender has sent all, and reads no more."""
    RESET = 3
    """The stream is given up; C{resets} says how the reason is written."""


class NotAChunk(RoutingCrustError):
    """The other end of the control socket does not speak this protocol."""


class ChunkReader:
    """Takes chunks out of the bytes of one connection, wherever those are split."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def add(self, data: bytes) -> None:
        """Take in bytes that came."""
        self._buffer += data

    def next(self) -> tuple[ChunkKind, bytes] | None:
        """
        Take out the next chunk.

        @return: its kind and what follows the head; C{None} until all of it has come.
        @raise NotAChunk: the head is none.
        """
        buffer = self._buffer
        if len(buffer) < _HEAD.size:
            return None
        kind, length = _HEAD.unpack_from(buffer)
        # before the rest is waited for: no head may make us hold more than a chunk
        if kind > ChunkKind.RESET or length > MAX_CHUNK_BYTES:
            raise NotAChunk
        end = _HEAD.size + length
        if len(buffer) < end:
            return None
        # a slice of the buffer would be copied once more, and cleared first
        with memoryview(buffer) as view:
            payload = bytes(view[_HEAD.size : end])
        del buffer[:end]
        return ChunkKind(kind), payload

    def clear(self) -> None:
        """Throw away what has come."""
        self._buffer.clear()


def chunk_head(kind: ChunkKind, payload: bytes) -> bytes:
    """What goes before a payload."""
    return _HEAD.pack(kind, len(payload))

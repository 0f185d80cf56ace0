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
        self._buffer = b""
        self._at = 0

    def add(self, data: bytes) -> None:
        """Take in bytes that came."""
        left = self._buffer[self._at :]
        self._buffer = left + data if left else data
        self._at = 0

    def next(self) -> tuple[ChunkKind, bytes] | None:
        """
        Take out the next chunk, or all of the next ones that are C{DATA}, as one.

        @return: its kind and what follows the head; C{None} until all of it has come.
        @raise NotAChunk: the head is none.
        """
        buffer, at = self._buffer, self._at
        view = memoryview(buffer)
        found: list[memoryview] = []
        while len(buffer) - at >= _HEAD.size:
            kind, length = _HEAD.unpack_from(buffer, at)
            end = at + _HEAD.size + length
            # before the rest is waited for: no head may make us hold more than a chunk
            is_bad = kind > ChunkKind.RESET or length > MAX_CHUNK_BYTES
            if found and (is_bad or kind != ChunkKind.DATA):
                break
            if is_bad:
                raise NotAChunk
            if len(buffer) < end:
                break
            payload = view[at + _HEAD.size : end]
            at = self._at = end
            if kind != ChunkKind.DATA:
                return ChunkKind(kind), payload.tobytes()
            found.append(payload)
        if not found:
            return None
        return ChunkKind.DATA, b"".join(found)

    def clear(self) -> None:
        """Throw away what has come."""
        self._buffer = b""
        self._at = 0


def in_chunks(data: bytes) -> bytes:
    """Bytes of a stream, as chunks."""
    if len(data) <= MAX_CHUNK_BYTES:
        return chunk_head(ChunkKind.DATA, data) + data
    parts: list[bytes | memoryview] = []
    view = memoryview(data)
    for start in range(0, len(data), MAX_CHUNK_BYTES):
        part = view[start : start + MAX_CHUNK_BYTES]
        parts += (chunk_head(ChunkKind.DATA, part), part)
    return b"".join(parts)


def chunk_head(kind: ChunkKind, payload: bytes | memoryview) -> bytes:
    """What goes before a payload."""
    return _HEAD.pack(kind, len(payload))

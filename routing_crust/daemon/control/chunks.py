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

import socket
import struct
from contextlib import suppress
from enum import IntEnum
from typing import Final

from ...limits import KIB, MIB
from ...plain_errors import RoutingCrustError

MAX_CHUNK_BYTES: Final = MIB
"""What follows the head of a chunk, at most, in bytes."""
READ_BYTES: Final = 256 * KIB
"""What a program reads of a stream at once. Within a large chunk it finds no head, and copies nothing."""
UNREAD_BYTES: Final = MIB
"""What the kernel is asked to keep for an end that does not read. For TCP it does so by itself."""
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
    """
    Takes chunks out of the bytes of one connection, wherever those are split. Of a C{DATA} what has come is
    given on, so that no bytes are copied to wait for the rest.
    """

    def __init__(self) -> None:
        self._buffer = b""
        self._at = 0
        self._data_left = 0

    def add(self, data: bytes) -> None:
        """Take in bytes that came."""
        left = self._buffer[self._at :]
        self._buffer = left + data if left else data
        self._at = 0

    def next(self) -> tuple[ChunkKind, bytes] | None:
        """
        Take out the next chunk, or what has come of all of the next ones that are C{DATA}, as one.

        @return: its kind and what follows the head; C{None} until more has come.
        @raise NotAChunk: the head is none.
        """
        buffer, at, left = self._buffer, self._at, self._data_left
        if buffer and not at and len(buffer) <= left:
            self._buffer, self._data_left = b"", left - len(buffer)
            return ChunkKind.DATA, buffer
        view = memoryview(buffer)
        found: list[memoryview] = []
        while at < len(buffer):
            if left:
                found.append(view[at : at + left])
                at += len(found[-1])
                left -= len(found[-1])
                continue
            if len(buffer) - at < _HEAD.size:
                break
            kind, length = _HEAD.unpack_from(buffer, at)
            # before the rest is waited for: no head may make us hold more than a chunk
            is_bad = kind > ChunkKind.RESET or length > MAX_CHUNK_BYTES
            if found and (is_bad or kind != ChunkKind.DATA):
                break
            if is_bad:
                raise NotAChunk
            end = at + _HEAD.size + length
            if kind == ChunkKind.DATA:
                at += _HEAD.size
                left = length
            elif len(buffer) < end:
                break
            else:
                self._at = end
                return ChunkKind(kind), buffer[at + _HEAD.size : end]
        self._at, self._data_left = at, left
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


def make_room(wire: socket.socket) -> None:
    """Have a socket hold more of a stream than the kernel lets it by itself, so that its ends seldom wait."""
    # some systems refuse what is too much for them, others take less
    with suppress(OSError):
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, UNREAD_BYTES)

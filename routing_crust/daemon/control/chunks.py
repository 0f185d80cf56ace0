"""
How a stream is written on a connection of the control socket: in chunks, so that the end of a stream can be
told from the loss of it.

A chunk has a byte for its L{ChunkKind}, the length of what follows in 32 bits, big-endian,
and that number of bytes.
The order: any number of C{DATA}; C{END}, once; C{CLOSE} or C{RESET} at any time, after which the connection
is closed. A connection that ends without them is a stream that is lost.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final

import msgspec
from twisted.internet.error import ConnectionLost

from ...limits import KIB
from ...plain_errors import RoutingCrustError
from ...streams import StreamLinkLost, StreamReason, StreamReset

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
    """The stream is given up; a L{ResetReason} as JSON says why."""


class ResetReason(msgspec.Struct, frozen=True):
    """
    Why a stream is given up.

    @ivar reason: a L{StreamReason}, if it was reset.
    @ivar text: in words.
    """

    reason: int | None
    text: str


class SocketLost(RoutingCrustError):
    """The other end of the control socket is gone; the text says what that was."""


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
        payload = bytes(buffer[_HEAD.size : end])
        del buffer[:end]
        return ChunkKind(kind), payload

    def clear(self) -> None:
        """Throw away what has come."""
        self._buffer.clear()


def chunk_head(kind: ChunkKind, payload: bytes) -> bytes:
    """What goes before a payload."""
    return _HEAD.pack(kind, len(payload))


def reset_payload(problem: BaseException | None) -> bytes:
    """The payload of a L{ChunkKind.RESET} for the error that a stream has ended with."""
    if isinstance(problem, StreamReset):
        reset = ResetReason(int(problem.reason), problem.detail)
    else:
        reset = ResetReason(None, str(problem.problem if isinstance(problem, StreamLinkLost) else problem))
    return msgspec.json.encode(reset)


def reset_problem(payload: bytes) -> Exception:
    """The error that a stream ends with, from the payload of a L{ChunkKind.RESET}."""
    try:
        reset = msgspec.json.decode(payload, type=ResetReason)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ConnectionLost("it was reset, and why cannot be read")
    if reset.reason is None:
        return StreamLinkLost(SocketLost(reset.text))
    # the other end may be of a newer version
    known = reset.reason in [int(each) for each in StreamReason]
    return StreamReset(StreamReason(reset.reason) if known else StreamReason.UNKNOWN, reset.text)

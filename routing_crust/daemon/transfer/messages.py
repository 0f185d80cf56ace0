"""
What the two ends of a transfer say to each other, and its frames. docs/files-wire.rst has it in words.

A frame is its kind in one byte, a length in 32 bits and as many bytes. A C{MESSAGE} is one of the structs
here, in MessagePack; a C{DATA} is an offset of 64 bits and bytes of the file. Numbers are big-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, Final, TypeAlias

import msgspec

from ...limits import MIB
from ...plain_errors import RoutingCrustError

PROTOCOL: Final = "routing-crust-files"
"""The protocol's name among the streams of a node."""
VERSION: Final = 1
MAX_ENTRIES: Final = 1_000_000
"""Files and folders of one transfer."""
MAX_FILE_BYTES: Final = 16 * 1024 * 1024 * MIB
"""The largest file: 16 TiB, as of ext4."""
MAX_NAME_BYTES: Final = 255
MAX_DEPTH: Final = 100
"""Folders in folders."""
MAX_PATH_BYTES: Final = 4096
MAX_SHOWN_ITEMS: Final = 20
"""Names in an offer, for the person who is asked; the others are counted only."""
MAX_TEXT_CHARACTERS: Final = 500
MAX_CHUNKS: Final = 8192
"""Hashes of one file on the wire: the chunks of larger files are larger."""
LEAST_CHUNK_BYTES: Final = MIB
HASH_BYTES: Final = 32
MAX_MESSAGE_BYTES: Final = MAX_CHUNKS * HASH_BYTES + 64
MAX_DATA_BYTES: Final = MIB
"""Bytes of a file in one frame."""
_HEAD: Final = struct.Struct(">BI")
_DATA_HEAD: Final = struct.Struct(">BIQ")
_OFFSET: Final = struct.Struct(">Q")

_Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=MAX_ENTRIES)]
_Bytes: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
_Size: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=MAX_FILE_BYTES)]
_Name: TypeAlias = Annotated[bytes, msgspec.Meta(min_length=1, max_length=MAX_NAME_BYTES)]
_Mode: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=0o777)]
_Time: TypeAlias = Annotated[int, msgspec.Meta(ge=-(2**62), le=2**62)]
_Hash: TypeAlias = Annotated[bytes, msgspec.Meta(min_length=HASH_BYTES, max_length=HASH_BYTES)]
_Text: TypeAlias = Annotated[str, msgspec.Meta(max_length=MAX_TEXT_CHARACTERS)]


class ProtocolBroken(RoutingCrustError):
    """The other end said what it may not say; the text says what."""


class TransferFrameKind(IntEnum):
    """What a frame is."""

    MESSAGE = 0
    DATA = 1


class _Message(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A message: an array of its number and its fields."""


class Offer(_Message, frozen=True, tag=0):
    """
    The first message, of the sender.

    @ivar files: how many files at most.
    @ivar folders: how many folders at most.
    @ivar size: how many bytes they have together, at most.
    @ivar stored: how many of these are no holes.
    @ivar items: the first of the names that the receiver will find in its folder.
    """

    version: Annotated[int, msgspec.Meta(ge=0, le=2**31)]
    files: _Count
    folders: _Count
    size: _Bytes
    stored: _Bytes
    items: Annotated[tuple[_Name, ...], msgspec.Meta(min_length=1, max_length=MAX_SHOWN_ITEMS)]


class Accept(_Message, frozen=True, tag=1):
    """The receiver takes the offer."""


class Entry(_Message, frozen=True, tag=2):
    """
    One file or folder, of the sender.

    @ivar path: its names, from the item down.
    @ivar mode: its permission bits.
    @ivar modified: when it was changed last, in nanoseconds since 1970.
    @ivar size: of a file; a folder has C{None}.
    """

    path: Annotated[tuple[_Name, ...], msgspec.Meta(min_length=1, max_length=MAX_DEPTH)]
    mode: _Mode
    modified: _Time
    size: _Size | None


class Want(_Message, frozen=True, tag=3):
    """
    The receiver's answer to each file.

    @ivar have: how many bytes of it are there, from its beginning.
    @ivar hashes: the SHA-256 of each chunk of these, one after the other.
    @ivar fixed: the file is in its place already: it must be the same, and nothing is sent.
    """

    have: _Size
    hashes: Annotated[bytes, msgspec.Meta(max_length=MAX_CHUNKS * HASH_BYTES)]
    fixed: bool


class End(_Message, frozen=True, tag=4):
    """
    All of a file was sent.

    @ivar digest: the SHA-256 of all of it.
    """

    digest: _Hash


class Done(_Message, frozen=True, tag=5):
    """The sender has sent all; then the receiver has all of it in its place."""


class Failed(_Message, frozen=True, tag=6):
    """The last message of either end: it gives up, and why."""

    text: _Text


Message: TypeAlias = Offer | Accept | Entry | Want | End | Done | Failed


@dataclass(frozen=True, slots=True)
class Data:
    """Bytes of a file: a frame, or a part of one that has come already."""

    offset: int
    content: bytes


_encode = msgspec.msgpack.Encoder().encode
_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


def message_frame(message: Message) -> bytes:
    """The frame of a message."""
    body = _encode(message)
    return _HEAD.pack(TransferFrameKind.MESSAGE, len(body)) + body


def data_head(offset: int, length: int) -> bytes:
    """What goes before bytes of a file."""
    return _DATA_HEAD.pack(TransferFrameKind.DATA, length + _OFFSET.size, offset)


def failed(text: str) -> Failed:
    """The message that we give up; a longer text is cut."""
    return Failed(text[:MAX_TEXT_CHARACTERS])


def chunk_bytes(size: int) -> int:
    """The size of the chunks whose hashes are compared, for a file of this size."""
    chunk = LEAST_CHUNK_BYTES
    # doubled, so that all ends cut a file of one size at the same places
    while size > chunk * MAX_CHUNKS:
        chunk *= 2
    return chunk


class FrameReader:
    """
    Takes frames out of what comes. Bytes of files are given on as they come, so that at most one message is
    held.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._data_left = 0
        self._offset = 0

    def take(self, piece: bytes) -> Iterator[Message | Data]:
        """
        Take the next bytes.

        @raise ProtocolBroken: they are no frames.
        """
        # the usual case, without a copy: a piece within a frame of data
        if piece and self._data_left and not self._buffer:
            content = piece[: self._data_left]
            yield self._data(content)
            piece = piece[len(content) :]
        self._buffer += piece
        while (frame := self._next()) is not None:
            yield frame

    def _next(self) -> Message | Data | None:
        buffer = self._buffer
        if not self._data_left:
            if len(buffer) < _HEAD.size:
                return None
            kind, length = _HEAD.unpack_from(buffer)
            if kind != TransferFrameKind.DATA:
                return self._message(kind, length)
            # a frame without bytes would cost a turn and bring nothing
            if not _OFFSET.size < length <= MAX_DATA_BYTES + _OFFSET.size:
                raise ProtocolBroken(f"a frame of data has {length} bytes")
            if len(buffer) < _DATA_HEAD.size:
                return None
            _, _, self._offset = _DATA_HEAD.unpack_from(buffer)
            self._data_left = length - _OFFSET.size
            del buffer[: _DATA_HEAD.size]
        # as in ChunkReader: one copy
        with memoryview(buffer) as view:
            content = bytes(view[: self._data_left])
        del buffer[: len(content)]
        return self._data(content) if content else None

    def _message(self, kind: int, length: int) -> Message | None:
        # before the rest is waited for: no head may make us hold more than a message
        if kind != TransferFrameKind.MESSAGE or length > MAX_MESSAGE_BYTES:
            raise ProtocolBroken(f"a frame of kind {kind} has {length} bytes")
        end = _HEAD.size + length
        if len(self._buffer) < end:
            return None
        body = bytes(self._buffer[_HEAD.size : end])
        del self._buffer[:end]
        return decode(body)

    def _data(self, content: bytes) -> Data:
        data = Data(self._offset, content)
        self._offset += len(content)
        self._data_left -= len(content)
        return data


def decode(body: bytes) -> Message:
    """
    Decode a message.

    @raise ProtocolBroken: it is none.
    """
    try:
        return _decoder.decode(body)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise ProtocolBroken(f"this is no message: {error}") from None

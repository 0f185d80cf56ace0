"""
Datagrams as bytes of a stream, and the queue in which they wait for it. Values, without I/O.

On the stream each datagram follows its length, as DNS does over TCP (RFC 1035, section 4.2.2): two bytes,
the high one first. An empty datagram is a length of 0 alone.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator
from typing import Final

from ....errors import WireError
from ....limits import KIB

MAX_DATAGRAM_BYTES: Final = 65_507
"""What UDP over IPv4 carries at most."""
QUEUE_DATAGRAMS: Final = 256
"""Datagrams of one source that wait; of more the oldest goes."""
QUEUE_BYTES: Final = 256 * KIB
"""What these take at most."""
_LENGTH: Final = struct.Struct(">H")


def frame(datagram: bytes) -> bytes:
    """
    A datagram as it goes over the stream.

    @raise WireError: it is longer than UDP carries.
    """
    return _LENGTH.pack(_checked(len(datagram))) + datagram


class DatagramReader:
    """Takes the datagrams out of the bytes of a stream. It keeps less than one datagram."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """
        The datagrams that are complete with these bytes; to be read to the end.

        @raise WireError: one is longer than UDP carries.
        """
        held = self._held
        held += data
        at = 0
        try:
            while len(held) - at >= _LENGTH.size:
                length = _checked(_LENGTH.unpack_from(held, at)[0])
                end = at + _LENGTH.size + length
                if len(held) < end:
                    return
                yield bytes(held[at + _LENGTH.size : end])
                at = end
        finally:
            # once for all of them: each deletion moves what is behind it
            del held[:at]


class DatagramQueue:
    """Datagrams that cannot be sent now. Newer ones push out the oldest, as a router's would."""

    def __init__(self) -> None:
        self._waiting: deque[bytes] = deque()
        self._size = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, datagram: bytes) -> int:
        """
        Append one.

        @return: how many others were dropped for it.
        """
        self._waiting.append(datagram)
        self._size += len(datagram)
        dropped = 0
        while len(self._waiting) > QUEUE_DATAGRAMS or self._size > QUEUE_BYTES:
            self.take()
            dropped += 1
        return dropped

    def take(self) -> bytes:
        """Remove the oldest."""
        datagram = self._waiting.popleft()
        self._size -= len(datagram)
        return datagram


def _checked(length: int) -> int:
    if length > MAX_DATAGRAM_BYTES:
        raise WireError(f"a datagram of {length} bytes is over the limit of {MAX_DATAGRAM_BYTES}")
    return length

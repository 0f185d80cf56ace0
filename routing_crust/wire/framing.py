"""
Frames: the units into which a link's byte stream is cut.

A frame is a 32-bit word in network byte order, the frame's kind in its upper 8 bits and the length of
the payload in its lower 24, followed by the payload.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from enum import IntEnum
from typing import Final, Generic, TypeVar

from ..errors import WireError

MAX_FRAME_BYTES: Final = 64 * 1024
"""The largest payload of a frame."""

_Subject = TypeVar("_Subject")

FIRST_APPLICATION_KIND: Final = 128
"""Kinds from here on are the application's."""
HEADER_BYTES: Final = 4
MAX_FRAME_PAYLOAD_BYTES: Final = (1 << 24) - 1
_WORD = struct.Struct(">I")
# The same four bytes as kind and the two halves of the length: numbers that Python need not allocate.
_FIELDS = struct.Struct(">BBH")


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
    CONTACTS = 9
    REDEEM = 10
    REDEEMED = 11
    MEMBER_SUMMARY = 12
    MEMBERS_WANTED = 13
    MEMBERS = 14
    TUNNEL_CREDIT = 15
    TUNNEL_OPEN = 16
    TUNNEL_OPENED = 17
    TUNNEL_DATA = 18
    TUNNEL_CLOSED = 19
    DIAL_BACK = 20
    DIAL_FOR = 21
    DIALLED = 22
    DIALLED_BACK = 23
    SWITCHED = 24
    ANEW = 25
    CONTINUED = 26
    REFUSED = 27
    RENEWAL = 28
    ROSTER_IDS = 29
    ROSTER = 30
    INVITATIONS = 31


_LAST_CONTROL: Final = int(FrameKind.GOODBYE)

STREAM_FRAME_CHARGE: Final = 15
OTHER_FRAME_CHARGE: Final = 20
APPLICATION_FRAME_CHARGE: Final = 2
_CHARGES: Final = {
    FrameKind.HEARTBEAT: 3,
    FrameKind.ENVELOPE: 150,
    FrameKind.MESSAGE: 40,
    FrameKind.ACK: 10,
    FrameKind.CONTACTS: 200,
    FrameKind.REDEEM: 200,
    FrameKind.TUNNEL_OPEN: 300,
    FrameKind.DIAL_BACK: 100,
    FrameKind.DIAL_FOR: 100,
    FrameKind.RENEWAL: 300,
    FrameKind.ROSTER_IDS: 300,
    FrameKind.ROSTER: 2000,
    FrameKind.INVITATIONS: 500,
    FrameKind.MEMBER_SUMMARY: 100,
    FrameKind.MEMBERS_WANTED: 500,
    FrameKind.MEMBERS: 2000,
}
FRAME_CHARGES: Final = tuple(
    _CHARGES[FrameKind(kind)]
    if kind in _CHARGES
    else APPLICATION_FRAME_CHARGE
    if kind >= FIRST_APPLICATION_KIND
    else STREAM_FRAME_CHARGE
    if 32 <= kind < 64
    else OTHER_FRAME_CHARGE
    for kind in range(256)
)
"""What taking a frame of each kind costs a node: about the microseconds of work, whatever its size."""
UNLIMITED_CHARGE: Final = 1 << 60
"""An allowance that nothing uses up."""


def frame_header(kind: int, length: int) -> bytes:
    """The four bytes that precede a payload of this kind and length."""
    return _WORD.pack(kind << 24 | length)


class FrameDecoder(Generic[_Subject]):
    """
    Cuts a byte stream into frames, however the stream was split. Holds no more than one frame, and what came
    after its allowance was used up: the caller has to stop reading, and calls L{go_on} when there is more.

    Small frames are cut out of the chunk they came in with one pass and no joining; a frame that spans
    chunks is gathered in a list and joined once.

    @ivar limit: the largest payload that is accepted, in bytes; may be changed between frames, also from
        within C{deliver}. It is -1 once the decoder was stopped.
    @ivar allowance: the charge of the frames that may still be delivered; may be changed between calls. The
        last of them may exceed it.
    @ivar waiting: the bytes that came after the allowance was used up.
    """

    __slots__ = (
        "_control", "_deliver", "_gathered", "_head", "_kind", "_missing", "_subject", "allowance", "limit",
        "waiting",
    )  # fmt: skip

    def __init__(
        self,
        limit: int,
        deliver: Callable[[_Subject, int, bytes], object],
        subject: _Subject,
        control: Callable[[int, bytes], object],
    ) -> None:
        """
        @param deliver: called with C{subject}, the kind and the payload of each frame, in order, from
            within L{feed}. The subject is an argument, and not bound, because every call counts here.
        @param control: called instead, without the subject, for kinds up to L{FrameKind.GOODBYE}.
        """
        self.limit = limit
        self.allowance = UNLIMITED_CHARGE
        self.waiting: list[bytes] = []
        self._deliver = deliver
        self._subject = subject
        self._control = control
        self._head = b""
        self._gathered: list[bytes] = []
        self._kind = 0
        self._missing = 0

    def stop(self) -> None:
        """Deliver nothing more, not even what the chunk at hand still holds."""
        self.limit = -1
        self._head = b""
        self._gathered = []
        self._missing = 0
        self.waiting = []

    def go_on(self) -> None:
        """
        Cut what waits, as far as the allowance goes now.

        @raise WireError: as L{feed}.
        """
        waiting, self.waiting = self.waiting, []
        if waiting:
            self.feed(b"".join(waiting))

    def feed(self, data: bytes) -> None:
        """
        Take the next bytes of the stream.

        @raise WireError: a frame is larger than L{limit}. It is raised before any of it is kept.
        """
        at = 0
        # what waits comes first, or frames would change places
        if self.allowance <= 0 or self.waiting:
            self.waiting.append(data)
            return
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
            self.allowance -= FRAME_CHARGES[self._kind]
            if self._kind > _LAST_CONTROL:
                self._deliver(self._subject, self._kind, payload)
            else:
                self._control(self._kind, payload)
        elif self._head:
            data = self._head + data
            self._head = b""
        self._cut(data, at)

    def _cut(self, data: bytes, at: int) -> None:
        end = len(data)
        last = end - HEADER_BYTES
        # looked up once: a read may hold thousands of frames
        deliver, subject = self._deliver, self._subject
        unpack = _FIELDS.unpack_from
        charges, allowance = FRAME_CHARGES, self.allowance
        while at <= last:
            if allowance <= 0:
                self.allowance = allowance
                if self.limit >= 0:
                    self.waiting.append(data[at:])
                return
            kind, high, low = unpack(data, at)
            start = at + HEADER_BYTES
            at = start + (high << 16 | low)
            # checked before the payload has come, so that no more than the limit is ever gathered
            if at - start > self.limit:
                # a handler has stopped the decoder: the rest of the chunk is not delivered
                if self.limit < 0:
                    return
                raise WireError(f"a frame of {at - start} bytes is over the limit of {self.limit}")
            if at > end:
                self.allowance = allowance
                self._kind = kind
                self._gathered = [data[start:]]
                self._missing = at - end
                return
            allowance -= charges[kind]
            if kind > _LAST_CONTROL:
                deliver(subject, kind, data[start:at])
            else:
                self._control(kind, data[start:at])
        self.allowance = allowance
        if self.limit >= 0:
            self._head = data[at:]

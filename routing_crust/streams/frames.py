"""
The frames of streams: what they hold, byte for byte.

Every payload begins with the number of its stream, 32 bits, but those of RESUME and ACK, which are about all
streams. Where there is more, it follows without padding; numbers are in network byte order.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from enum import IntEnum
from math import ceil
from typing import Final

from ..errors import WireError
from ..forwarding_rules import MAX_PROTOCOL_CHARACTERS, is_protocol

MAX_WINDOW_BYTES: Final = (1 << 31) - 1
"""The largest window: the most bytes that a stream may have on its way."""
EARLY_BYTES: Final = 4096
"""
What the end that opens a stream may send before it has the answer, which gives it the rest of its window. No
window is smaller (C{LEAST_STREAM_MEMORY}), so every stream is sure of as much memory.
"""
MAX_STREAM_NUMBER: Final = (1 << 32) - 1
MAX_DETAIL_BYTES: Final = 200
"""What a reason's detail has at most; a longer one is cut off."""
NUMBER_BYTES: Final = 4
_MAX_SECONDS: Final = (1 << 32) - 1

_NUMBER = struct.Struct(">I")
_TWO = struct.Struct(">II")
_THREE = struct.Struct(">III")
_REASON = struct.Struct(">IB")
_RESUME = struct.Struct(">QQIQB")
_COUNT = struct.Struct(">Q")
_UNPRINTABLE = re.compile(r"[^ -~]+")


class StreamFrame(IntEnum):
    """The kinds of frames; numbers of L{FrameKind<routing_crust.wire.framing.FrameKind>}'s space."""

    OPEN = 32
    OPENED = 33
    REFUSED = 34
    DATA = 35
    CREDIT = 36
    FIN = 37
    CLOSE = 38
    RESET = 39
    RESUME = 40
    ACK = 41


class StreamReason(IntEnum):
    """Why a stream is refused or reset. Numbers are never reused; one that is not known is read as 0."""

    UNKNOWN = 0
    NOT_OFFERED = 1
    NOT_ALLOWED = 2
    TOO_MANY = 3
    FAILED = 4
    ABORTED = 5
    CANCELLED = 6
    TOO_SLOW = 7
    EXPIRED = 8

    @property
    def text(self) -> str:
        """The reason in words, for logs and errors."""
        return _REASON_TEXTS[self]


_REASON_TEXTS = {
    StreamReason.UNKNOWN: "no reason was given",
    StreamReason.NOT_OFFERED: "nobody offers this protocol there",
    StreamReason.NOT_ALLOWED: "this protocol is not for this peer",
    StreamReason.TOO_MANY: "there are too many streams",
    StreamReason.FAILED: "it failed",
    StreamReason.ABORTED: "the stream was aborted",
    StreamReason.CANCELLED: "the stream is not wanted any more",
    StreamReason.TOO_SLOW: "no answer came in time",
    StreamReason.EXPIRED: "there was no link for longer than the stream may be suspended",
}


Cause = tuple[StreamReason, str]
"""Why a stream has ended: the reason, and details in words, which may be empty."""


class Ended(IntEnum):
    """Why an end has no earlier session of streams with the peer. An unknown number is read as 0."""

    NONE = 0
    """It knows of none: it is the first, or the end was restarted."""
    EXPIRED = 1
    NO_ROOM = 2
    REFUSED = 3
    """The peer's numbers cannot be."""
    CLOSED = 4
    """An end has closed the link on purpose, or had no more use for its streams."""


@dataclass(frozen=True, slots=True)
class Resume:
    """
    What an end says first on a link: which session of streams it has, and how far that has come.

    @ivar mine: the number of the sender's session, 64 random bits; never 0.
    @ivar yours: the number of the receiver's session that it belongs to; 0 if the sender does not know it.
    @ivar epoch: counts the links, and the losses on one link, that the session has had.
    @ivar received: how many counted frames of the receiver's session the sender has received.
    @ivar ended: why the session before this one was ended.
    """

    mine: int
    yours: int
    epoch: int
    received: int
    ended: Ended = Ended.NONE


def check_protocol(protocol: str) -> str:
    """
    @return: C{protocol}, if it can be the name of one.
    @raise ValueError: it cannot.
    """
    if not is_protocol(protocol):
        raise ValueError(
            f"{protocol!r} cannot be the name of a protocol: write up to {MAX_PROTOCOL_CHARACTERS} letters, "
            "digits and . _ + - and begin with a letter or digit"
        )
    return protocol


def open_frame(stream: int, window: int, survival: float, protocol: str) -> bytes:
    """
    The payload of an L{StreamFrame.OPEN}.

    @param survival: for how many seconds the stream may be suspended; whole ones are sent.
    """
    return opened_frame(stream, window, survival) + protocol.encode("ascii")


def opened_frame(stream: int, window: int, survival: float) -> bytes:
    """The payload of an L{StreamFrame.OPENED}."""
    # rounded up: a part of a second must not become 0, which ends the stream with its link
    return _THREE.pack(stream, window, min(ceil(survival), _MAX_SECONDS))


def reason_frame(stream: int, reason: StreamReason, detail: str) -> bytes:
    """The payload of a L{StreamFrame.REFUSED}, a L{StreamFrame.RESET}, or an unclean L{StreamFrame.CLOSE}."""
    # a lone surrogate cannot be encoded; a character that the cut splits is replaced by the reader
    return _REASON.pack(stream, reason) + detail.encode("utf-8", "replace")[:MAX_DETAIL_BYTES]


pack_number = _NUMBER.pack
"""The payload of L{StreamFrame.FIN} and a clean L{StreamFrame.CLOSE}; L{StreamFrame.DATA} begins with it."""
pack_two = _TWO.pack
"""The payload of a L{StreamFrame.CREDIT}: the stream and a number of bytes."""


def stream_of(payload: bytes) -> int:
    """
    The number of the stream that a frame is about.

    @raise WireError: there is none.
    """
    if len(payload) < NUMBER_BYTES:
        raise WireError("a frame of a stream is too short")
    number: int = _NUMBER.unpack_from(payload)[0]
    return number


def read_open(payload: bytes) -> tuple[int, int, str]:
    """
    The window, the survival in seconds, and the protocol of an L{StreamFrame.OPEN}.

    @raise WireError: it is none.
    """
    if not _THREE.size < len(payload) <= _THREE.size + MAX_PROTOCOL_CHARACTERS:
        raise WireError("an OPEN is too short or too long")
    window, survival = read_opened(payload[: _THREE.size])
    try:
        return window, survival, check_protocol(payload[_THREE.size :].decode("ascii"))
    except ValueError:
        raise WireError("the name of a protocol is malformed") from None


def read_opened(payload: bytes) -> tuple[int, int]:
    """
    The window, and the survival in seconds, of an L{StreamFrame.OPENED}.

    @raise WireError: it is none.
    """
    if len(payload) != _THREE.size:
        raise WireError("an OPENED is too short or too long")
    _, window, survival = _THREE.unpack(payload)
    return _window(window), survival


def read_amount(payload: bytes) -> int:
    """
    The number of bytes in a L{StreamFrame.CREDIT}.

    @raise WireError: it is none.
    """
    if len(payload) != _TWO.size:
        raise WireError("a frame with a number of bytes is too short or too long")
    return _window(_TWO.unpack(payload)[1])


def resume_frame(resume: Resume) -> bytes:
    """The payload of a L{StreamFrame.RESUME}."""
    return _RESUME.pack(resume.mine, resume.yours, resume.epoch, resume.received, resume.ended)


def read_resume(payload: bytes) -> Resume:
    """
    Read the payload of a L{StreamFrame.RESUME}.

    @raise WireError: it is none.
    """
    if len(payload) != _RESUME.size:
        raise WireError("a RESUME is too short or too long")
    mine, yours, epoch, received, ended = _RESUME.unpack(payload)
    if not mine or not epoch:
        raise WireError("the session or the epoch of a RESUME is 0")
    return Resume(mine, yours, epoch, received, Ended(ended) if ended in _ENDED_NUMBERS else Ended.NONE)


pack_count = _COUNT.pack
"""The payload of an L{StreamFrame.ACK}: how many counted frames have been received."""


def read_count(payload: bytes) -> int:
    """
    The number of frames in an L{StreamFrame.ACK}.

    @raise WireError: it is none.
    """
    if len(payload) != _COUNT.size:
        raise WireError("an ACK is too short or too long")
    count: int = _COUNT.unpack(payload)[0]
    return count


def read_nothing(payload: bytes) -> None:
    """
    Check a L{StreamFrame.FIN}.

    @raise WireError: it is none.
    """
    if len(payload) != NUMBER_BYTES:
        raise WireError("a frame that ends something is too long")


def read_close(payload: bytes) -> Cause | None:
    """
    What has cut a stream off, from its L{StreamFrame.CLOSE}; C{None} if its end is clean.

    @raise WireError: it is none.
    """
    return read_reason(payload) if len(payload) > NUMBER_BYTES else None


def read_reason(payload: bytes) -> Cause:
    """
    The reason and the detail of a L{StreamFrame.REFUSED} or a L{StreamFrame.RESET}.

    @return: the detail has nothing in it that would upset a log.
    @raise WireError: it is neither.
    """
    if not _REASON.size <= len(payload) <= _REASON.size + MAX_DETAIL_BYTES:
        raise WireError("a frame with a reason is too short or too long")
    number = payload[NUMBER_BYTES]
    detail = _UNPRINTABLE.sub("?", payload[_REASON.size :].decode("utf-8", "replace"))
    return StreamReason(number) if number in _REASON_NUMBERS else StreamReason.UNKNOWN, detail


# sets, since before Python 3.12 a number cannot be looked for in an enum
_REASON_NUMBERS = frozenset(StreamReason)
_ENDED_NUMBERS = frozenset(Ended)


def _window(amount: int) -> int:
    if amount > MAX_WINDOW_BYTES:
        raise WireError(f"a window of {amount} bytes is over the limit of {MAX_WINDOW_BYTES}")
    return amount

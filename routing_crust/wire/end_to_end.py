"""
What only the two ends read, whatever is between them: the handshakes and packets of sessions, and the parts
of application messages with their acknowledgements.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final

from msgspec import Meta

from .fields import Certificate, Count, MaybeName, Seconds, WireMessage

MAX_MESSAGE_PARTS: Final = 1 << 16
MAX_FLIGHTS: Final = 8
"""Flights of a handshake, of both ends together; TLS 1.3 has five at most."""
SEAL_BYTES: Final = 16
"""What sealing adds to a plaintext."""
MAX_DETAIL_CHARACTERS: Final = 200
"""Characters of the reason that a handler gives for a refusal."""
Part = Annotated[int, Meta(ge=0, lt=MAX_MESSAGE_PARTS)]
Parts = Annotated[int, Meta(ge=1, le=MAX_MESSAGE_PARTS)]


class SealedPacket(WireMessage, frozen=True, gc=False):
    """
    What only the other end of a session can open.

    @ivar session: its number.
    @ivar epoch: which of the keys of its sender seals it, counted from 0.
    @ivar counter: grows with each packet of its sender, over all epochs.
    @ivar ciphertext: sealed with AES-256-GCM, its tag at the end; what is in it begins with a byte that says
        what the rest is.
    """

    session: Count
    epoch: Annotated[int, Meta(ge=0, lt=1 << 32)]
    counter: Count
    ciphertext: Annotated[bytes, Meta(min_length=SEAL_BYTES)]


class SessionFlight(WireMessage, frozen=True, gc=False):
    """
    A flight of the handshake that makes a session.

    @ivar session: its number, which the end that begins has chosen: above all that it has chosen before for
        this peer, and odd if its name is the greater one.
    @ivar number: counts the flights, from 0; even ones are from the end that has begun.
    @ivar body: of the TLS handshake.
    @ivar certificate: of the sender, in the first flight of each end; empty in an open network.
    """

    session: Count
    number: Annotated[int, Meta(ge=0, lt=MAX_FLIGHTS)]
    body: bytes
    certificate: Certificate = b""


LAST_FLIGHT: Final = 0
"""The first byte of a plaintext that is a L{LastFlight}; otherwise it is the kind of a frame."""


class LastFlight(WireMessage, frozen=True, gc=False):
    """
    The flight that completes the handshake, sealed with the keys that it is about.

    @ivar body: of the TLS handshake.
    @ivar plaintext: what else was to be sealed; may be empty.
    """

    body: bytes
    plaintext: bytes


class SessionUnknown(WireMessage, frozen=True, gc=False):
    """A hint, signed: the sender cannot open packets of this session, or not any more."""

    session: Count


class Flavour(IntEnum):
    """How a message wants to be answered."""

    SEND = 0
    REQUEST = 1
    GROUP = 2


class MessagePart(WireMessage, frozen=True, gc=False):
    """
    One part of an application message.

    @ivar id: unique for its sender.
    @ivar part: which part this is, from 0.
    @ivar parts: how many there are.
    @ivar group: the name to whose close group the message or the request goes; empty if it goes to a node.
    """

    id: Count
    part: Part
    parts: Parts
    flavour: Flavour
    group: MaybeName
    body: bytes


class AckStatus(IntEnum):
    """The outcome of a message."""

    DELIVERED = 0
    ANSWERED = 1
    REFUSED = 2
    WORKING = 3


class Refusal(WireMessage, frozen=True, gc=False):
    """
    Why a request is refused: the body of an acknowledgement that says so.

    @ivar reason: which of the reasons it was; they are below.
    """

    reason: Annotated[int, Meta(ge=0, le=65535)]
    detail: Annotated[str, Meta(max_length=MAX_DETAIL_CHARACTERS)] = ""


class Working(WireMessage, frozen=True, gc=False):
    """A request is being handled and takes longer: the body of an acknowledgement that says so."""

    seconds: Seconds


class AckPart(WireMessage, frozen=True, gc=False):
    """
    One part of the acknowledgement of a message, which for requests carries the answer.

    @ivar id: the id of the message that is acknowledged.
    """

    id: Count
    part: Part
    parts: Parts
    status: AckStatus
    body: bytes

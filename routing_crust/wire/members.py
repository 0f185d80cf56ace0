"""
Messages of a private network, between two ends of a link: who is no member, renewal of certificates, the
roster, and the directory of members.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from .fields import Certificate, MaybeName, Seconds, WireMessage

MAX_STATEMENTS_IN_A_FRAME: Final = 16
"""Statements of a roster in one frame: checking them takes some milliseconds."""
MAX_CERTIFICATES_IN_A_FRAME: Final = 16
SUMMARY_BYTES: Final = 512
"""The summary of a directory of members: 8 for each of its 64 parts."""


class Refused(WireMessage, frozen=True, gc=False):
    """
    Why the sender takes the receiver for no member of its private network. A C{Goodbye} follows.

    @ivar reason: a number of L{routing_crust.errors.CloseReason}.
    @ivar by: who has banned the receiver; empty if nobody has.
    @ivar at: since when: of the ban, or of the expiry, in seconds since the epoch; 0 if that means nothing.
    @ivar time: the time at which it was judged, by the sender.
    """

    reason: Annotated[int, Meta(ge=0, le=65535)]
    by: MaybeName = b""
    at: Seconds = 0.0
    time: Seconds = 0.0


class Renewal(WireMessage, frozen=True, gc=False):
    """
    From a member: "give me a certificate that lasts longer". From an issuer: the new certificate.

    @ivar certificate: empty in the question.
    @ivar reason: a number of L{routing_crust.errors.CloseReason}, if the issuer refuses; else 0.
    """

    certificate: Certificate = b""
    reason: Annotated[int, Meta(ge=0, le=65535)] = 0


class RosterIds(WireMessage, frozen=True, gc=False):
    """
    "I hold these statements of the roster: send me the others."

    @ivar ids: the ids of the statements, one after the other.
    @ivar more: whether another frame with further ones follows.
    @ivar answer: whether it answers such a frame, so that the receiver need not answer with its own ids.
    """

    ids: bytes
    more: bool = False
    answer: bool = False


class RosterStatements(WireMessage, frozen=True):
    """Statements of the roster that the receiver may not hold."""

    statements: Annotated[tuple[bytes, ...], Meta(max_length=MAX_STATEMENTS_IN_A_FRAME)]


class MemberSummary(WireMessage, frozen=True, gc=False):
    """
    "These certificates of members I hold": a digest for each part of the directory.

    @ivar digests: of 64 parts, by the first bits of the members' names; zeros where there is nothing.
    """

    digests: Annotated[bytes, Meta(min_length=SUMMARY_BYTES, max_length=SUMMARY_BYTES)]


class MembersWanted(WireMessage, frozen=True, gc=False):
    """
    "In these parts of the directory I hold these certificates: send me the others."

    @ivar parts: their numbers, a byte for each.
    @ivar ids: the ids of the certificates, one after the other.
    """

    parts: Annotated[bytes, Meta(min_length=1, max_length=64)]
    ids: bytes


class MemberCertificates(WireMessage, frozen=True):
    """Certificates of members, each with that of its issuer, that the receiver may not hold."""

    certificates: Annotated[tuple[Certificate, ...], Meta(max_length=MAX_CERTIFICATES_IN_A_FRAME)]

"""
Statements: what the authority or an admin says of a member, for all members of the network to keep.

 - C{BAN}: the member is refused, and so are the certificates that it has issued.
 - C{PARDON}: the bans of this member that were made before are void. Only the authority's counts.
 - C{REVOKE}: certificates of this member below a serial are refused; newer ones are good.

A ban names the last pardon of the same member that its issuer knew. It counts until there is a newer pardon,
in whatever order the two arrive, and nobody can make a ban in advance that outlives the next pardon.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from ..errors import InvalidCertificate, InvalidName, WireError
from ..names import Name
from ..wire.fields import MAX_CERTIFICATE_BYTES, NameBytes, Signature, WireMessage
from .certificate import SignedCertificate, Verifier
from .codec import (
    Body,
    Serial,
    Time,
    decode_certificate,
    decode_with,
    encode_certificate,
)
from .networks import authority_of, network_of

STATEMENT_LABEL: Final = "statement"
MAX_STATEMENT_BYTES: Final = 1536
MAX_NOTE_CHARACTERS: Final = 60
ID_BYTES: Final = 16
"""The length of the hash that identifies a statement."""


class StatementKind(IntEnum):
    """What is said of a member. The number is in statements, so numbers are never reused."""

    BAN = 0
    PARDON = 1
    REVOKE = 2


@dataclass(frozen=True, slots=True)
class Statement:
    """
    What an issuer says of a member.

    @ivar network: the id of the private network.
    @ivar kind: what is said.
    @ivar name: of whom.
    @ivar time: when, in seconds since the epoch.
    @ivar number: of a pardon, its serial, which grows; of a revocation, the lowest serial that stays good.
    @ivar after: of a ban, the id of the last pardon that the issuer knew; empty if there was none.
    @ivar note: why, for people.
    """

    network: str
    kind: StatementKind
    name: Name
    time: int
    number: int = 0
    after: bytes = b""
    note: str = ""


@dataclass(frozen=True, slots=True)
class SignedStatement:
    """
    A statement with its signature, and the certificate that its issuer had.

    @ivar statement: what the signature says.
    @ivar body: the signed bytes of it.
    @ivar signature: the issuer's.
    @ivar issuer_certificate: that of the admin who said it; C{None} where it was the authority.
    @ivar id: identifies it: a hash of all that it consists of.
    @ivar encoded: the bytes as they go over the wire and into the file.
    """

    statement: Statement
    body: bytes
    signature: bytes
    issuer_certificate: SignedCertificate | None
    encoded: bytes = field(repr=False)
    id: bytes

    @property
    def issuer(self) -> Name:
        """The name that says it."""
        above = self.issuer_certificate
        return authority_of(self.statement.network) if above is None else above.certificate.name

    @property
    def is_of_authority(self) -> bool:
        """Whether the authority itself says it."""
        return self.issuer_certificate is None

    @property
    def issuer_text(self) -> str:
        """The name that says it, for logs and errors."""
        above = self.issuer_certificate
        return "the authority" if above is None else str(above.certificate)

    def is_signed(self, verifier: Verifier) -> bool:
        """Whether the signature is the issuer's. The issuer's own certificate is not looked at."""
        return verifier.holds(self.issuer, self.signature, STATEMENT_LABEL, self.statement.network, self.body)


class StatementBody(WireMessage, frozen=True):
    """The body of a statement, which its issuer signs."""

    authority: NameBytes
    kind: StatementKind
    name: NameBytes
    time: Time
    number: Serial
    after: Annotated[bytes, Meta(max_length=ID_BYTES)]
    note: Annotated[str, Meta(max_length=MAX_NOTE_CHARACTERS)]


class WireStatement(WireMessage, frozen=True, gc=False):
    """
    A signed statement.

    @ivar issuer: the issuer's certificate; empty where the authority has signed.
    """

    body: Body
    signature: Signature
    issuer: Annotated[bytes, Meta(max_length=MAX_CERTIFICATE_BYTES)]


_encoder = msgspec.msgpack.Encoder()
_bodies = msgspec.msgpack.Decoder(StatementBody)
_statements = msgspec.msgpack.Decoder(WireStatement)


def encode_statement_body(statement: Statement) -> bytes:
    """The bytes that the issuer signs."""
    return _encoder.encode(
        StatementBody(
            authority_of(statement.network).raw,
            statement.kind,
            statement.name.raw,
            statement.time,
            statement.number,
            statement.after,
            statement.note,
        )
    )


def signed_statement(
    statement: Statement, body: bytes, signature: bytes, issuer: SignedCertificate | None
) -> SignedStatement:
    """Put a statement together with its signature; C{issuer} is C{None} where the authority has signed."""
    # the certificate goes along, so a statement can be judged without asking anybody
    above = b"" if issuer is None else encode_certificate(issuer)
    encoded = _encoder.encode(WireStatement(body, signature, above))
    # what is left out of a signature could be exchanged, so the id covers everything
    return SignedStatement(
        statement, body, signature, issuer, encoded, hashlib.sha256(encoded).digest()[:ID_BYTES]
    )


def decode_statement(data: bytes) -> SignedStatement:
    """
    Read a statement. Signatures are not checked here.

    @raise WireError: the bytes are no such thing, or are too many.
    """
    if len(data) > MAX_STATEMENT_BYTES:
        raise WireError(f"a statement of {len(data)} bytes is over the limit of {MAX_STATEMENT_BYTES}")
    outer = decode_with(_statements, data, "statement")
    inner = decode_with(_bodies, outer.body, "statement")
    issuer = decode_certificate(outer.issuer) if outer.issuer else None
    try:
        statement = Statement(
            network_of(Name(inner.authority)),
            inner.kind,
            Name(inner.name),
            inner.time,
            inner.number,
            inner.after,
            inner.note,
        )
    except (InvalidCertificate, InvalidName) as error:
        raise WireError(f"not a statement: {error}") from None
    signed = signed_statement(statement, outer.body, outer.signature, issuer)
    if signed.encoded != data or encode_statement_body(statement) != outer.body:
        raise WireError("not a statement: it is not encoded as it must be")
    return signed

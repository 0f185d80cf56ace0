"""
Certificates and statements as bytes, for the wire and for files: MessagePack arrays, each with a limit.

A signature covers the inner bytes (the body) as they came, so nothing is encoded again to check it.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta

from ..errors import InvalidCertificate, InvalidName, WireError
from ..names import Name
from ..wire.fields import (
    MAX_CERTIFICATE_BYTES,
    MAX_WIRE_NUMBER,
    MaybeSignature,
    NameBytes,
    Signature,
    WireMessage,
)
from .certificate import MAX_TAG_CHARACTERS, MAX_TAGS, MAX_TIME, Certificate, MemberRole, SignedCertificate
from .networks import authority_of, network_of

MAX_BODY_BYTES: Final = 384

Time = Annotated[int, Meta(ge=0, le=MAX_TIME)]
Serial = Annotated[int, Meta(ge=0, le=MAX_WIRE_NUMBER)]
Body = Annotated[bytes, Meta(min_length=1, max_length=MAX_BODY_BYTES)]
MaybeBody = Annotated[bytes, Meta(max_length=MAX_BODY_BYTES)]
Tag = Annotated[str, Meta(min_length=1, max_length=MAX_TAG_CHARACTERS)]

_Kind = TypeVar("_Kind")


class CertificateBody(WireMessage, frozen=True):
    """The body of a certificate, which its issuer signs. Roles and tags are sorted."""

    authority: NameBytes
    name: NameBytes
    nickname: Annotated[str, Meta(min_length=1, max_length=32)]
    roles: Annotated[tuple[MemberRole, ...], Meta(min_length=1, max_length=len(MemberRole))]
    tags: Annotated[tuple[Tag, ...], Meta(max_length=MAX_TAGS)]
    not_before: Time
    not_after: Time
    serial: Serial


class CertificateChain(WireMessage, frozen=True, gc=False):
    """
    A certificate, and the one of its issuer.

    @ivar issuer_body: empty where the authority has signed, as C{issuer_signature} is.
    """

    body: Body
    signature: Signature
    issuer_body: MaybeBody
    issuer_signature: MaybeSignature


_encoder = msgspec.msgpack.Encoder()
_bodies = msgspec.msgpack.Decoder(CertificateBody)
_chains = msgspec.msgpack.Decoder(CertificateChain)


def encode_body(certificate: Certificate) -> bytes:
    """The bytes that the issuer signs."""
    return _encoder.encode(
        CertificateBody(
            authority_of(certificate.network).raw,
            certificate.name.raw,
            certificate.nickname,
            tuple(sorted(certificate.roles)),
            tuple(sorted(certificate.tags)),
            certificate.not_before,
            certificate.not_after,
            certificate.serial,
        )
    )


def encode_certificate(signed: SignedCertificate) -> bytes:
    """A certificate with the one of its issuer."""
    above = signed.issuer_certificate
    issuer = (b"", b"") if above is None else (above.body, above.signature)
    return _encoder.encode(CertificateChain(signed.body, signed.signature, *issuer))


def decode_certificate(data: bytes) -> SignedCertificate:
    """
    Read a certificate with the one of its issuer. Signatures are not checked here.

    @raise WireError: the bytes are no such thing, or are too many.
    """
    if len(data) > MAX_CERTIFICATE_BYTES:
        raise WireError(f"a certificate of {len(data)} bytes is over the limit of {MAX_CERTIFICATE_BYTES}")
    chain = decode_with(_chains, data, "certificate")
    above = None
    if chain.issuer_body:
        # both fields may be empty on the wire, but only together
        if len(chain.issuer_signature) != len(chain.signature):
            raise WireError("not a certificate: its issuer's certificate has no signature")
        above = SignedCertificate(_decode_body(chain.issuer_body), chain.issuer_body, chain.issuer_signature)
    elif chain.issuer_signature:
        raise WireError("not a certificate: a signature of nothing")
    return SignedCertificate(_decode_body(chain.body), chain.body, chain.signature, above)


def decode_with(decoder: msgspec.msgpack.Decoder[_Kind], data: bytes, what: str) -> _Kind:
    """
    @raise WireError: the bytes are not what the decoder reads.
    """
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise WireError(f"not a {what}: {error}") from None


def _decode_body(data: bytes) -> Certificate:
    body = decode_with(_bodies, data, "certificate")
    try:
        certificate = Certificate(
            network_of(Name(body.authority)),
            Name(body.name),
            body.nickname,
            frozenset(body.roles),
            frozenset(body.tags),
            body.not_before,
            body.not_after,
            body.serial,
        )
    except (InvalidCertificate, InvalidName) as error:
        raise WireError(f"not a certificate: {error}") from None
    # Two encodings of one certificate would be two certificates to code that hashes them.
    if encode_body(certificate) != data:
        raise WireError("not a certificate: it is not encoded as it must be")
    return certificate

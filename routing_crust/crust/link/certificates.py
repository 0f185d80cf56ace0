"""
Certificates: the one that holds our key, and what a peer's must be like.

Each is self-signed and holds an Ed25519 key, which is the node's name, so the certificate proves it. It also
holds the name as text, C{<name>.crust.invalid}, which must match the key.
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from OpenSSL import SSL
from service_identity import VerificationError
from service_identity.hazmat import DNS_ID, DNSPattern, verify_service_identity

from ...errors import CloseReason
from ...identity import Identity, is_weak_key
from ...names import Name

DNS_SUFFIX: Final = ".crust.invalid"
MAX_CERTIFICATE_BYTES: Final = 1024

# X.509 wants two dates. They are never checked: a node with a wrong clock must still be able to connect.
_VALID_FROM: Final = datetime(2000, 1, 1)
_VALID_UNTIL: Final = datetime(2049, 12, 31)


class PeerRefused(SSL.Error):
    """
    The peer is not the node that it must be. It is an C{SSL.Error}, since any other type raised in OpenSSL's
    callback leaves a traceback in the log and sends the peer no alert.

    @ivar reason: L{CloseReason.TLS_REFUSED}, L{CloseReason.SELF}, C{UNSUPPORTED_VERSION}; after the
        handshake C{PROTOCOL_ERROR}.
    @ivar detail: what is wrong, in words.
    """

    def __init__(self, detail: str, reason: CloseReason = CloseReason.TLS_REFUSED) -> None:
        # The shape of OpenSSL's own errors: Twisted looks into it.
        super().__init__([("routing_crust", "check", detail)])
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return self.detail


def make_certificate(identity: Identity) -> x509.Certificate:
    """
    The certificate of a node: its key, and its name as C{<name>.crust.invalid}. It is the same each time.
    """
    empty = x509.Name([])
    alternative = x509.SubjectAlternativeName([x509.DNSName(f"{identity.name}{DNS_SUFFIX}")])
    return (
        x509.CertificateBuilder()
        .subject_name(empty)
        .issuer_name(empty)
        .public_key(identity.private_key.public_key())
        # above 0, as RFC 5280 asks (section 4.1.2.2), even for a name that begins with zeros
        .serial_number(1 + int.from_bytes(identity.name.raw[:8], "big"))
        .not_valid_before(_VALID_FROM)
        .not_valid_after(_VALID_UNTIL)
        # critical, as RFC 5280 asks (section 4.2.1.6) of a certificate whose subject is empty
        .add_extension(alternative, critical=True)
        .sign(identity.private_key, None)
    )


class PeerCertificate(NamedTuple):
    """
    The contents of a well-formed certificate. L{verify_name} checks its name.

    @ivar name: the raw Ed25519 key in it.
    @ivar pattern: the name that stands in it as text, for C{service_identity}.
    """

    name: Name
    pattern: DNSPattern


def read_certificate(der: bytes) -> PeerCertificate:
    """
    Take a certificate apart.

    @raise PeerRefused: no node could have made it.
    """
    if len(der) > MAX_CERTIFICATE_BYTES:
        raise PeerRefused(
            f"the peer's certificate has {len(der)} bytes, and {MAX_CERTIFICATE_BYTES} are allowed"
        )
    with refusing_what_cannot_be_read:
        certificate = x509.load_der_x509_certificate(der)
        key = certificate.public_key()
        if not isinstance(key, Ed25519PublicKey):
            raise PeerRefused("the peer's key is not an Ed25519 key")
        name = Name(key.public_bytes_raw())
        if is_weak_key(name.raw):
            raise PeerRefused("the peer's key is one that anybody can sign for")
        names = list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
        if len(names) != 1:
            raise PeerRefused("the peer's certificate has not exactly one name")
        # a wildcard would match every name
        if not isinstance(names[0], x509.DNSName) or "*" in names[0].value:
            raise PeerRefused("the name in the peer's certificate is not that of a node")
        # made at once: to look for names of each kind in turn, and for addresses among them, takes longer
        # than all before, and neither is equal to the name of a node
        return PeerCertificate(name, DNSPattern(names[0].value.encode("ascii")))


def verify_name(shown: PeerCertificate, expected: Name | None) -> None:
    """
    Have C{service_identity} decide whether the name in a certificate is that of its key and, where we have
    dialled a node, the name that we dialled. TLS has proven the key alone; nothing else compares the two.

    @param expected: who must be at the other end; C{None} accepts anyone.
    @raise PeerRefused: it is another node.
    """
    own = _dns_id(shown.name)
    wanted = [own] if expected is None else [own, _dns_id(expected)]
    try:
        verify_service_identity([shown.pattern], wanted, [])
    except VerificationError as problem:
        if any(each.mismatched_id == own for each in problem.errors):
            raise PeerRefused("the name in the peer's certificate is not that of its key") from None
        raise PeerRefused(f"{shown.name} answered instead of {expected}") from None


@lru_cache(maxsize=512)  # to make one takes longer than to compare a hundred
def _dns_id(name: Name) -> DNS_ID:
    return DNS_ID(f"{name}{DNS_SUFFIX}")


class _RefusingWhatCannotBeRead:
    """
    Turns every exception raised in the block into a refusal.

    @raise PeerRefused: instead of any other exception.
    """

    __slots__ = ()

    def __enter__(self) -> None:
        """Nothing is needed for it."""

    def __exit__(self, kind: object, problem: BaseException | None, trace: object) -> None:
        # three libraries read a stranger's bytes here, each with its own errors
        if isinstance(problem, Exception) and not isinstance(problem, PeerRefused):
            raise PeerRefused(
                f"the peer's certificate is not that of a node ({type(problem).__name__})"
            ) from None


refusing_what_cannot_be_read: Final = _RefusingWhatCannotBeRead()

"""
The keys and certificates that every side uses: the same in every process and in every run.

Number 0 is the server's (or the relay's), number 1 the client's, and more are there where one client is
not enough. A node's certificate is always the
same, byte for byte, so stock Twisted can take it as a trust root.
"""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    PrivateCertificate,
    TLSVersion,
    optionsForClientTLS,
)

from routing_crust.crust.link.certificates import DNS_SUFFIX, make_certificate
from routing_crust.identity import Identity

SERVER: Final = 0
CLIENT: Final = 1


@cache
def identity(number: int) -> Identity:
    """The identity with this number."""
    return Identity.from_seed(sha256(b"benchmark %d" % number).digest())


def certificate(number: int) -> PrivateCertificate:
    """The certificate of the identity with this number, together with its key."""
    own = identity(number)
    pem = make_certificate(own).public_bytes(Encoding.PEM)
    pem += own.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    both: PrivateCertificate = PrivateCertificate.loadPEM(pem)
    return both


def server_options() -> CertificateOptions:
    """Stock TLS for a server that knows the client's certificate: mutual, TLS 1.3 only."""
    own = certificate(SERVER)
    return CertificateOptions(
        privateKey=own.privateKey.original,
        certificate=own.original,
        trustRoot=Certificate(certificate(CLIENT).original),
        raiseMinimumTo=TLSVersion.TLSv1_3,
    )


def client_options() -> IOpenSSLClientConnectionCreator:
    """Stock TLS for a client that knows the server's certificate and shows its own."""
    options: IOpenSSLClientConnectionCreator = optionsForClientTLS(
        f"{identity(SERVER).name}{DNS_SUFFIX}",
        trustRoot=Certificate(certificate(SERVER).original),
        clientCertificate=certificate(CLIENT),
        extraCertificateOptions={"raiseMinimumTo": TLSVersion.TLSv1_3},
    )
    return options

"""
Keys, names, certificates and signatures, as C{docs/wire.rst} describes them.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


class Key:
    """
    An Ed25519 key, whose public half is the name.

    @ivar name: the 32 bytes of the raw public key.
    """

    def __init__(self, seed: bytes | None = None) -> None:
        """@param seed: 32 bytes that determine the key; C{None} is random."""
        self.private = Ed25519PrivateKey.from_private_bytes(seed or os.urandom(32))
        self.name = self.private.public_key().public_bytes_raw()

    def sign(self, kind: str, network: str, *fields: bytes) -> bytes:
        """Sign fields for one purpose and network."""
        return self.private.sign(
            b"".join(
                len(each).to_bytes(4, "big") + each
                for each in (f"routing-crust/{kind}/2".encode(), network.encode(), *fields)
            )
        )

    def certificate(self, names: Sequence[str] | None = None) -> x509.Certificate:
        """
        A self-signed certificate.

        @param names: the DNS names in it; C{None} is the one that belongs to the key.
        """
        nobody = x509.Name([])
        chosen = [f"{text_of(self.name)}.crust.invalid"] if names is None else names
        builder = (
            x509.CertificateBuilder()
            .subject_name(nobody)
            .issuer_name(nobody)
            .public_key(self.private.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime(2000, 1, 1))
            .not_valid_after(datetime(2049, 12, 31))
        )
        if chosen:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([x509.DNSName(each) for each in chosen]), critical=True
            )
        return builder.sign(self.private, None)


def text_of(name: bytes) -> str:
    """A name as text: base32, lower case, no padding."""
    return base64.b32encode(name).decode().rstrip("=").lower()


def name_of(text: str) -> bytes:
    """The 32 bytes of a name's text."""
    return base64.b32decode(text.upper() + "=" * (-len(text) % 8))

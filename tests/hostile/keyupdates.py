"""
KeyUpdates of TLS 1.3, made by hand: OpenSSL offers Python no way to send them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, HashAlgorithm
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

_KEY_UPDATE = b"\x18\x00\x00\x01\x00"
"""The handshake message, which asks for none in return (RFC 8446, section 4.6.3)."""
_HANDSHAKE = b"\x16"


def key_updates(secret: bytes, sent: int = 0) -> Iterator[bytes]:
    """
    The records of a client that does nothing but change its keys.

    @param secret: C{CLIENT_TRAFFIC_SECRET_0}.
    @param sent: how many records were sent under it.
    """
    algorithm: HashAlgorithm = SHA256() if len(secret) == 32 else SHA384()
    key_bytes = 16 if len(secret) == 32 else 32
    while True:
        key = _expand(algorithm, secret, b"key", key_bytes)
        nonce = (int.from_bytes(_expand(algorithm, secret, b"iv", 12), "big") ^ sent).to_bytes(12, "big")
        sent = 0
        head = struct.pack("!BHH", 23, 0x0303, len(_KEY_UPDATE) + 1 + 16)
        yield head + AESGCM(key).encrypt(nonce, _KEY_UPDATE + _HANDSHAKE, head)
        secret = _expand(algorithm, secret, b"traffic upd", len(secret))


def _expand(algorithm: HashAlgorithm, secret: bytes, label: bytes, length: int) -> bytes:
    full = b"tls13 " + label
    info = struct.pack("!HB", length, len(full)) + full + b"\x00"
    return HKDFExpand(algorithm, length, info).derive(secret)

"""
Identities that cost little: in a simulation of a thousand nodes Ed25519 would take most of the time.

They are as hard to forge inside the simulation: what signs is a secret that a L{KeyRing} keeps,
and only the ring can check it. So a simulation may use them with hostile nodes too; nothing else may.
"""

from __future__ import annotations

from hashlib import blake2b
from hmac import compare_digest

from ..identity import PUBLIC_KEY_BYTES, SIGNATURE_BYTES, Identity, signed_bytes
from ..names import Name


class KeyRing:
    """The keys of one simulation. Made with it, and shared by all its identities."""

    def __init__(self) -> None:
        self._secrets: dict[bytes, bytes] = {}

    def add(self, seed: bytes) -> bytes:
        """Keep a secret of 32 bytes. Returns the public key that it gives, always the same."""
        public_key = blake2b(seed, digest_size=PUBLIC_KEY_BYTES, person=b"public key").digest()
        self._secrets[public_key] = seed
        return public_key

    def sign(self, public_key: bytes, data: bytes) -> bytes:
        """The signature that the holder of this key makes."""
        return blake2b(data, digest_size=SIGNATURE_BYTES, key=self._secrets[public_key]).digest()

    def holds(self, public_key: bytes, signature: bytes, data: bytes) -> bool:
        """Whether this is what the holder of this key has signed; nobody's key has signed nothing."""
        return public_key in self._secrets and compare_digest(self.sign(public_key, data), signature)


class SimulatedIdentity(Identity):
    """
    An identity of one simulation. It has no private key that TLS could use.
    """

    __slots__ = ("_ring",)

    def __init__(self, ring: KeyRing, seed: bytes) -> None:
        """
        @param seed: 32 bytes; the same give the same identity.
        """
        self._ring = ring
        self.public_key = ring.add(seed)
        self.name = Name.of_key(self.public_key)

    def sign(self, label: str, network: str, *fields: bytes) -> bytes:
        return self._ring.sign(self.public_key, signed_bytes(label, network, *fields))

    def holds(self, public_key: bytes, signature: bytes, label: str, network: str, *fields: bytes) -> bool:
        """Signatures are checked with the keys of this simulation."""
        return self._ring.holds(public_key, signature, signed_bytes(label, network, *fields))

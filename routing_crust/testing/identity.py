"""
Identities that cost little: in a simulation of a thousand nodes Ed25519 would take most of the time.

They are as hard to forge inside the simulation: what signs is a secret that a L{KeyRing} keeps,
and only the ring can check it. So a simulation may use them with hostile nodes too; nothing else may.
"""

from __future__ import annotations

from hashlib import blake2b, sha256
from hmac import compare_digest

from ..identity import SIGNATURE_BYTES, Identity, signed_bytes
from ..names import NAME_BYTES, Name


class KeyRing:
    """The keys of one simulation. Made with it, and shared by all its identities."""

    def __init__(self) -> None:
        self._secrets: dict[Name, bytes] = {}

    def add(self, seed: bytes) -> Name:
        """Keep a secret of 32 bytes. Returns the name that it gives, always the same."""
        # hashed twice: the seeds that tests name give the days that they were chosen for
        name = Name(sha256(blake2b(seed, digest_size=NAME_BYTES, person=b"public key").digest()).digest())
        self._secrets[name] = seed
        return name

    def sign(self, signer: Name, data: bytes) -> bytes:
        """The signature of a node that is in the ring."""
        return blake2b(data, digest_size=SIGNATURE_BYTES, key=self._secrets[signer]).digest()

    def holds(self, signer: Name, signature: bytes, data: bytes) -> bool:
        """Whether this is what this node has signed; one that is not in the ring has signed nothing."""
        return signer in self._secrets and compare_digest(self.sign(signer, data), signature)


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
        self.name = ring.add(seed)

    def sign(self, label: str, network: str, *fields: bytes) -> bytes:
        return self._ring.sign(self.name, signed_bytes(label, network, *fields))

    def holds(self, signer: Name, signature: bytes, label: str, network: str, *fields: bytes) -> bool:
        """Signatures are checked with the keys of this simulation."""
        return self._ring.holds(signer, signature, signed_bytes(label, network, *fields))

"""
The preface: the first bytes, in clear, on each connection of a rendezvous, and what tells it from TLS.

Where both ends dial each other at once, each may hold several connections to the other, some that it has
dialled, some accepted, some that were dialled by both; and a third party may sit at one of the candidate
addresses. So before TLS each end shows that it knows the rendezvous, and the requester then picks one
connection. Order on each: the end that has dialled sends its preface at once, an end that has accepted
answers with its own, and then the requester begins TLS, or does not.

A preface is 37 bytes: C{rcp} and the number 2; a byte of flags (1: the sender is the requester, 2: the
sender has dialled the address that it sends this to); and SHA-256 of a label, the first flag and the
rendezvous token. So the token itself is not shown, the two ends show different values, and an echo proves
nothing. A TLS record begins with 22, and never with C{r}.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Final

MAGIC: Final = b"rcp\x02"
PREFACE_BYTES: Final = 37
TLS_HANDSHAKE: Final = b"\x16"
"""The first byte of a TLS connection: the content type of a handshake record (RFC 8446, section 5.1)."""

_LABEL: Final = b"routing-crust/rendezvous/2"
_REQUESTER: Final = 1
_DIALLED: Final = 2


@dataclass(frozen=True, slots=True)
class Preface:
    """
    The preface of one end.

    @ivar requester: whether it is the one that asked, and so the TLS client.
    @ivar dialled: whether it has dialled the other's address too.
    @ivar proof: 32 bytes that can only be computed from the token.
    """

    requester: bool
    dialled: bool
    proof: bytes

    @classmethod
    def of(cls, token: bytes, requester: bool, dialled: bool) -> Preface:
        """The preface of the end with this role in this rendezvous."""
        # the role is hashed too, so that the two ends show different proofs and an echo proves nothing
        return cls(requester, dialled, sha256(_LABEL + bytes((requester,)) + token).digest())

    @classmethod
    def read(cls, data: bytes) -> Preface | None:
        """The preface at the start of C{data}; C{None} if there is none, or not all of it."""
        if len(data) < PREFACE_BYTES or not data.startswith(MAGIC):
            return None
        flags = data[len(MAGIC)]
        # a flag that we do not know means something to the end that has set it
        if flags & ~(_REQUESTER | _DIALLED):
            return None
        proof = bytes(data[len(MAGIC) + 1 : PREFACE_BYTES])
        return cls(bool(flags & _REQUESTER), bool(flags & _DIALLED), proof)

    @property
    def octets(self) -> bytes:
        """The preface as it is sent."""
        flags = _REQUESTER * self.requester | _DIALLED * self.dialled
        return MAGIC + bytes((flags,)) + self.proof


def may_become_preface(data: bytes) -> bool:
    """Whether these bytes are a preface, or could become one with more."""
    if len(data) >= PREFACE_BYTES:
        return Preface.read(data) is not None
    return data.startswith(MAGIC[: len(data)])

"""
Key agreement without ciphers: the flights of the handshake that makes a session, and who proves what when.

The order is that of TLS 1.3, as in L{routing_crust.testing.memory.tls}: random bytes of the one end; those of
the other with its public key; and the public key of the one with a hash of what both have sent, so that no
flight can be replayed. What comes of it is another hash of the random bytes. A key is believed as it is shown
and a relay could work out the same hash, so a hostile relay of a simulation may do all to flights but that.
"""

from __future__ import annotations

from hashlib import blake2b
from random import Random
from typing import Final

from zope.interface import implementer

from ...crust.key_agreement import IKeyAgreement, KeyAgreementFailed
from ...identity import Identity
from ...names import Name

RANDOM_BYTES: Final = 32
FINISHED_BYTES: Final = 16


@implementer(IKeyAgreement)
class SimulatedKeyAgreement:
    """One end of a handshake."""

    __slots__ = ("_initiator", "_mine", "_own", "_peer", "_randoms", "is_complete")

    def __init__(self, own: Name, random: Random, peer: Name, initiator: bool) -> None:
        self._own = own.raw
        self._peer = peer
        self._initiator = initiator
        self._mine = random.randbytes(RANDOM_BYTES)
        self._randoms = b""
        self.is_complete = False

    def advance(self, flight: bytes) -> bytes:
        """Go on with what the other end has sent."""
        if self._initiator:
            if not flight:
                return self._mine
            theirs = self._take(flight, RANDOM_BYTES)
            self._verify(flight[RANDOM_BYTES:])
            self._randoms = self._mine + theirs
            return self._finished() + self._own
        # before the first flight the responder has nothing in common with anybody
        if not self._randoms:
            self._randoms = self._take(flight, RANDOM_BYTES, exactly=True) + self._mine
            return self._mine + self._own
        if self._take(flight, FINISHED_BYTES) != self._finished():
            raise KeyAgreementFailed("the handshake failed: its last flight is that of another")
        self._verify(flight[FINISHED_BYTES:])
        return b""

    def export(self, label: bytes, context: bytes, size: int) -> bytes:
        """Bytes that both ends have."""
        if not self._randoms:
            raise KeyAgreementFailed("the ends have agreed on nothing yet")
        one = blake2b(label + context + self._randoms).digest()
        return one[:size]

    def _finished(self) -> bytes:
        return blake2b(self._randoms, digest_size=FINISHED_BYTES).digest()

    def _take(self, flight: bytes, size: int, exactly: bool = False) -> bytes:
        if len(flight) < size or (exactly and len(flight) != size):
            raise KeyAgreementFailed("the handshake failed: a flight is too short or too long")
        return flight[:size]

    def _verify(self, key: bytes) -> None:
        if key != self._peer.raw:
            raise KeyAgreementFailed(f"another node answered instead of {self._peer}")
        self.is_complete = True


class SimulatedKeyAgreements:
    """Makes the ends of handshakes for one node."""

    def __init__(self, identity: Identity, random: Random) -> None:
        """
        @param random: where the random bytes are drawn from.
        """
        self._own = identity.name
        self._random = random

    def agree(self, peer: Name, initiator: bool) -> IKeyAgreement:
        """One end of a handshake, with this peer at the other."""
        return SimulatedKeyAgreement(self._own, self._random, peer, initiator)

"""
A session: the keys of both directions between two nodes, and when they were used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ...crust.key_agreement import IKeyAgreement
from ...names import Name
from ...timing.shares import Account
from ...wire.end_to_end import SealedPacket
from .keys import SECRET_BYTES, OpeningKeys, SealingKeys

EXPORTER_LABEL: Final = b"EXPORTER-routing-crust-session/2"


def associated_data(envelope_id: int, source_proxy: bytes) -> bytes:
    """What of an envelope goes in clear and is sealed with its packet all the same."""
    return envelope_id.to_bytes(8, "big") + source_proxy


@dataclass(slots=True, eq=False)
class Session:
    """
    Made from a handshake that is complete, kept by the C{SessionTable}.

    @ivar number: what packets name it by; unique for the two ends.
    @ivar peer: who holds the keys at the other end, by its certificate.
    @ivar account: who is held to account for it: the link that its handshake came by, or ourselves.
    @ivar made: when it was made, in seconds.
    @ivar used: when it was made, or last sealed or opened a packet, in seconds.
    """

    number: int
    peer: Name
    account: Account
    sealing: SealingKeys
    opening: OpeningKeys
    used: float
    made: float

    def seal(self, associated: bytes, plaintext: bytes, now: float) -> SealedPacket:
        """Seal a packet. C{associated} goes in clear, and must be the same at the other end."""
        self.used = now
        return self.sealing.seal(self.number, associated, plaintext, now)

    def open(self, packet: SealedPacket, associated: bytes, now: float) -> bytes | None:
        """
        Open a packet.

        @return: C{None} if it is not good, or has come before.
        """
        plaintext = self.opening.open(packet, associated)
        if plaintext is not None:
            self.used = now
        return plaintext


def make_session(
    number: int,
    peer: Name,
    account: Account,
    agreement: IKeyAgreement,
    initiator: bool,
    network: str,
    now: float,
) -> Session:
    """
    The session that a handshake gives.

    @param initiator: whether we began the handshake.
    @param network: its id; the same handshake gives other keys in another network.
    """
    secrets = agreement.export(EXPORTER_LABEL, network.encode(), 2 * SECRET_BYTES)
    of_initiator, of_responder = secrets[:SECRET_BYTES], secrets[SECRET_BYTES:]
    # each direction has keys of its own, so that no packet can be sent back as if it were an answer
    ours, theirs = (of_initiator, of_responder) if initiator else (of_responder, of_initiator)
    return Session(number, peer, account, SealingKeys(ours, now), OpeningKeys(theirs), now, now)

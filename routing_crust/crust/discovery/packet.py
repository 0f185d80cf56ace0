"""
The beacon's datagrams. On the wire each is a MessagePack array, signed by the sender.

The order: a node that looks for others sends a SEEK with a random nonce; each node that hears it sends an
ANSWER with the same nonce. So an answer is as fresh as the SEEK, and a recorded one cannot be replayed. A
datagram holds no address: a node is where its datagram came from.

In a private network each datagram is sealed with what the members share (ChaCha20-Poly1305, RFC 8439, after
12 random bytes), so that others on the local network see neither the network's id nor a name, and get no
answer.
"""

from __future__ import annotations

import hmac
from enum import IntEnum
from hashlib import sha256
from random import Random
from typing import Annotated, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from msgspec import Meta, MsgspecError
from msgspec.msgpack import Decoder, Encoder

from ...identity import PROTOCOL_VERSION, Identity, signature_holds
from ...names import Name
from ...trust.networks import is_private
from ...wire.fields import NameBytes, NetworkId, Nonce, Signature, WireMessage

MAX_DATAGRAM_BYTES: Final = 512
"""A datagram may not be larger."""

SALT_BYTES: Final = 12
_LABEL: Final = "beacon"
_SEAL_LABEL: Final = b"routing-crust/beacon-seal/%d" % PROTOCOL_VERSION


class BeaconKind(IntEnum):
    """What a datagram is for."""

    SEEK = 0
    ANSWER = 1


class BeaconPacket(WireMessage, frozen=True, gc=False):
    """
    One datagram.

    @ivar version: of this format.
    @ivar network: the network's id.
    @ivar kind: a L{BeaconKind}.
    @ivar sender: its name.
    @ivar port: the TCP port that the sender listens on; 0 if it does not, and only in a SEEK.
    @ivar nonce: chosen by the sender of the SEEK, repeated in the ANSWER.
    """

    version: Annotated[int, Meta(ge=PROTOCOL_VERSION, le=PROTOCOL_VERSION)]
    network: NetworkId
    kind: BeaconKind
    sender: NameBytes
    port: Annotated[int, Meta(ge=0, le=65535)]
    nonce: Nonce
    signature: Signature

    @property
    def name(self) -> Name:
        """The sender's name."""
        return Name(self.sender)

    def signature_holds(self) -> bool:
        """Whether the sender has signed this. Costs a tenth of a millisecond."""
        return signature_holds(
            self.name, self.signature, _LABEL, self.network, *_signed(self.kind, self.port, self.nonce)
        )


_decoder = Decoder(BeaconPacket)
_encode: Final = Encoder().encode


def make_beacon(identity: Identity, network: str, kind: BeaconKind, port: int, nonce: bytes) -> bytes:
    """A signed datagram."""
    signature = identity.sign(_LABEL, network, *_signed(kind, port, nonce))
    return _encode(BeaconPacket(PROTOCOL_VERSION, network, kind, identity.name.raw, port, nonce, signature))


class BeaconScope:
    """
    Whose beacons are understood, and who can read ours.

    @ivar network: the network's id.
    @ivar is_silent: whether nothing is said or heard: the network is private, and we lack what its members
        share.
    """

    def __init__(self, network: str, secret: bytes = b"") -> None:
        """
        @param secret: what the members of a private network share; empty for an open one.
        """
        self.network = network
        private = is_private(network)
        self.is_silent = private and not secret
        self._cipher = None
        if private and secret:
            self._cipher = ChaCha20Poly1305(hmac.digest(secret, _SEAL_LABEL, sha256))

    @property
    def is_sealed(self) -> bool:
        """Whether only members can read ours."""
        return self._cipher is not None

    def make(self, identity: Identity, kind: BeaconKind, port: int, nonce: bytes, random: Random) -> bytes:
        """A signed datagram, sealed if the network is private."""
        datagram = make_beacon(identity, self.network, kind, port, nonce)
        if self._cipher is None:
            return datagram
        # random, not counted: all members seal with one key and share no counter
        salt = random.randbytes(SALT_BYTES)
        return salt + self._cipher.encrypt(salt, datagram, None)

    def read(self, datagram: bytes) -> BeaconPacket | None:
        """
        Read a datagram that anyone may have sent. The signature is not verified.

        @return: C{None} if it is no beacon of this network.
        """
        if len(datagram) > MAX_DATAGRAM_BYTES:
            return None
        if self._cipher is not None:
            try:
                datagram = self._cipher.decrypt(datagram[:SALT_BYTES], datagram[SALT_BYTES:], None)
            # too short to be sealed, or sealed by others: both are no beacon of ours
            except (InvalidTag, ValueError):
                return None
        beacon = read_beacon(datagram)
        return beacon if beacon is not None and beacon.network == self.network else None


def read_beacon(datagram: bytes) -> BeaconPacket | None:
    """
    Read a datagram that anyone may have sent. The signature is not verified: that costs the most.

    @return: C{None} if it is no beacon.
    """
    if len(datagram) > MAX_DATAGRAM_BYTES:
        return None
    try:
        beacon = _decoder.decode(datagram)
    except (MsgspecError, RecursionError, ValueError):
        return None
    # an ANSWER without a port names nothing that could be dialled
    return beacon if beacon.port or beacon.kind is BeaconKind.SEEK else None


def _signed(kind: BeaconKind, port: int, nonce: bytes) -> tuple[bytes, ...]:
    return bytes([kind]), port.to_bytes(2, "big"), nonce

"""
Envelopes: how they are signed, and how a signature is checked at the destination.

The signature (Ed25519, RFC 8032) covers the network, the id, the destination, the sender's proxy, the kind,
C{nearest} and the body; it leaves out what relays change: hops and the destination's proxy. Relays check no
signature.

Some bodies prove themselves, since others than their receiver check them as well. Each of these is signed for
its kind and its network.
"""

from __future__ import annotations

from random import Random
from typing import Final

from ..identity import Identity
from ..names import Name, recurring_name
from ..wire.codec import encode
from ..wire.messages import ClientRecord, ConnectRequest, ConnectResponse, Envelope, EnvelopeKind, Signed

MAX_HOPS: Final = 20
"""Hops that a message may take."""

LABEL: Final = "envelope"
REQUEST_LABEL: Final = "connect-request"
RESPONSE_LABEL: Final = "connect-response"
RECORD_LABEL: Final = "client-record"
SELF_PROVING: Final = frozenset(
    (EnvelopeKind.CONNECT_REQUEST, EnvelopeKind.CONNECT_RESPONSE, EnvelopeKind.CLIENT_RECORD)
)
"""Kinds whose body is a L{Signed<routing_crust.wire.messages.Signed>}; their envelope need not be signed."""
PARTS_BITS: Final = 16
"""The low bits of an envelope's id, which number the parts of one transmission."""
_RANDOM_BITS: Final = 63 - PARTS_BITS


class Sealer:
    """Makes this node's envelopes."""

    def __init__(self, identity: Identity, network: str, max_hops: int, random: Random) -> None:
        self._identity = identity
        self._network = network
        self._hops_left = max_hops - 1  # the first hop is ours
        self._random = random

    def new_trace(self) -> int:
        """
        A random id for a transmission, of which each part's envelope gets a consecutive id.

        It is random, so that a node off the path can neither send hints about it nor use it up at a relay.
        """
        return self._random.getrandbits(_RANDOM_BITS) << PARTS_BITS

    def seal(
        self,
        id: int,
        kind: EnvelopeKind,
        destination: Name,
        body: bytes,
        *,
        nearest: bool = False,
        destination_proxy: bytes = b"",
        source_proxy: bytes = b"",
        signed: bool = True,
    ) -> Envelope:
        """
        Make an envelope from us.

        @param signed: false where the body proves itself.
        """
        # a signature is costly, and where the body proves itself it would prove nothing new
        signature = b""
        if signed:
            fields = _signed_fields(id, kind, destination.raw, source_proxy, nearest, body)
            signature = self._identity.sign(LABEL, self._network, *fields)
        return Envelope(
            id,
            self._hops_left,
            destination.raw,
            nearest,
            destination_proxy,
            source_proxy,
            kind,
            self._identity.name.raw,
            body,
            signature,
        )


def holds(envelope: Envelope, network: str, identity: Identity) -> bool:
    """
    Whether an envelope is from its source, or is of a kind whose body proves itself. Never raises.

    @param identity: whose scheme of signatures is used.
    """
    if not envelope.signature:
        return envelope.kind in SELF_PROVING
    fields = _signed_fields(
        envelope.id,
        envelope.kind,
        envelope.destination,
        envelope.source_proxy,
        envelope.nearest,
        envelope.body,
    )
    return identity.holds(recurring_name(envelope.source), envelope.signature, LABEL, network, *fields)


def _signed_fields(
    id: int, kind: EnvelopeKind, destination: bytes, source_proxy: bytes, nearest: bool, body: bytes
) -> tuple[bytes, ...]:
    # with another id, a captured envelope would pass the relays' memory of duplicates again
    return id.to_bytes(8, "big"), destination, source_proxy, bytes((kind, nearest)), body


def sign_body(
    identity: Identity, network: str, label: str, message: ConnectRequest | ConnectResponse | ClientRecord
) -> bytes:
    """A message as a body that proves itself."""
    body = encode(message)
    return encode(Signed(identity.name.raw, body, identity.sign(label, network, body)))


def body_holds(identity: Identity, network: str, label: str, signed: Signed) -> bool:
    """
    Whether the signature of such a body is right, for this label and our network.

    @param identity: whose scheme of signatures is used.
    """
    return identity.holds(recurring_name(signed.signer), signed.signature, label, network, signed.body)

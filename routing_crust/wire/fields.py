"""
The types of messages' fields, each with the bound that the decoder checks: the bytes come from peers that are
not trusted.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

NONCE_BYTES: Final = 16
MAX_WIRE_NUMBER: Final = (1 << 63) - 1
MAX_CERTIFICATE_BYTES: Final = 1024
"""The size of a member's certificate with that of its issuer: both must fit into a Hello."""
ROSTER_DIGEST_BYTES: Final = 32
MAX_NETWORK_ID_CHARACTERS: Final = 64

NameBytes = Annotated[bytes, Meta(min_length=32, max_length=32)]
MaybeName = Annotated[bytes, Meta(max_length=32)]
"""A name, or nothing."""
Signature = Annotated[bytes, Meta(min_length=64, max_length=64)]
MaybeSignature = Annotated[bytes, Meta(max_length=64)]
NetworkBytes = Annotated[bytes, Meta(max_length=6)]
Nonce = Annotated[bytes, Meta(min_length=NONCE_BYTES, max_length=NONCE_BYTES)]
MaybeNonce = Annotated[bytes, Meta(max_length=NONCE_BYTES)]
Count = Annotated[int, Meta(ge=0, le=MAX_WIRE_NUMBER)]
Certificate = Annotated[bytes, Meta(max_length=MAX_CERTIFICATE_BYTES)]
MaybeDigest = Annotated[bytes, Meta(max_length=ROSTER_DIGEST_BYTES)]
Port = Annotated[int, Meta(ge=1, le=65535)]
# bounded at both ends, which keeps out infinity and NaN, too
Seconds = Annotated[float, Meta(ge=0, le=1e11)]
NetworkId = Annotated[str, Meta(min_length=1, max_length=MAX_NETWORK_ID_CHARACTERS)]


class WireMessage(Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """
    A message, or a part of one. One with more fields than there are is refused: what a decoder passes over,
    others may sign, hash or count.
    """


class WireEndpoint(WireMessage, frozen=True, gc=False):
    """An IP address (4 or 16 bytes) and a port."""

    host: Annotated[bytes, Meta(min_length=4, max_length=16)]
    port: Port


Candidates = Annotated[tuple[WireEndpoint, ...], Meta(max_length=32)]

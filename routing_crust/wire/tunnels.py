"""
Messages about tunnels, between a node and the relay of its tunnel.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final

from msgspec import Meta

from .fields import NameBytes, Seconds, WireMessage

MAX_TUNNEL_NUMBER: Final = (1 << 32) - 1
"""Numbers of tunnels; none is used twice on a link."""
MAX_CREDIT_BYTES: Final = 1 << 24
TunnelNumber = Annotated[int, Meta(ge=1, le=MAX_TUNNEL_NUMBER)]
SeenAt = Annotated[bytes, Meta(max_length=16)]
Credit = Annotated[int, Meta(ge=1, le=MAX_CREDIT_BYTES)]


class TunnelOpen(WireMessage, frozen=True, gc=False):
    """
    To the relay: "open a tunnel to this peer". From the relay: "this peer wants a tunnel to you". Sent again
    for a tunnel that is open, it renews the tunnel.

    @ivar number: the sender's number for the tunnel; odd from the end of the link that is the TLS client,
        even from the other.
    @ivar offered: whether it comes from the relay.
    @ivar peer: the other end of the tunnel.
    @ivar proof: 32 bytes that can only be computed from the request's nonce.
    @ivar credit: how many bytes the receiver may send before it gets more.
    @ivar awaited: whether somebody waits for it, not only a routing table.
    @ivar seen: from the relay, the address at which it sees the other end: 4 or 16 bytes; or nothing.
    """

    number: TunnelNumber
    offered: bool
    peer: NameBytes
    proof: Annotated[bytes, Meta(min_length=32, max_length=32)]
    credit: Credit
    awaited: bool
    seen: SeenAt = b""


class TunnelOpened(WireMessage, frozen=True, gc=False):
    """
    The tunnel is open, or renewed.

    @ivar credit: as in L{TunnelOpen}; means nothing when the tunnel was there before.
    @ivar lifetime: for how long, from now on, in seconds.
    @ivar seen: as in L{TunnelOpen}.
    """

    number: TunnelNumber
    credit: Credit
    lifetime: Seconds
    seen: SeenAt = b""


class TunnelCredit(WireMessage, frozen=True, gc=False):
    """
    The receiver may send more; or the sender will send less than it may.

    @ivar amount: in bytes.
    @ivar returned: whether the sender gives this much of its own credit back.
    """

    number: TunnelNumber
    amount: Credit
    returned: bool


class TunnelReason(IntEnum):
    """Why there is no tunnel, or not any more."""

    CLOSED = 0
    NOT_EXPECTED = 1
    NO_LINK = 2
    TOO_MANY = 3
    NOT_ALLOWED = 4
    TIMED_OUT = 5
    EXPIRED = 6
    LINK_LOST = 7
    PROTOCOL_ERROR = 8
    NO_MEMORY = 9
    TOO_OFTEN = 10


class TunnelClosed(WireMessage, frozen=True, gc=False):
    """There is no tunnel with this number, or not any more. All that was sent before it has been sent."""

    number: TunnelNumber
    reason: TunnelReason

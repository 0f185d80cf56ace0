"""
Encoding and decoding, as one table: for each message, its decoder and the most bytes it may have.

Every decoding error is a L{WireError}; no bytes raise anything else.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, Final, TypeVar

import msgspec

from ..endpoints import Endpoint
from ..errors import InvalidEndpoint, WireError
from . import end_to_end as e
from . import fields as f
from . import members as p
from . import messages as m
from . import tunnels as t

MAX_CONTROL_BYTES: Final = 4 * 1024
"""The largest control message; any other is bounded by its frame."""

_Message = TypeVar("_Message")

_encoder = msgspec.msgpack.Encoder()
encode: Callable[[Any], bytes] = _encoder.encode
"""Encode any of the messages."""

_BOUNDED_BY_FRAME = (
    m.Envelope, e.SealedPacket, e.LastFlight, e.MessagePart, e.AckPart, p.RosterIds, p.RosterStatements,
    p.MembersWanted, p.MemberCertificates,
)  # fmt: skip
_CONTROL = (
    m.Sealed, m.Signed, m.Hello, m.Confirmation, m.ConfirmationAck, m.Contacts, m.Goodbye, m.ConnectRequest,
    m.ConnectResponse, m.ConnectGo, m.GroupQuery, m.GroupAnswer, m.ClientRecord, m.Undeliverable,
    m.DialBack, m.DialFor, m.Dialled, t.TunnelOpen, t.TunnelOpened, t.TunnelCredit, t.TunnelClosed,
    m.Switched, m.View, m.Continued, e.Refusal, e.Working, e.SessionFlight, e.SessionUnknown,
    p.Refused, p.Renewal, p.MemberSummary,
)  # fmt: skip
_DECODERS: dict[type, Callable[[bytes], Any]] = {
    each: msgspec.msgpack.Decoder(each).decode for each in (*_BOUNDED_BY_FRAME, *_CONTROL)
}
_LIMITED: frozenset[type] = frozenset(_CONTROL)


def decode(kind: type[_Message], data: bytes, control_limit: int = MAX_CONTROL_BYTES) -> _Message:
    """
    Decode and validate one message.

    @param control_limit: the most bytes a control message may have.
    @raise WireError: the bytes are not such a message, or are too many.
    """
    if len(data) > control_limit and kind in _LIMITED:
        raise WireError(f"a {kind.__name__} of {len(data)} bytes is over the limit of {control_limit}")
    try:
        message: _Message = _DECODERS[kind](data)
    # msgspec raises RecursionError on deeply nested maps
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise WireError(f"not a {kind.__name__}: {error}") from None
    return message


# each Hello and each request names the same few addresses
@lru_cache(maxsize=4096)
def to_wire(endpoint: Endpoint) -> f.WireEndpoint:
    """An endpoint as it goes over the wire, without a zone (C{fe80::1%eth0}), which is local to a host."""
    return f.WireEndpoint(ip_address(endpoint.host.partition("%")[0]).packed, endpoint.port)


@lru_cache(maxsize=4096)
def from_wire(endpoint: f.WireEndpoint) -> Endpoint:
    """
    An endpoint that came over the wire.

    @raise WireError: the address has neither 4 nor 16 bytes.
    """
    try:
        return Endpoint.of(str(ip_address(endpoint.host)), endpoint.port)
    except (ValueError, InvalidEndpoint):
        raise WireError(f"{len(endpoint.host)} bytes are not an IP address") from None

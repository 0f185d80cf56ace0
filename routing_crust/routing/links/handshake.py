"""
The Hello: what it says, how it is signed, and how a peer's is checked.

Order on a new link: the end that is the TLS client (the initiator) sends its Hello at once; the other
verifies it, decides, and only then answers with its own. So a stranger learns nothing from us, and the
answer is also the news that we accept. The signature covers the session's exporter value (RFC 9266), which
ties it to this very TLS session.

Plain functions: no I/O, no clock.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...config import Role, Settings
from ...crust.interfaces import ILink
from ...endpoints import Endpoint, PathKind
from ...errors import CloseReason, WireError
from ...identity import Identity
from ...wire.codec import decode, encode, from_wire, to_wire
from ...wire.messages import NONCE_BYTES, PROTOCOL_VERSION, Hello, NatKind, Sealed, WireRole

LABEL = "hello"


@dataclass(frozen=True, slots=True)
class PeerFacts:
    """
    What a verified Hello told us.

    @ivar is_client: whether the peer is a client.
    @ivar incarnation: grows with each start of the peer.
    @ivar purpose: the nonce of the request that the link is for; empty for bootstrapping.
    @ivar listening: where the peer says that it listens.
    @ivar observed: where the peer sees us; C{None} if it did not say.
    @ivar nat: what the peer knows of the NAT in front of it.
    @ivar time: the peer's clock when it said Hello, in seconds since the epoch; 0 if it did not say.
    """

    is_client: bool
    incarnation: int
    purpose: bytes
    listening: tuple[Endpoint, ...]
    observed: Endpoint | None
    nat: NatKind = NatKind.UNKNOWN
    time: float = 0.0


def make_hello(
    settings: Settings,
    identity: Identity,
    incarnation: int,
    listening: tuple[Endpoint, ...],
    link: ILink,
    purpose: bytes,
    nat: NatKind = NatKind.UNKNOWN,
    time: float = 0.0,
) -> bytes:
    """
    The payload of our Hello on a link.

    @param purpose: as in L{PeerFacts}.
    @param time: our clock, in seconds since the epoch.
    """
    role = WireRole.CLIENT if settings.role is Role.CLIENT else WireRole.NODE
    endpoints = tuple(to_wire(each) for each in listening[: settings.max_candidates])
    observed = None if link.path_kind is PathKind.TUNNEL else to_wire(link.connection.peer)
    hello = Hello(
        (PROTOCOL_VERSION,),
        settings.network,
        role,
        incarnation,
        purpose,
        observed,
        endpoints,
        nat,
        max(0.0, time),
    )
    body = encode(hello)
    return encode(Sealed(body, identity.sign(LABEL, settings.network, link.binding, body)))


def check_hello(settings: Settings, identity: Identity, link: ILink, payload: bytes) -> PeerFacts:
    """
    Check a peer's Hello, cheapest first.

    @raise WireError: it does not hold; its C{reason} says why, and its text says what differs.
    """
    sealed = decode(Sealed, payload, settings.max_control)
    hello = decode(Hello, sealed.body, settings.max_control)
    if PROTOCOL_VERSION not in hello.versions:
        theirs = ", ".join(map(str, hello.versions))
        raise WireError(
            f"the peer speaks protocol version {theirs}, and we speak {PROTOCOL_VERSION}: "
            "update the older one",
            CloseReason.UNSUPPORTED_VERSION,
        )
    if hello.network != settings.network:
        raise WireError(
            f"the peer is of network {hello.network!r}, and we are of {settings.network!r}",
            CloseReason.WRONG_NETWORK,
        )
    if len(hello.purpose) not in (0, NONCE_BYTES):
        raise WireError("the purpose of a Hello has a wrong length")
    if not identity.holds(
        link.public_key, sealed.signature, LABEL, settings.network, link.binding, sealed.body
    ):
        raise WireError("the signature of the Hello does not hold")
    return PeerFacts(
        hello.role is WireRole.CLIENT,
        hello.incarnation,
        hello.purpose,
        tuple(from_wire(each) for each in hello.listening),
        None if hello.observed is None else from_wire(hello.observed),
        hello.nat,
        hello.time,
    )

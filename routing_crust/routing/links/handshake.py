"""
The Hello, by which two nodes introduce themselves on a new link: how it is made and how it is checked.

Order of messages: the TLS client (the initiator) sends its Hello at once. The other end verifies it, decides,
and only then answers with its own. So a stranger learns nothing from us, and the answer also says that we
accept. The signature covers the exporter value of the TLS session (RFC 9266), so a Hello holds on one
link only.

These are plain functions without I/O.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...config import Settings
from ...crust.interfaces import ILink
from ...endpoints import Endpoint, PathKind
from ...errors import CloseReason, WireError
from ...identity import PROTOCOL_VERSION, Identity
from ...limits import MAX_CANDIDATES
from ...wire.codec import MAX_CONTROL_BYTES, decode, encode, from_wire, to_wire
from ...wire.fields import NONCE_BYTES
from ...wire.messages import Hello, NatKind, Sealed, WireRole
from ..nat_pairs import nat_of_hello
from ..node import Node

LABEL = "hello"


@dataclass(frozen=True, slots=True)
class PeerFacts:
    """
    What a verified Hello says.

    @ivar is_client: whether the peer is a client.
    @ivar incarnation: grows with each start of the peer.
    @ivar purpose: the nonce of the request that the link is for; empty for bootstrapping.
    @ivar listening: where the peer says that it listens.
    @ivar observed: where the peer sees us; C{None} if it did not say.
    @ivar nat: what the peer knows of its NAT.
    @ivar time: the network's time at the peer when it said Hello, in seconds since the epoch; 0 if it did not
        say.
    @ivar certificate: the membership that the peer shows, encoded; empty in an open network.
    @ivar roster: the digest of the roster that the peer holds.
    """

    is_client: bool
    incarnation: int
    purpose: bytes
    listening: tuple[Endpoint, ...]
    observed: Endpoint | None
    nat: NatKind = NatKind.UNKNOWN
    time: float = 0.0
    certificate: bytes = b""
    roster: bytes = b""


def make_hello(node: Node, link: ILink, purpose: bytes) -> bytes:
    """
    Make the payload of our Hello on a link.

    @param purpose: as in L{PeerFacts}.
    """
    settings, crust = node.settings, node.crust
    hello = Hello(
        versions=(PROTOCOL_VERSION,),
        network=settings.network,
        role=WireRole.CLIENT if node.is_client else WireRole.NODE,
        incarnation=node.incarnation,
        purpose=purpose,
        # behind a tunnel we see the relay, which would mislead the peer about its own address
        observed=None if link.path_kind is PathKind.TUNNEL else to_wire(link.connection.peer),
        listening=tuple(to_wire(each) for each in crust.endpoints[:MAX_CANDIDATES]),
        nat=nat_of_hello(crust),
        # the wire has no time before 1970, and a wrong clock may show one
        time=max(0.0, node.network_now()),
        certificate=node.members.shown,
        roster=node.members.digest,
    )
    body = encode(hello)
    return encode(Sealed(body, node.identity.sign(LABEL, settings.network, link.binding, body)))


def check_hello(settings: Settings, identity: Identity, link: ILink, payload: bytes) -> PeerFacts:
    """
    Check a peer's Hello.

    @raise WireError: it does not hold; its C{reason} says why, and its text says what differs.
    """
    sealed = decode(Sealed, payload, MAX_CONTROL_BYTES)
    hello = decode(Hello, sealed.body, MAX_CONTROL_BYTES)
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
    # last, since it costs more than everything before
    if not identity.holds(link.peer, sealed.signature, LABEL, settings.network, link.binding, sealed.body):
        raise WireError("the signature of the Hello does not hold")
    return PeerFacts(
        hello.role is WireRole.CLIENT,
        hello.incarnation,
        hello.purpose,
        tuple(from_wire(each) for each in hello.listening),
        None if hello.observed is None else from_wire(hello.observed),
        hello.nat,
        hello.time,
        hello.certificate,
        hello.roster,
    )

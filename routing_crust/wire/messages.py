"""
The messages, as typed structs. On the wire each is a MessagePack array of its fields in order.

Between two ends of a link, in this order: L{Hello} from the end that is the TLS client, L{Hello} from the
other once the first is verified, or C{Refused} in a private network, L{Confirmation} and L{ConfirmationAck}
for each change of what the link is for, L{Contacts} to a peer that has become attached, then frames of any
kind, and L{Goodbye} before the link is closed on purpose.

Between nodes that need not be linked, inside an L{Envelope}: L{GroupQuery} and L{GroupAnswer};
L{ConnectRequest}, L{ConnectResponse} and L{ConnectGo}; L{ClientRecord}; and parts of application messages
(C{MessagePart}) with their acknowledgements (C{AckPart}), which also go bare over a direct link.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final

from msgspec import Meta

from .fields import (
    Candidates,
    Certificate,
    Count,
    MaybeDigest,
    MaybeName,
    MaybeNonce,
    MaybeSignature,
    NameBytes,
    NetworkBytes,
    NetworkId,
    Nonce,
    Seconds,
    Signature,
    WireEndpoint,
    WireMessage,
)


class WireRole(IntEnum):
    """What a peer says it is. A first node is a node."""

    NODE = 0
    CLIENT = 1


class NatKind(IntEnum):
    """How a node's address translation maps what it dials (RFC 4787, section 4.1), as far as it knows."""

    UNKNOWN = 0
    """No peer has told it yet."""
    OPEN = 1
    """Others have dialled it."""
    CONE = 2
    """Its port looks the same to everyone: endpoint-independent mapping."""
    SYMMETRIC = 3
    """Its port looks different to each: address and port-dependent mapping."""
    TRANSLATED = 4
    """A peer has seen it at another address, so it is one of the two before. Only a Hello says so."""


class Sealed(WireMessage, frozen=True, gc=False):
    """A body with the signature of a peer whose name is known already."""

    body: bytes
    signature: Signature


class Signed(WireMessage, frozen=True, gc=False):
    """A body with its signer's name: it proves itself wherever it is passed on."""

    signer: NameBytes
    body: bytes
    signature: Signature


class Hello(WireMessage, frozen=True):
    """
    The first frame each way, in a L{Sealed}; the signature covers the TLS session's exporter value too.

    @ivar versions: the protocol versions that the sender speaks.
    @ivar purpose: the nonce of the request that this link is for, or the mark of the link that it is dialled
        beside; empty when it is for bootstrapping.
    @ivar incarnation: grows with each start of the sender.
    @ivar observed: the address that the sender sees its peer at.
    @ivar listening: where the sender listens.
    @ivar nat: what the sender knows of the NAT in front of it.
    @ivar time: the sender's clock, in seconds since the epoch; 0 if it does not say.
    @ivar certificate: the sender's membership of a private network; empty in an open one.
    @ivar roster: the digest of the statements that the sender holds; empty in an open network.
    """

    versions: Annotated[tuple[Annotated[int, Meta(ge=0, le=65535)], ...], Meta(min_length=1, max_length=8)]
    network: NetworkId
    role: WireRole
    incarnation: Count
    purpose: MaybeNonce
    observed: WireEndpoint | None
    listening: Candidates
    nat: NatKind = NatKind.UNKNOWN
    time: Seconds = 0.0
    certificate: Certificate = b""
    roster: MaybeDigest = b""


class LinkUse(IntEnum):
    """What two peers have a link for; a greater number includes the smaller ones."""

    ATTACHED = 0
    """One of them is a client, or not in the network yet, and the other speaks for it."""
    DIRECT = 1
    """An application asked for it."""
    MEMBER = 2
    """They are in each other's routing table."""


class Confirmation(WireMessage, frozen=True, gc=False):
    """
    The deciding end says that this link is the one that is kept.

    @ivar epoch: grows with each decision of the sender.
    @ivar use: what the two have the link for.
    @ivar two_way: whether each end has been able to dial the other.
    """

    epoch: Count
    use: LinkUse
    two_way: bool


class ConfirmationAck(WireMessage, frozen=True, gc=False):
    """
    The other end has taken notice of the decision with this number.

    @ivar declined: the link stays for the use that it has, since the sender has no room for a greater one.
    """

    epoch: Count
    declined: bool = False


class WireContact(WireMessage, frozen=True, gc=False):
    """A node and where it can be dialled."""

    name: NameBytes
    endpoint: WireEndpoint


class WireRelay(WireMessage, frozen=True, gc=False):
    """
    A node that may carry a tunnel, and where it can be dialled.

    @ivar milliseconds: how long a round trip between it and who names it takes, rounded up; 0 if that is not
        known. Nobody can check it.
    """

    name: NameBytes
    endpoint: WireEndpoint
    milliseconds: Annotated[int, Meta(ge=0, le=60_000)] = 0


MAX_RELAYS_NAMED: Final = 8
Relays = Annotated[tuple[WireRelay, ...], Meta(max_length=MAX_RELAYS_NAMED)]


class Contacts(WireMessage, frozen=True):
    """
    Other nodes that the receiver may bootstrap from later. A node sends them to each peer that has become
    attached to it, which may know no other node yet.
    """

    contacts: Annotated[tuple[WireContact, ...], Meta(max_length=16)]


DialEndpoints = Annotated[tuple[WireEndpoint, ...], Meta(min_length=1, max_length=2)]


class DialBack(WireMessage, frozen=True):
    """
    "Have a node that I do not know dial me": a test whether the sender can be dialled from outside.

    @ivar id: the sender's number for it.
    @ivar endpoints: of the sender, at the address that the receiver sees it at.
    """

    id: Count
    endpoints: DialEndpoints


class DialFor(WireMessage, frozen=True):
    """
    "Dial this node for me, if you do not know it."

    @ivar id: the sender's number for it.
    @ivar name: who must answer.
    """

    id: Count
    name: NameBytes
    endpoints: DialEndpoints


class DialOutcome(IntEnum):
    """The outcome of a dial for another node."""

    REACHED = 0
    NOT_REACHED = 1
    NOT_TRIED = 2


class Dialled(WireMessage, frozen=True, gc=False):
    """
    The answer to a L{DialFor}, or to a L{DialBack}.

    @ivar id: that of the message that it answers.
    """

    id: Count
    outcome: DialOutcome


class Switched(WireMessage, frozen=True, gc=False):
    """
    On a link that another replaces: only frames of the handshake follow it here.

    @ivar all_came: whether the peer's first C{Switched} has come, and so all frames that the peer sent here.
    """

    all_came: bool


class View(WireMessage, frozen=True, gc=False):
    """
    How often two peers had to start over because a frame may have been lost between two links.

    @ivar number: 0 when the first of the links was made.
    """

    number: Count


class Continued(WireMessage, frozen=True, gc=False):
    """
    The frames of this link come after those of another link, which the sender has replaced by this one.

    @ivar after: the first half of the other link's exporter value, which identifies it at both ends.
    @ivar view: the sender's.
    """

    after: Annotated[bytes, Meta(min_length=16, max_length=16)]
    view: Count


class Goodbye(WireMessage, frozen=True, gc=False):
    """Why the sender closes the link: a number of L{routing_crust.errors.CloseReason}."""

    reason: Annotated[int, Meta(ge=0, le=65535)]


class EnvelopeKind(IntEnum):
    """What the body of an envelope is."""

    SEALED = 1
    SESSION_FLIGHT = 2
    CONNECT_REQUEST = 3
    CONNECT_RESPONSE = 4
    GROUP_QUERY = 5
    GROUP_ANSWER = 6
    CLIENT_RECORD = 7
    UNDELIVERABLE = 8
    CONNECT_GO = 9
    REDEEM_FOR = 10
    REDEEMED_FOR = 11
    SESSION_UNKNOWN = 12


class Envelope(WireMessage, frozen=True, gc=False):
    """
    What relays read and pass on. The signature covers all but C{hops_left} and C{destination_proxy}.

    @ivar id: unique for its sender; lets relays recognise an envelope that comes round again.
    @ivar hops_left: the number of hops that it may still take.
    @ivar destination: a node's name, or the name whose nearest node is meant.
    @ivar nearest: whether the node nearest to C{destination} is meant rather than that very name.
    @ivar destination_proxy: the node that speaks for the destination, if it is in no table.
    @ivar source_proxy: the node that speaks for the sender, if it is in no table.
    @ivar source: the sender's name.
    @ivar body: by C{kind}: a bare message; for requests, responses and client records a L{Signed}.
    @ivar signature: empty where the body proves itself.
    """

    id: Count
    hops_left: Annotated[int, Meta(ge=0, le=255)]
    destination: NameBytes
    nearest: bool
    destination_proxy: MaybeName
    source_proxy: MaybeName
    kind: EnvelopeKind
    source: NameBytes
    body: bytes
    signature: MaybeSignature


class ConnectRequest(WireMessage, frozen=True):
    """
    "Dial me, and let me dial you." Travels as a L{Signed}, which is also the token of the response.

    @ivar use: what the link is wanted for.
    @ivar issued: when it was made, in seconds since the epoch on the requester's clock.
    @ivar expiry: when it stops being valid, on the same clock.
    @ivar nat: what the requester knows of the NAT in front of it.
    @ivar relays: nodes with a link to the requester that may carry a tunnel.
    @ivar guesses: whether the requester would guess ports to replace the tunnel between the two.
    """

    recipient: NameBytes
    nonce: Nonce
    issued: Seconds
    expiry: Seconds
    incarnation: Count
    use: LinkUse
    candidates: Candidates
    nat: NatKind = NatKind.UNKNOWN
    relays: Relays = ()
    guesses: bool = False


class ConnectResponse(WireMessage, frozen=True):
    """
    "I am dialling you." Travels as a L{Signed}.

    @ivar token: the L{Signed} request that this answers, byte for byte.
    @ivar nat: what the responder knows of the NAT in front of it.
    @ivar relays: nodes with a link to the responder that may carry a tunnel.
    @ivar guesses: whether the responder agrees to guess ports.
    """

    recipient: NameBytes
    token: bytes
    candidates: Candidates
    nat: NatKind = NatKind.UNKNOWN
    relays: Relays = ()
    guesses: bool = False


class ConnectGo(WireMessage, frozen=True, gc=False):
    """
    "Begin now, I begin when you get this." From the requester, once plain dials have not done.

    @ivar nonce: the request's.
    """

    nonce: Nonce


class GroupQuery(WireMessage, frozen=True, gc=False):
    """
    Who is the close group of a name, as far as you know?

    @ivar target: the name. It is also where the envelope goes, unless a certain node is asked.
    """

    nonce: Nonce
    target: NameBytes


class GroupAnswer(WireMessage, frozen=True):
    """
    The nodes that the answering node knows nearest to C{target}: itself included, the one that asks left out.

    @ivar networks: for each of the members the first three bytes of the IPv4 address, or the first six of the
        IPv6 address, at which the answering node has its link with it; empty for itself and where there is no
        direct link.
    @ivar time: the answering node's clock, in seconds since the epoch; 0 if it does not say.
    @ivar speaker: who has a link with C{target}, as far as the answering node knows: its own name, or that of
        the proxy in a client's record; empty if it knows of nobody.
    """

    nonce: Nonce
    target: NameBytes
    members: Annotated[tuple[NameBytes, ...], Meta(max_length=64)]
    networks: Annotated[tuple[NetworkBytes, ...], Meta(max_length=64)] = ()
    time: Seconds = 0.0
    speaker: MaybeName = b""


class ClientRecord(WireMessage, frozen=True, gc=False):
    """A client can be reached through this proxy, until the expiry. Travels as a L{Signed}."""

    proxy: NameBytes
    issued: Seconds
    expiry: Seconds


class Undeliverable(WireMessage, frozen=True, gc=False):
    """A hint, not signed: the envelope with this id found no way on."""

    id: Count

"""
The messages, as typed structs. On the wire each is a MessagePack array of its fields in order.

Between two ends of a link, in this order: L{Hello} from the end that is the TLS client, L{Hello} from the
other once the first is verified, or L{Refused} in a private network, L{Confirmation} and L{ConfirmationAck}
for each change of what the link is for, L{Contacts} to a peer that has become attached, then frames of any
kind, and L{Goodbye} before the link is closed on purpose.

Between nodes that need not be linked, inside an L{Envelope}: L{GroupQuery} and L{GroupAnswer};
L{ConnectRequest}, L{ConnectResponse} and L{ConnectGo}; L{ClientRecord}; and parts of application messages
(L{MessagePart}) with their acknowledgements (L{AckPart}), which also go bare over a direct link.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final

from msgspec import Meta, Struct

NONCE_BYTES: Final = 16
MAX_WIRE_NUMBER: Final = (1 << 63) - 1
MAX_MESSAGE_PARTS: Final = 1 << 16
MAX_TUNNEL_NUMBER: Final = (1 << 32) - 1
"""Numbers of tunnels; none is used twice on a link."""
MAX_CREDIT_BYTES: Final = 1 << 24
MAX_FLIGHTS: Final = 8
"""Flights of a handshake, of both ends together; TLS 1.3 has five at most."""
SEAL_BYTES: Final = 16
"""What sealing adds to a plaintext."""
MAX_CERTIFICATE_BYTES: Final = 1024
"""A member's certificate with that of its issuer."""
ROSTER_DIGEST_BYTES: Final = 32
MAX_STATEMENTS_IN_A_FRAME: Final = 16
"""Of a roster: to check them takes some milliseconds."""
MAX_CERTIFICATES_IN_A_FRAME: Final = 16
SUMMARY_BYTES: Final = 512
"""Of a directory of members: 8 for each of its 64 parts."""
MAX_DETAIL_CHARACTERS: Final = 200
"""Of the reason that a handler gives for a refusal."""

# Every field has a bound that the decoder checks: these bytes come from peers that are not trusted.
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
Seconds = Annotated[float, Meta(ge=0, le=1e11)]
NetworkId = Annotated[str, Meta(min_length=1, max_length=64)]
Part = Annotated[int, Meta(ge=0, lt=MAX_MESSAGE_PARTS)]
Parts = Annotated[int, Meta(ge=1, le=MAX_MESSAGE_PARTS)]


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


class Refused(WireMessage, frozen=True, gc=False):
    """
    Why the sender takes the receiver for no member of its private network. A L{Goodbye} follows.

    @ivar reason: a number of L{routing_crust.errors.CloseReason}.
    @ivar by: who has banned the receiver; empty if nobody has.
    @ivar at: since when: of the ban, or of the expiry, in seconds since the epoch; 0 if that means nothing.
    @ivar time: the time at which it was judged, by the sender.
    """

    reason: Annotated[int, Meta(ge=0, le=65535)]
    by: MaybeName = b""
    at: Seconds = 0.0
    time: Seconds = 0.0


class Renewal(WireMessage, frozen=True, gc=False):
    """
    From a member: "give me a certificate that lasts longer". From an issuer: the new certificate.

    @ivar certificate: empty in the question.
    @ivar reason: a number of L{routing_crust.errors.CloseReason}, if the issuer refuses; else 0.
    """

    certificate: Certificate = b""
    reason: Annotated[int, Meta(ge=0, le=65535)] = 0


class RosterIds(WireMessage, frozen=True, gc=False):
    """
    "I hold these statements of the roster: send me the others."

    @ivar ids: the ids of the statements, one after the other.
    @ivar more: whether another frame with further ones follows.
    @ivar answer: whether it answers such a frame, so that the receiver need not answer with its own ids.
    """

    ids: bytes
    more: bool = False
    answer: bool = False


class RosterStatements(WireMessage, frozen=True):
    """Statements of the roster that the receiver may not hold."""

    statements: Annotated[tuple[bytes, ...], Meta(max_length=MAX_STATEMENTS_IN_A_FRAME)]


class MemberSummary(WireMessage, frozen=True, gc=False):
    """
    "These certificates of members I hold": a digest for each part of the directory.

    @ivar digests: of 64 parts, by the first bits of the members' names; zeros where there is nothing.
    """

    digests: Annotated[bytes, Meta(min_length=SUMMARY_BYTES, max_length=SUMMARY_BYTES)]


class MembersWanted(WireMessage, frozen=True, gc=False):
    """
    "In these parts of the directory I hold these certificates: send me the others."

    @ivar parts: their numbers, a byte for each.
    @ivar ids: the ids of the certificates, one after the other.
    """

    parts: Annotated[bytes, Meta(min_length=1, max_length=64)]
    ids: bytes


class MemberCertificates(WireMessage, frozen=True):
    """Certificates of members, each with that of its issuer, that the receiver may not hold."""

    certificates: Annotated[tuple[Certificate, ...], Meta(max_length=MAX_CERTIFICATES_IN_A_FRAME)]


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


Relays = Annotated[tuple[WireContact, ...], Meta(max_length=4)]


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


TunnelNumber = Annotated[int, Meta(ge=1, le=MAX_TUNNEL_NUMBER)]
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
    """

    number: TunnelNumber
    offered: bool
    peer: NameBytes
    proof: Annotated[bytes, Meta(min_length=32, max_length=32)]
    credit: Credit
    awaited: bool


class TunnelOpened(WireMessage, frozen=True, gc=False):
    """
    The tunnel is open, or renewed.

    @ivar credit: as in L{TunnelOpen}; means nothing when the tunnel was there before.
    @ivar lifetime: for how long, from now on, in seconds.
    """

    number: TunnelNumber
    credit: Credit
    lifetime: Seconds


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


class ConnectResponse(WireMessage, frozen=True):
    """
    "I am dialling you." Travels as a L{Signed}.

    @ivar token: the L{Signed} request that this answers, byte for byte.
    @ivar nat: what the responder knows of the NAT in front of it.
    @ivar relays: nodes with a link to the responder that may carry a tunnel.
    """

    recipient: NameBytes
    token: bytes
    candidates: Candidates
    nat: NatKind = NatKind.UNKNOWN
    relays: Relays = ()


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


class SealedPacket(WireMessage, frozen=True, gc=False):
    """
    What only the other end of a session can open.

    @ivar session: its number.
    @ivar epoch: which of the keys of its sender seals it, counted from 0.
    @ivar counter: grows with each packet of its sender, over all epochs.
    @ivar ciphertext: sealed with AES-256-GCM, its tag at the end; what is in it begins with a byte that says
        what the rest is.
    """

    session: Count
    epoch: Annotated[int, Meta(ge=0, lt=1 << 32)]
    counter: Count
    ciphertext: Annotated[bytes, Meta(min_length=SEAL_BYTES)]


class SessionFlight(WireMessage, frozen=True, gc=False):
    """
    A flight of the handshake that makes a session.

    @ivar session: its number, which the end that begins has chosen: above all that it has chosen before for
        this peer, and odd if its name is the greater one.
    @ivar number: counts the flights, from 0; even ones are from the end that has begun.
    @ivar body: of the TLS handshake; empty where it only says that the flight before it has come.
    @ivar certificate: of the sender, in the first flight of each end; empty in an open network.
    """

    session: Count
    number: Annotated[int, Meta(ge=0, lt=MAX_FLIGHTS)]
    body: bytes
    certificate: Certificate = b""


class SessionUnknown(WireMessage, frozen=True, gc=False):
    """A hint, signed: the sender cannot open packets of this session, or not any more."""

    session: Count


class Flavour(IntEnum):
    """How a message wants to be answered."""

    SEND = 0
    REQUEST = 1
    GROUP = 2


class MessagePart(WireMessage, frozen=True, gc=False):
    """
    One part of an application message.

    @ivar id: unique for its sender.
    @ivar part: which part this is, from 0.
    @ivar parts: how many there are.
    @ivar group: the name to whose close group the message or the request goes; empty if it goes to a node.
    """

    id: Count
    part: Part
    parts: Parts
    flavour: Flavour
    group: MaybeName
    body: bytes


class AckStatus(IntEnum):
    """The outcome of a message."""

    DELIVERED = 0
    ANSWERED = 1
    REFUSED = 2
    WORKING = 3


class Refusal(WireMessage, frozen=True, gc=False):
    """
    Why a request is refused: the body of an acknowledgement that says so.

    @ivar reason: which of the reasons it was; they are below.
    """

    reason: Annotated[int, Meta(ge=0, le=65535)]
    detail: Annotated[str, Meta(max_length=MAX_DETAIL_CHARACTERS)] = ""


class Working(WireMessage, frozen=True, gc=False):
    """A request is being handled and takes longer: the body of an acknowledgement that says so."""

    seconds: Seconds


class AckPart(WireMessage, frozen=True, gc=False):
    """
    One part of the acknowledgement of a message, which for requests carries the answer.

    @ivar id: the id of the message that is acknowledged.
    """

    id: Count
    part: Part
    parts: Parts
    status: AckStatus
    body: bytes


class Undeliverable(WireMessage, frozen=True, gc=False):
    """A hint, not signed: the envelope with this id found no way on."""

    id: Count

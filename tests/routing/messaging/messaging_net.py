"""
A network of messengers in memory, for tests: real tables and registries, links without crust, one clock.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from types import SimpleNamespace
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import Clock

from routing_crust.config import Settings
from routing_crust.crust.interfaces import ICrust, ILink
from routing_crust.crust.link.round_trip import RoundTrip
from routing_crust.crust.session_tls import SessionTls
from routing_crust.endpoints import Connection, Direction, Endpoint, PathKind, Protocol
from routing_crust.errors import CloseReason, LinkClosed, WireError
from routing_crust.identity import Identity
from routing_crust.names import Name
from routing_crust.routing.events import Message
from routing_crust.routing.membership.neighbourhood import Neighbourhood
from routing_crust.routing.membership.routing_table import PeerEntry
from routing_crust.routing.messaging.envelope_dispatch import EnvelopeDispatch
from routing_crust.routing.messaging.messenger import Messenger
from routing_crust.routing.node import Node
from routing_crust.testing.memory.key_agreement import SimulatedKeyAgreements
from routing_crust.wire.codec import decode
from routing_crust.wire.end_to_end import AckPart, MessagePart
from routing_crust.wire.framing import MAX_FRAME_BYTES
from routing_crust.wire.messages import Envelope, EnvelopeKind, LinkUse

Fate = Callable[["FakeLink", int, bytes], list[float]]
"""After how many seconds each copy of a frame arrives; an empty list loses it."""

_identities: dict[str, Identity] = {}


def identity(prefix: str) -> Identity:
    """An identity whose name begins with these bits; always the same one."""
    number = 0
    while prefix not in _identities:
        found = Identity.from_seed(number.to_bytes(32, "big"))
        if format(found.name.number, "0256b").startswith(prefix):
            _identities[prefix] = found
        number += 1
    return _identities[prefix]


def at_once(link: FakeLink, kind: int, payload: bytes) -> list[float]:
    """The fate of frames on a good network."""
    return [0.0]


def called(name: Name) -> str:
    """What errors of these nodes call a peer."""
    return f"peer {name.short}"


class FakeLink:
    """One end of a link. Frames arrive on a later turn of the clock, and only while both ends are open."""

    is_doubted = False
    path_kind = PathKind.DIRECT

    def __init__(self, net: FakeNet, node: FakeNode, peer: Name) -> None:
        self._net = net
        self._waiting: list[Deferred[None]] = []
        self.node = node
        self.peer = peer
        self.other: FakeLink
        self.writable = True
        self.queued = 0
        self.room: int | None = None
        self.open = True
        self.sent: list[tuple[int, bytes]] = []
        self.direction = Direction.ACCEPTED
        self.connection = Connection(Protocol.TCP, Endpoint("10.0.0.1", 1), Endpoint("10.0.0.2", 1))
        self.token = b""
        self.use = LinkUse.MEMBER
        self.round_trip = RoundTrip(net.clock.seconds)

    def send(self, kind: int, payload: bytes) -> None:
        if not self.open:
            return
        assert len(payload) <= MAX_FRAME_BYTES
        self.sent.append((kind, payload))
        if self.room is not None:
            self.room -= 1
            self.writable = self.room > 0
        for delay in self._net.fate(self, kind, payload):
            self._net.clock.callLater(delay, self.other.arrived, kind, payload)

    tell = send

    def arrived(self, kind: int, payload: bytes) -> None:
        if not self.open:
            return
        try:
            self.node.messenger.frame_handlers[kind](cast(ILink, self), kind, payload)
        except WireError as error:
            self.node.problems.append(error)
            self.cut()

    def when_writable(self) -> Deferred[None]:
        waiter: Deferred[None] = Deferred()
        if not self.open:
            waiter.errback(LinkClosed(CloseReason.CONNECTION_LOST))
        elif self.writable:
            waiter.callback(None)
        else:
            self._waiting.append(waiter)
        return waiter

    def stall(self, room: int = 0) -> None:
        """Take this number of frames, and none after them."""
        self.room = room
        self.writable = room > 0

    def drain(self, room: int | None = None) -> None:
        """Take frames again."""
        self.room = room
        self.writable = True
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(None)

    def cut(self) -> None:
        """The link is lost at both ends."""
        for end in (self, self.other):
            if end.open:
                end.open = False
                waiting, end._waiting = end._waiting, []
                for each in waiting:
                    each.errback(LinkClosed(CloseReason.CONNECTION_LOST))
                end.node.lost(end)


def peer_of(link: FakeLink) -> Any:
    """As much of a peer as a messenger looks at."""
    return SimpleNamespace(name=link.peer, link=link, use=link.use)


class FakeNode:
    """A node as its messenger sees it."""

    def __init__(self, net: FakeNet, who: Identity) -> None:
        self.net = net
        self.identity = who
        self.name = who.name
        clock = cast(IReactorTime, net.clock)
        random = Random(who.name.number)
        # not the random source of the node: what tests draw from that must not depend on handshakes
        simulated = SimulatedKeyAgreements(who, Random(who.name.number + 1))
        agreements = SessionTls(who) if net.has_tls else simulated
        crust = cast(ICrust, SimpleNamespace(agree_on_keys=agreements.agree))
        node = Node(net.settings, who, clock, random, crust, 1, clock.seconds, brief=called)
        self.neighbourhood = Neighbourhood(node, self)
        self.table = self.neighbourhood.table
        self.clients = self.neighbourhood.clients
        self.links: dict[Name, FakeLink] = {}
        self.controls: list[tuple[EnvelopeKind, Name, bytes, Envelope]] = []
        self.hints: list[int] = []
        self.problems: list[WireError] = []
        self.got: list[Message] = []
        self.dispatch = EnvelopeDispatch(node)
        for kind in EnvelopeKind:
            self.dispatch.handle(kind, self._handle)
        self.messenger = Messenger(node, self, self.neighbourhood, self.dispatch)
        self.messenger.when_undeliverable(self.hints.append)
        self.messenger.set_message_handler(self.got.append)

    @property
    def proxy(self) -> Name | None:
        return self.neighbourhood.proxy

    @proxy.setter
    def proxy(self, name: Name | None) -> None:
        self.neighbourhood.set_proxy(name)

    def link_to(self, name: Name) -> ILink | None:
        return cast("ILink | None", self.links.get(name))

    def peer(self, name: Name) -> Any:
        link = self.links.get(name)
        return None if link is None else peer_of(link)

    def _handle(self, envelope: Envelope, source: Name, link: ILink | None) -> None:
        self.handle_control(envelope, source, link)  # which tests replace

    def handle_control(self, envelope: Envelope, source: Name, link: ILink | None) -> None:
        self.controls.append((envelope.kind, source, envelope.body, envelope))

    def lost(self, link: FakeLink) -> None:
        if self.links.get(link.peer) is link:
            del self.links[link.peer]
            self.table.remove(link.peer)
        self.messenger.peer_lost(peer_of(link), CloseReason.CONNECTION_LOST, "")

    @property
    def bodies(self) -> list[bytes]:
        return [message.body for message in self.got]


class FakeNet:
    """All of it. Every node is made by L{node}, every link by L{link}."""

    def __init__(self, has_tls: bool = False, **settings: object) -> None:
        """
        @param has_tls: whether sessions are made by real handshakes.
        """
        self.has_tls = has_tls
        self.clock = Clock()
        self.clock.advance(1000)
        self.settings = Settings(**settings)  # type: ignore[arg-type]
        self.fate: Fate = at_once
        self.nodes: list[FakeNode] = []

    def node(self, prefix: str) -> FakeNode:
        """A new node whose name begins with these bits."""
        node = FakeNode(self, identity(prefix))
        self.nodes.append(node)
        return node

    def link(self, one: FakeNode, other: FakeNode, use: LinkUse = LinkUse.MEMBER) -> FakeLink:
        """Link two nodes, in place of any other link. Returns the end of the first, which dials."""
        ends = FakeLink(self, one, other.name), FakeLink(self, other, one.name)
        ends[0].other, ends[1].other = ends[1], ends[0]
        ends[0].direction = Direction.CONNECTED
        ends[0].token = b"" if use is LinkUse.ATTACHED else b"a request"
        for end in ends:
            end.use = use
            end.node.links[end.peer] = end
            if use is LinkUse.MEMBER:
                end.node.table.add(PeerEntry(end.peer))
        for end in ends:
            end.node.messenger.peer_established(peer_of(end), None)
        return ends[0]

    def attach(self, client: FakeNode, proxy: FakeNode) -> FakeLink:
        """Have a node speak for a client, or for one that is joining."""
        client.proxy = proxy.name
        return self.link(client, proxy, LinkUse.ATTACHED)

    def line(self) -> tuple[FakeNode, FakeNode, FakeNode, FakeNode]:
        """Four nodes of which each is linked to the next; greedy routing works both ways."""
        one, two, three, four = (self.node(prefix) for prefix in ("000", "001", "011", "111"))
        for left, right in ((one, two), (two, three), (three, four)):
            self.link(left, right)
        return one, two, three, four

    def run(self, seconds: float = 0.0) -> None:
        """Let time pass; with 0, only until nothing is due any more."""
        end = self.clock.seconds() + seconds
        self.clock.advance(0)
        while True:
            due = [call.getTime() for call in self.clock.getDelayedCalls()]
            if not due or min(due) > end:
                break
            self.clock.advance(max(0.0, min(due) - self.clock.seconds()))
        self.clock.advance(max(0.0, end - self.clock.seconds()))

    @property
    def timers(self) -> list[IDelayedCall]:
        """What the nodes wait for, without the frames that are on their way."""
        return [call for call in self.clock.getDelayedCalls() if call.func.__name__ != "arrived"]

    def stop(self) -> None:
        for node in self.nodes:
            node.messenger.stop()


def envelopes(link: FakeLink) -> list[Envelope]:
    """The envelopes among what was sent over a link."""
    return [decode(Envelope, payload) for kind, payload in link.sent if kind == 6]


def message_parts(link: FakeLink) -> list[MessagePart]:
    """The bare message parts among what was sent over a link."""
    return [decode(MessagePart, payload) for kind, payload in link.sent if kind == 7]


def acks(link: FakeLink) -> list[AckPart]:
    """The bare acknowledgements among what was sent over a link."""
    return [decode(AckPart, payload) for kind, payload in link.sent if kind == 8]

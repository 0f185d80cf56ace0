"""Two ends of sessions and a way between them that can lose, double and reorder what they send."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from types import SimpleNamespace
from typing import Any, cast

from twisted.internet.task import Clock

from routing_crust.config import Settings
from routing_crust.crust.interfaces import ICrust, ILink
from routing_crust.crust.key_agreement import KeyAgreements
from routing_crust.endpoints import Connection, Endpoint, Protocol
from routing_crust.identity import Identity
from routing_crust.names import Name
from routing_crust.routing.envelopes import MAX_HOPS, Sealer
from routing_crust.routing.members import OPEN, Members
from routing_crust.routing.node import Node
from routing_crust.routing.sessions.openings import MakeBody, WayBack
from routing_crust.routing.sessions.sessions import Sessions
from routing_crust.testing.memory.key_agreement import SimulatedKeyAgreements
from routing_crust.wire.codec import decode
from routing_crust.wire.end_to_end import SealedPacket, SessionFlight
from routing_crust.wire.messages import Envelope, EnvelopeKind

Fate = Callable[["End", Envelope], list[float]]
"""After how many seconds each copy of an envelope arrives; an empty list loses it."""


def arrives(end: End, envelope: Envelope) -> list[float]:
    """The fate of envelopes on a good way."""
    return [0.05]


def link_of(peer: Name, host: str = "10.0.0.1") -> ILink:
    """As much of a link as counts for who is held to account."""
    connection = Connection(Protocol.TCP, Endpoint(host, 1), Endpoint("10.9.9.9", 1))
    return cast(ILink, SimpleNamespace(peer=peer, connection=connection))


@dataclass
class World:
    """A clock, the ends by their names, and what becomes of what they send."""

    seed: int = 0
    clock: Clock = field(default_factory=Clock)
    ends: dict[Name, End] = field(default_factory=dict)
    fate: Fate = arrives

    def __post_init__(self) -> None:
        self.random = Random(self.seed)

    def pass_time(self, seconds: float) -> None:
        """Let time pass in small steps."""
        self.clock.pump([0.05] * round(seconds / 0.05))


class End:
    """
    One end: its sessions, and what it has sent and got.

    @ivar seen: every envelope that it has sent, as a relay sees them.
    """

    def __init__(
        self, world: World, identity: Identity, agreements: KeyAgreements | None = None, **settings: Any
    ) -> None:
        self.world = world
        self.identity = identity
        self.name = identity.name
        self.agreements = agreements or SimulatedKeyAgreements(identity, world.random)
        self.settings = Settings(**settings)
        self.members: Members = OPEN
        self.incarnation = 1
        self.link = link_of(self.name)
        self.seen: list[Envelope] = []
        self.got: list[bytes] = []
        self.events: list[str] = []
        self.waiting: list[tuple[Name, bytes]] = []
        self.ways: list[WayBack] = []
        world.ends[self.name] = self
        self.restart()

    def restart(self) -> None:
        """Restart, with nothing remembered."""
        if self.incarnation > 1:
            self.sessions.stop()
        self.incarnation += 1
        world, crust = self.world, SimpleNamespace(agree_on_keys=self.agreements.agree)
        self.node = Node(
            self.settings,
            self.identity,
            cast(Any, world.clock),
            world.random,
            cast(ICrust, crust),
            self.incarnation,
            world.clock.seconds,
            self.members,
        )
        self.sealer = Sealer(self.identity, self.settings.network, MAX_HOPS, world.random)
        self.sessions = Sessions(self.node, self.send_control, self)

    # What the sessions call.

    def send_control(
        self, kind: EnvelopeKind, destination: Name, body: MakeBody, way: WayBack, attempt: int
    ) -> int:
        self.ways.append(way)
        id = self.sealer.new_trace()
        signed = kind is not EnvelopeKind.SEALED
        return self.post(self.sealer.seal(id, kind, destination, body(id, b""), signed=signed))

    def session_opened(self, peer: Name) -> None:
        self.events.append("opened")
        waiting, self.waiting = self.waiting, []
        for destination, plaintext in waiting:
            self.send(destination, plaintext)

    def session_lost(self, peer: Name) -> None:
        self.events.append("lost")
        self.sessions.open(peer)

    def opened(self, envelope: Envelope, source: Name, link: ILink | None, plaintext: bytes) -> None:
        self.got.append(plaintext)

    # What a test calls.

    def send(self, to: Name, plaintext: bytes) -> None:
        """Seal and send, once there is a session."""
        trace = self.sealer.new_trace()
        body = self.sessions.seal(to, trace, b"", plaintext)
        if body is None:
            self.waiting.append((to, plaintext))
            self.sessions.open(to)
        else:
            self.post(self.sealer.seal(trace, EnvelopeKind.SEALED, to, body, signed=False))

    def post(self, envelope: Envelope) -> int:
        """Put an envelope on its way."""
        self.seen.append(envelope)
        other = self.world.ends.get(Name(envelope.destination))
        if other is not None:
            for delay in self.world.fate(self, envelope):
                self.world.clock.callLater(delay, other.take, envelope, self.name, self.link)
        return envelope.id

    def take(self, envelope: Envelope, source: Name, link: ILink) -> None:
        """Take an envelope as if its signature had been checked."""
        {
            EnvelopeKind.SESSION_FLIGHT: self.sessions.flight_received,
            EnvelopeKind.SESSION_UNKNOWN: self.sessions.unknown_received,
            EnvelopeKind.SEALED: self.sessions.packet_received,
        }[envelope.kind](envelope, source, link)

    def kinds(self) -> list[str]:
        """What it has sent, in short: flights by their numbers, packets and hints."""
        return [_short(each) for each in self.seen]

    def number_with(self, other: End) -> int:
        """The number of the session that it seals with."""
        session = self.sessions._table.latest(other.name)
        assert session is not None
        return session.number


def _short(envelope: Envelope) -> str:
    if envelope.kind is EnvelopeKind.SESSION_FLIGHT:
        return str(decode(SessionFlight, envelope.body).number)
    return "packet" if envelope.kind is EnvelopeKind.SEALED else "hint"


def packet_of(envelope: Envelope) -> SealedPacket:
    """The packet in an envelope."""
    return decode(SealedPacket, envelope.body)


def two_ends(world: World | None = None) -> tuple[End, End]:
    """Two ends, the one with the smaller name first."""
    world = world or World()
    one, other = (Identity.from_seed(bytes([number]) * 32) for number in (1, 2))
    small, great = sorted((one, other), key=lambda each: each.name)
    return End(world, small), End(world, great)

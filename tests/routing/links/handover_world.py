"""Both ends of a handover, and the wires between them."""

from __future__ import annotations

from collections import deque
from random import Random
from types import SimpleNamespace

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from routing_crust.config import Settings, TwoWay
from routing_crust.crust.interfaces import ILink
from routing_crust.crust.link.round_trip import RoundTrip
from routing_crust.endpoints import Connection, Direction, Endpoint, PathKind, Protocol
from routing_crust.errors import CloseReason, LinkClosed, WireError
from routing_crust.identity import Identity
from routing_crust.routing.links.handshake import PeerFacts
from routing_crust.routing.links.peer import Peer, PeerListener, Permit
from routing_crust.routing.links.registry import LinkRegistry
from routing_crust.routing.node import Node
from routing_crust.wire.framing import FrameKind
from routing_crust.wire.messages import LinkUse, NatKind

KIND = 130


SMALL, GREAT = sorted((Identity.from_seed(bytes([each]) * 32) for each in (1, 2)), key=lambda one: one.name)


@implementer(ILink)
class WireEnd:
    """One end of a wire."""

    bootstrap = False
    token = b"sixteen bytes of"
    other: WireEnd

    is_doubted = False
    owed_for = 0.0
    round_trip = RoundTrip(float)

    def __init__(self, world: World, which: int, initiator: bool, path_kind: PathKind) -> None:
        self.world = world
        self.which = which
        self.initiator = initiator
        self.direction = Direction.CONNECTED if initiator else Direction.ACCEPTED
        self.path_kind = path_kind
        peer = world.identities[1 - which]
        self.peer = peer.name
        number = len(world.wires)
        self.binding = bytes([number]) * 32
        self.connection = Connection(
            Protocol.TCP, Endpoint("198.18.0.1", 5483 + number), Endpoint("198.18.0.2", 5483 + number)
        )
        self.coming: deque[tuple[int, bytes] | str] = deque()
        self.heir: ILink | None = None
        self.reading = True
        self.writable = True
        self.queued = 0
        self.closed: CloseReason | None = None
        self.gone = False

    def send(self, kind: int, payload: bytes) -> None:
        if self.heir is not None and kind in (KIND, FrameKind.ANEW, FrameKind.CONTINUED):
            self.heir.send(kind, payload)
        elif self.closed is None and not self.gone:
            self.other.coming.append((kind, payload))

    tell = send

    def hand_over(self, link: ILink) -> None:
        self.heir = None if link is self else link

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def verified(self) -> None:
        pass

    def confirmed(self) -> None:
        pass

    def suspect(self) -> None:
        """Losses are noticed when the steps say so."""

    def close(self, reason: CloseReason, detail: str = "") -> None:
        if self.closed is None:
            self.closed = reason
            self.other.coming.append("gone")

    abort = close

    def when_writable(self) -> Deferred[None]:
        raise NotImplementedError

    add_producer = remove_producer = set_feeder = feed_soon = when_writable  # type: ignore[assignment]


class End(PeerListener):
    """One node: the policy of its L{LinkRegistry}, and what it has sent and heard."""

    def __init__(self, world: World, which: int, settings: Settings, incarnation: int = 1) -> None:
        self.world = world
        self.which = which
        self.session = 0
        self.sent: dict[int, int] = {}
        self.sessions: list[list[tuple[int, int]]] = [[]]
        self.events: list[str] = []
        self.peer: Peer | None = None
        self.old: list[ILink] = []
        crust = SimpleNamespace(endpoints=(), candidates=(), sources=(), nat=NatKind.UNKNOWN)
        own, clock = world.identities[which], world.clock
        self.links = LinkRegistry(
            Node(settings, own, clock, Random(which), crust, incarnation, clock.seconds)  # type: ignore[arg-type]
        )
        self.links.attach(self, (self,))
        self.links.handle_frames((KIND,), self.frame_received)

    def send(self, link: ILink) -> None:
        number = self.sent.get(self.session, 0)
        self.sent[self.session] = number + 1
        link.send(KIND, b"%d %d" % (self.session, number))

    def new_session(self) -> None:
        self.session += 1
        self.sessions.append([])

    # The policy.

    def judge(self, link: ILink, facts: PeerFacts) -> Permit:
        return Permit(LinkUse.DIRECT, link.initiator)

    def greeted(self, link: ILink, facts: PeerFacts) -> None:
        pass

    # The listener.

    def link_replaced(self, before: Peer, peer: Peer) -> None:
        self.old.append(before.link)
        self.events.append("changed")

    def peer_established(self, peer: Peer, before: Peer | None) -> None:
        if before is None:
            self.new_session()
            self.events.append("gained")
        self.peer = peer

    def peer_reset(self, peer: Peer, reason: LinkClosed) -> None:
        self.new_session()
        self.events.append("anew")

    def frame_received(self, link: ILink, kind: int, payload: bytes) -> None:
        assert self.peer is not None
        assert link is self.peer.link, "a frame with a link that is not the current one"
        session, number = map(int, payload.split())
        self.sessions[-1].append((session, number))

    def peer_lost(self, peer: Peer, reason: CloseReason, detail: str) -> None:
        self.new_session()
        self.peer = None
        self.old.clear()
        self.events.append("lost")


class World:
    """Both ends, and the wires between them."""

    def __init__(self, **settings: object) -> None:
        self.clock = Clock()
        self.clock.advance(1_700_000_000)
        self.identities = (SMALL, GREAT)
        self.settings = Settings(two_way=TwoWay.OFF, **settings)  # type: ignore[arg-type]
        self.wires: list[WireEnd] = []
        self.ends = [End(self, which, self.settings) for which in (0, 1)]

    def dial(self, dialler: int, path_kind: PathKind) -> WireEnd:
        here = WireEnd(self, dialler, True, path_kind)
        here.other = WireEnd(self, 1 - dialler, False, path_kind)
        here.other.other = here
        self.wires.append(here)
        self.ends[1 - dialler].links.new_link(here.other)
        self.ends[dialler].links.new_link(here)
        return here

    def ready(self) -> list[WireEnd]:
        """Ends at which something is to arrive."""
        return [end for wire in self.wires for end in (wire, wire.other) if end.coming and end.reading]

    def deliver(self, at: WireEnd) -> None:
        what = at.coming.popleft()
        if at.gone:
            return
        links = self.ends[at.which].links
        if isinstance(what, str):
            at.gone = True
            if at.closed is None:
                at.other.coming.append("gone")
            at.coming.clear()
            links.link_lost(at, CloseReason.CONNECTION_LOST)
        elif at.closed is None:
            try:
                links.frame_received(at, *what)
            except WireError as error:  # as the core does
                links.close(at, error.reason, str(error))
                raise

    def cut(self, wire: WireEnd, lose: int) -> None:
        """Break a connection: what was sent last does not arrive, up to C{lose} frames each way."""
        for end in (wire, wire.other):
            for _ in range(min(lose, len(end.coming))):
                end.coming.pop()
            end.coming.append("gone")

    def settle(self) -> None:
        for _ in range(100_000):
            ready = self.ready()
            if not ready:
                return
            self.deliver(ready[0])
        raise AssertionError("it never comes to rest")

    def pass_time(self, seconds: float) -> None:
        self.settle()
        for _ in range(int(seconds)):
            self.clock.advance(1)
            self.settle()

    def live(self) -> list[WireEnd]:
        return [
            wire
            for wire in self.wires
            if not (wire.gone or wire.other.gone) and wire.closed is None and wire.other.closed is None
        ]


class WorldTests(SynchronousTestCase):
    def check(self, world: World) -> None:
        """What was heard in one session is how one session of the other began, and no two are of one."""
        for end, other in zip(world.ends, reversed(world.ends), strict=True):
            known: list[int] = []
            for heard in end.sessions:
                if heard:
                    session = heard[0][0]
                    self.assertEqual(heard, [(session, number) for number in range(len(heard))])
                    self.assertLessEqual(len(heard), other.sent[session])
                    known.append(session)
            self.assertEqual(known, sorted(set(known)))

    def check_complete(self, world: World) -> None:
        """Besides, everything of the last session has come."""
        self.check(world)
        for end, other in zip(world.ends, reversed(world.ends), strict=True):
            self.assertEqual(len(end.sessions[-1]), other.sent.get(other.session, 0))

    def check_at_rest(self, world: World) -> None:
        """Both ends have the same one link and wait for nothing, and it carries frames both ways."""
        small, great = world.ends
        (wire,) = world.live()
        links = small.links.link_to(GREAT.name), great.links.link_to(SMALL.name)
        self.assertEqual(set(links), {wire, wire.other})
        for end in world.ends:
            assert end.peer is not None
            end.send(end.peer.link)
            self.assertEqual((len(end.links), len(end.links.passing)), (1, 1))
            self.assertIn(end.peer.link, end.links.passing)
        self.assertEqual(world.clock.getDelayedCalls(), [])
        world.settle()
        self.check_complete(world)

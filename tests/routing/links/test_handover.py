"""
One link takes the place of another, and no frame is lost or reordered, in any order of events.

L{World} is two real L{LinkRegistry} with wires between them: each wire has one queue in each direction, and
Hypothesis chooses what happens next. What an end sends belongs to a session, which ends when that end is told
that frames may be lost; what the other receives in one session of its own must be how one session began.
"""

from __future__ import annotations

from collections import deque
from random import Random
from types import SimpleNamespace

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from msgspec import Struct
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
from routing_crust.routing.links import handover
from routing_crust.routing.links.handover import HANDOVER_TIMEOUT_SECONDS
from routing_crust.routing.links.handshake import PeerFacts
from routing_crust.routing.links.peer import Accept, Peer, PeerListener
from routing_crust.routing.links.peer_links import MAX_RESETS_PER_LINK
from routing_crust.routing.links.registry import LinkRegistry
from routing_crust.routing.node import Node
from routing_crust.wire.codec import encode
from routing_crust.wire.framing import FrameKind
from routing_crust.wire.messages import Confirmation, Contacts, Continued, LinkUse, NatKind, Switched, View

KIND = 130
HANDSHAKE = (FrameKind.HELLO, FrameKind.CONFIRMATION, FrameKind.CONFIRMATION_ACK)
SMALL, GREAT = sorted((Identity.from_seed(bytes([each]) * 32) for each in (1, 2)), key=lambda one: one.name)
PATH_KINDS = (PathKind.TUNNEL, PathKind.PUNCHED, PathKind.DIRECT, PathKind.MAPPED)


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

    def probe(self) -> None:
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
        crust = SimpleNamespace(endpoints=(), nat=NatKind.UNKNOWN)
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

    def judge(self, link: ILink, facts: PeerFacts) -> Accept:
        return Accept(LinkUse.DIRECT, link.initiator)

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


step = st.tuples(st.integers(0, 15), st.integers(0, 255))


def play(world: World, steps: list[tuple[int, int]], cuts: bool) -> None:
    for what, which in steps:
        if what == 0 and len(world.wires) < 6:
            world.dial(which & 1, PATH_KINDS[which >> 1 & 3])
        elif what == 1 and cuts and world.wires:
            world.cut(world.wires[which % len(world.wires)], which >> 4)
        elif what == 2 and cuts:
            world.clock.advance(which / 10)
        elif what in (3, 4, 5):
            end = world.ends[which & 1]
            if end.peer is not None:
                links = [end.peer.link, end.peer.link, *end.old]
                end.send(links[(which >> 1) % len(links)])
        else:
            ready = world.ready()
            if ready:
                world.deliver(ready[which % len(ready)])


class EveryOrderTests(WorldTests):
    """What must hold in every order."""

    @hypothesis_settings(deadline=None, derandomize=True, max_examples=300)
    @given(st.lists(step, max_size=120))
    def test_no_frame_is_lost_while_no_connection_breaks(self, steps: list[tuple[int, int]]) -> None:
        """As long as no connection breaks there is one session from beginning to end, and all arrives."""
        world = World()
        world.dial(0, PathKind.TUNNEL)
        world.settle()
        play(world, steps, cuts=False)
        world.settle()
        self.check_complete(world)
        self.check_at_rest(world)
        for end in world.ends:
            self.assertEqual(set(end.events[1:]) - {"changed"}, set())

    @hypothesis_settings(deadline=None, derandomize=True, max_examples=300)
    @given(st.lists(step, max_size=120))
    def test_every_loss_is_known_to_both_ends(self, steps: list[tuple[int, int]]) -> None:
        """Connections break, and time passes: no frame is reordered, and both ends know of each loss."""
        world = World()
        world.dial(0, PathKind.TUNNEL)
        world.settle()
        play(world, steps, cuts=True)
        world.settle()
        self.check(world)
        world.pass_time(100)
        self.check_complete(world)
        if world.live():
            self.check_at_rest(world)

    def test_every_loss_is_known_in_random_worlds(self) -> None:
        """The mixture of events differs: some worlds are quiet, in others no link lasts."""
        for seed in range(70_000_000, 70_000_300):
            random = Random(seed)
            world = World()
            world.dial(0, random.choice(PATH_KINDS))
            world.settle()
            weights = [random.randrange(3), random.randrange(3), random.randrange(2), 3, 3, 3]
            weights.append(random.randrange(1, 12))
            steps = [
                (random.choices(range(7), weights)[0], random.randrange(256))
                for _ in range(random.randrange(20, 300))
            ]
            play(world, steps, cuts=True)
            world.settle()
            self.check(world)
            world.pass_time(100)
            self.check_complete(world)
            if world.live():
                self.check_at_rest(world)


class BoundTests(WorldTests):
    """Bounds on what a peer can make us hold back, wait for and do."""

    def setUp(self) -> None:
        self.patch(handover, "MAX_HELD_BYTES", 64 * 1024)
        self.world = World()
        self.old = self.world.dial(0, PathKind.TUNNEL)
        self.world.settle()

    def switch(self, held: bool = True) -> WireEnd:
        """
        Another link, by which both ends are linked; returns the end of the one that dialled it.

        @param held: whether nothing comes over the old one.
        """
        new = self.world.dial(0, PathKind.DIRECT)
        self.old.reading = self.old.other.reading = not held
        self.world.settle()
        self.old.reading = self.old.other.reading = True
        return new

    def both(self) -> list[tuple[End, WireEnd]]:
        """Each node, and its end of the old link."""
        return [(self.world.ends[end.which], end) for end in (self.old, self.old.other)]

    def send(self, kind: FrameKind, message: Struct, link: WireEnd) -> None:
        """Send something that the other end does not expect."""
        link.other.coming.append((kind, encode(message)))

    def refused(self, kind: FrameKind, message: Struct, link: WireEnd, times: int = 1) -> None:
        """The peer is cut off when it has sent this on a link for the last of these times."""
        for _ in range(times):
            self.send(kind, message, link)
        self.assertRaises(WireError, self.world.settle)
        self.world.pass_time(1)
        self.assertEqual(self.world.ends[link.other.which].events[-1], "lost")

    def test_new_link_is_not_read_beyond_switch_memory(self) -> None:
        """More than C{MAX_HELD_BYTES} is not held back: the new link is not read until it is its turn."""
        new = self.switch()
        sender, _ = self.both()[0]
        receiver = self.world.ends[1]
        self.old.other.reading = False
        for _ in range(700):
            sender.send(new)
        self.world.settle()
        self.assertFalse(new.other.reading)
        self.assertGreater(len(new.other.coming), 100)
        self.assertEqual(receiver.sessions[-1], [])
        self.old.other.reading = True
        self.world.settle()
        self.assertTrue(new.other.reading)
        self.assertEqual(len(receiver.sessions[-1]), 700)
        self.check_at_rest(self.world)

    def test_new_link_is_read_again_if_the_old_one_times_out(self) -> None:
        """The reset after the timeout frees the memory for which the new link was paused."""
        new = self.switch()
        self.old.other.reading = False
        for _ in range(700):
            self.world.ends[0].send(new)
        self.world.settle()
        self.assertFalse(new.other.reading)
        self.world.clock.advance(HANDOVER_TIMEOUT_SECONDS)
        self.old.other.reading = True
        self.world.settle()
        self.assertTrue(new.other.reading)
        self.assertEqual([end.events[-1] for end in self.world.ends], ["anew", "anew"])
        self.check_at_rest(self.world)

    def test_link_is_read_on_after_the_last_frame_that_was_held_back(self) -> None:
        """Else what the peer says last on a link that it has left would never be read."""
        new = self.switch()
        self.old.other.reading = False
        for _ in range(700):
            self.world.ends[0].send(new)
        self.world.settle()
        self.world.dial(0, PathKind.MAPPED)
        self.world.settle()
        self.assertFalse(new.other.reading)
        while new.other.coming:  # they were on their way when reading was paused
            self.world.deliver(new.other)
        self.old.other.reading = True
        self.world.settle()
        self.assertTrue(new.other.reading)
        self.check_at_rest(self.world)

    def test_peer_that_leaves_its_only_link_is_cut_off(self) -> None:
        """A peer that leaves its link has another, or is cut off in time."""
        self.send(FrameKind.SWITCHED, Switched(False), self.old)
        self.world.settle()
        self.world.pass_time(HANDOVER_TIMEOUT_SECONDS - 1)
        self.assertEqual(len(self.world.live()), 1)
        self.world.pass_time(2)
        self.assertEqual(self.old.other.closed, CloseReason.STALLED)
        self.assertEqual(self.world.clock.getDelayedCalls(), [])

    def test_second_leaving_of_a_link_is_refused(self) -> None:
        self.refused(FrameKind.SWITCHED, Switched(False), self.old, times=2)

    def test_acknowledgement_before_we_leave_is_refused(self) -> None:
        """Everything cannot have come before we have left the link."""
        self.refused(FrameKind.SWITCHED, Switched(True), self.old)

    def test_frame_on_a_link_that_the_peer_left_is_refused(self) -> None:
        self.send(FrameKind.SWITCHED, Switched(False), self.old)
        self.refused(FrameKind.CONTACTS, Contacts(()), self.old)

    def test_leaving_a_link_that_was_never_agreed_on_is_refused(self) -> None:
        """A link that came up, but has not taken the place of another."""
        self.world.dial(0, PathKind.TUNNEL)
        self.world.settle()
        new = self.world.wires[-1]
        if new in self.world.live():
            self.refused(FrameKind.SWITCHED, Switched(False), new)
        else:
            self.assertEqual(self.world.live(), [self.old])

    def test_peer_that_resets_too_often_is_cut_off(self) -> None:
        """Each reset costs us the frames on their way and the state of the layers above."""
        self.old.closed = CloseReason.UNKNOWN  # so that it does not answer itself
        for view in range(1, MAX_RESETS_PER_LINK + 1):
            self.send(FrameKind.ANEW, View(view), self.old)
        self.world.settle()
        events = self.world.ends[1].events
        self.assertEqual(events, ["gained"] + ["anew"] * MAX_RESETS_PER_LINK)
        self.refused(FrameKind.ANEW, View(MAX_RESETS_PER_LINK + 1), self.old)

    def test_second_continued_on_a_link_is_refused(self) -> None:
        """A link comes after one other."""
        self.send(FrameKind.CONTINUED, Continued(bytes(16), 0), self.old)
        self.world.settle()
        self.assertEqual(self.world.ends[1].events, ["gained", "anew"])
        self.check_at_rest(self.world)
        self.refused(FrameKind.CONTINUED, Continued(bytes(16), 0), self.old)

    def test_older_view_is_ignored(self) -> None:
        """An ANEW that was sent before the peer knew our view means nothing."""
        self.send(FrameKind.ANEW, View(7), self.old)
        self.send(FrameKind.ANEW, View(3), self.old)
        self.world.settle()
        self.assertEqual(self.world.ends[1].events, ["gained", "anew"])

    def test_anew_on_a_link_that_both_left_is_refused(self) -> None:
        """A peer can come back only to a link that both ends have agreed on again."""
        self.switch()
        self.send(FrameKind.ANEW, View(1), self.old)
        self.assertRaises(WireError, self.world.settle)

    def test_unknown_frame_is_held_back_and_closes_all_links(self) -> None:
        """When its turn comes, it closes the current link, and the others of the line with it."""
        new = self.switch()
        self.old.other.reading = False
        new.other.coming.append((127, b""))
        self.world.settle()
        self.assertEqual(len(self.world.live()), 2)
        self.old.other.reading = True
        self.world.pass_time(1)
        self.assertEqual(new.other.closed, CloseReason.PROTOCOL_ERROR)
        self.assertEqual(self.world.live(), [])
        self.assertEqual([end.events[-1] for end in self.world.ends], ["lost", "lost"])

    def test_contacts_are_held_back_until_their_turn(self) -> None:
        """Every frame that is not of the handshake waits."""
        new = self.switch()
        heard: list[bytes] = []
        self.world.ends[1].links.handle_frames(
            (FrameKind.CONTACTS,), lambda link, kind, payload: heard.append(payload)
        )
        self.old.other.reading = False
        self.send(FrameKind.CONTACTS, Contacts(()), new)
        self.world.settle()
        self.assertEqual(heard, [])
        self.old.other.reading = True
        self.world.settle()
        self.assertEqual(heard, [encode(Contacts(()))])

    def test_stop_in_the_middle_leaves_no_timer(self) -> None:
        """A stop in the middle leaves no timer."""
        self.switch()
        self.old.reading = False
        for end in self.world.ends:
            end.links.stop()
        self.assertEqual(self.world.clock.getDelayedCalls(), [])
        self.world.settle()

    def test_drop_of_all_links_is_one_loss(self) -> None:
        """All links to a peer are dropped at once, which is one loss."""
        self.switch()
        self.old.reading = self.old.other.reading = False
        self.world.ends[0].links.drop(GREAT.name, CloseReason.NO_LONGER_NEEDED)
        self.assertEqual(self.world.ends[0].events[-2:], ["changed", "lost"])
        self.world.settle()
        self.old.reading = self.old.other.reading = True
        self.world.pass_time(1)
        self.assertEqual(self.world.ends[1].events[-1], "lost")
        self.assertNotIn("anew", [*self.world.ends[0].events, *self.world.ends[1].events])
        self.assertEqual(self.world.live(), [])

    def test_restarted_peer_has_one_new_link(self) -> None:
        """The older links of a peer that has restarted are gone at once, and the frames on their way too."""
        self.switch()
        self.old.reading = self.old.other.reading = False
        great = self.world.ends[1]
        great.links.stop()
        self.world.ends[1] = End(self.world, 1, self.world.settings, incarnation=2)
        self.world.dial(1, PathKind.DIRECT)
        self.world.settle()
        self.old.reading = self.old.other.reading = True
        self.world.pass_time(1)
        self.assertEqual(self.world.ends[0].events[-3:], ["changed", "lost", "gained"])
        self.check_at_rest(self.world)


class PeerKnowsLessTests(WorldTests):
    """One end knows of links or losses of which the other does not."""

    def setUp(self) -> None:
        self.world = World()
        self.old = self.world.dial(0, PathKind.TUNNEL)
        self.world.settle()

    def drop_continued(self, new: WireEnd) -> None:
        """What says that the new link comes after another is not there."""
        for end in (new, new.other):
            end.coming = deque(each for each in end.coming if each[0] != FrameKind.CONTINUED)

    def agree(self, new: WireEnd) -> None:
        """Both ends agree on the new link; nothing that is sent after that arrives yet."""
        world = self.world
        for end in (self.old, self.old.other):
            end.reading = False
        while self.old.heir is None or self.old.other.heir is None:
            ready = [each for each in world.ready() if each.coming[0][0] in HANDSHAKE]
            world.deliver(ready[0])

    def test_frame_without_continued_resets_both_ends(self) -> None:
        """The peer counts the new link as its first, so frames are missing here."""
        new = self.world.dial(0, PathKind.DIRECT)
        self.agree(new)
        self.drop_continued(new)
        self.world.ends[1].send(new.other)
        while new.coming:
            self.world.deliver(new)
        self.assertEqual(self.world.ends[0].events[-1], "anew")
        self.assertEqual(self.world.ends[0].sessions[-1], [])
        self.old.reading = self.old.other.reading = True
        self.world.settle()
        self.assertEqual(self.world.ends[1].events[-1], "anew")
        self.check_at_rest(self.world)

    def test_leaving_without_continued_resets_both_ends(self) -> None:
        """The peer has left the new link for another, and has sent nothing on it."""
        new = self.world.dial(0, PathKind.DIRECT)
        self.agree(new)
        self.drop_continued(new)
        newest = self.world.dial(0, PathKind.MAPPED)
        while new.other.heir is None:
            ready = [each for each in self.world.ready() if each.coming[0][0] in HANDSHAKE]
            self.world.deliver(ready[0])
        while new.coming:
            self.world.deliver(new)
        self.assertEqual(self.world.ends[0].events[-1], "anew")
        self.old.reading = self.old.other.reading = True
        self.world.settle()
        self.assertIs(self.world.live()[0], newest)
        self.check_at_rest(self.world)

    def test_old_link_is_used_again_when_the_new_one_is_lost(self) -> None:
        """
        The end that decides has lost the new link before the acknowledgement came, and decides for the old
        one again, which the other end has left.
        """
        small, great = self.world.ends
        small.send(self.old)
        new = self.world.dial(0, PathKind.DIRECT)
        while self.old.other.heir is None:
            ready = [each for each in self.world.ready() if each.coming[0][0] in HANDSHAKE]
            self.world.deliver(ready[0])
        great.send(new.other)
        small.links.close(new, CloseReason.HELLO_TIMEOUT)
        self.old.send(FrameKind.CONFIRMATION, encode(Confirmation(1 << 60, LinkUse.DIRECT, False)))
        small.send(self.old)
        while self.old.other.coming:
            self.world.deliver(self.old.other)
        assert great.peer is not None
        self.assertIs(great.peer.link, self.old.other)
        self.assertEqual(great.events, ["gained", "changed", "anew", "changed"])
        great.send(new.other)  # as an application does that has kept it
        self.world.settle()
        self.assertEqual(small.events, ["gained", "anew"])
        self.assertIs(small.sessions[-1][0][0], great.session)
        self.check_at_rest(self.world)

"""
Both ends agree on the one link that survives, whatever the order of events.

L{World} is the two ends with the links between them: each link has one queue of frames in each direction,
and Hypothesis chooses what happens next.
"""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import Settings, TwoWay
from routing_crust.endpoints import PathKind
from routing_crust.errors import CloseReason
from routing_crust.routing.links.consolidation import Consolidation
from routing_crust.routing.links.decisions import (
    Action,
    CandidateLink,
    Close,
    Doubt,
    Established,
    SendAck,
    SendConfirmation,
)
from routing_crust.wire.messages import Confirmation, LinkUse

SMALL, GREAT = 0, 1  # the two ends; the one with the smaller name decides


@dataclass(eq=False)
class Wire:
    """
    One link: its dialler, use and asker, and what is on its way in each direction. When it is mute, nothing
    passes, and neither end is told.
    """

    number: int
    dialler: int
    use: LinkUse
    asker: int
    path_kind: PathKind = PathKind.DIRECT
    both_ways: bool = True
    dead: bool = False
    mute: bool = False
    to: tuple[deque[object], deque[object]] = field(default_factory=lambda: (deque(), deque()))
    gone: list[bool] = field(default_factory=lambda: [False, False])
    verified: list[bool] = field(default_factory=lambda: [False, False])

    def __hash__(self) -> int:
        return self.number


class World:
    """Both ends, joined by wires."""

    def __init__(self, two_way: TwoWay = TwoWay.PREFERRED) -> None:
        self.settings = Settings(two_way=two_way)
        self.now = 0.0
        self.epoch = 0
        self.ends = [self.end(SMALL), self.end(GREAT)]
        self.wires: list[Wire] = []
        self.closed: list[tuple[int, Wire, CloseReason]] = []
        self.established: list[tuple[int, Wire, LinkUse, bool]] = []
        self.doubted: list[tuple[int, Wire]] = []
        self.silent: set[tuple[int, object]] = set()  # the wires that an end doubts
        self.permitted = LinkUse.ATTACHED
        self.room = True
        self.responses: deque[tuple[int, LinkUse]] = deque()

    def end(self, which: int) -> Consolidation:
        return Consolidation(
            self.settings,
            arbiter=which == SMALL,
            incarnation=1,
            next_epoch=self.next_epoch,
            is_doubted=lambda wire: (which, wire) in self.silent,
        )

    def next_epoch(self) -> int:
        self.epoch += 1
        return self.epoch

    def dial(
        self,
        dialler: int,
        use: LinkUse,
        asker: int,
        path_kind: PathKind = PathKind.DIRECT,
        both_ways: bool = True,
    ) -> Wire:
        wire = Wire(len(self.wires), dialler, use, asker, path_kind, both_ways)
        wire.to[1 - dialler].append("hello")
        self.wires.append(wire)
        return wire

    def ask(self, asker: int, use: LinkUse) -> None:
        """One end asks, and the other accepts at once; its response is on its way."""
        self.permitted = max(self.permitted, use)
        self.responses.append((asker, use))
        self.do(1 - asker, self.ends[1 - asker].agree(use, self.now))

    def permitted_use(self) -> LinkUse:
        return self.permitted if self.room else LinkUse.DIRECT

    def respond(self) -> None:
        """The oldest response arrives."""
        asker, use = self.responses.popleft()
        self.do(asker, self.ends[asker].agree(use, self.now))

    def deliver(self, wire: Wire, end: int) -> None:
        frame = wire.to[end].popleft()
        if wire.gone[end] or wire.mute:
            return
        if frame == "hello":
            wire.verified[end] = True
            if end != wire.dialler:
                wire.to[wire.dialler].append("hello")
            # where both have dialled, each end says so
            we_dialled = wire.dialler == end or wire.path_kind is PathKind.PUNCHED
            candidate = CandidateLink(
                wire, we_dialled, wire.use, wire.asker == end, self.now, wire.path_kind, wire.both_ways
            )
            self.do(end, self.ends[end].link_up(candidate, 1, self.now))
        elif frame == "gone":
            wire.gone[end] = True
            self.do(end, self.ends[end].link_lost(wire, self.now))
        elif isinstance(frame, Confirmation):
            self.do(end, self.ends[end].confirmation(wire, frame, self.now, self.permitted_use))
        else:
            assert isinstance(frame, SendAck)
            self.do(end, self.ends[end].ack(wire, frame.epoch, self.now, frame.declined))

    def do(self, end: int, actions: list[Action]) -> None:
        for action in actions:
            wire = action.link
            assert isinstance(wire, Wire)
            if isinstance(action, SendConfirmation):
                wire.to[1 - end].append(action.confirmation)
            elif isinstance(action, SendAck):
                wire.to[1 - end].append(action)
            elif isinstance(action, Close):
                self.closed.append((end, wire, action.reason))
                wire.gone[end] = True
                wire.to[1 - end].append("gone")
                self.do(end, self.ends[end].link_lost(wire, self.now))
            elif isinstance(action, Doubt):
                self.doubted.append((end, wire))
            else:
                self.established.append((end, wire, action.use, action.two_way))

    def cut(self, wire: Wire) -> None:
        """The network loses a link: each end notices when it does."""
        if not wire.dead:
            wire.dead = True
            for queue in wire.to:
                queue.append("gone")

    def lose(self, wire: Wire, end: int) -> None:
        """One end loses a link, and the other does not hear of it yet."""
        wire.mute = wire.gone[end] = True
        self.do(end, self.ends[end].link_lost(wire, self.now))

    def notice(self) -> None:
        """An end that probes a mute link finds that it is dead."""
        doubted, self.doubted = self.doubted, []
        for end, wire in doubted:
            if wire.mute and not wire.gone[end]:
                wire.gone[end] = True
                self.do(end, self.ends[end].link_lost(wire, self.now))

    def doubt(self, wire: Wire, *ends: int) -> None:
        """These ends owe each other an answer on a wire."""
        for end in ends:
            self.silent.add((end, wire))
            self.do(end, self.ends[end].tick(self.now))

    def pass_time(self, seconds: float) -> None:
        until = self.now + seconds
        for _ in range(1000):
            due = [(each.wake_at, end) for end, each in enumerate(self.ends) if each.wake_at is not None]
            due = [(max(at, self.now), end) for at, end in due if at <= until]
            if not due:
                self.now = until
                return
            self.now, end = min(due)
            self.do(end, self.ends[end].tick(self.now))
        raise AssertionError("the timers never come to rest")

    def deliver_all(self) -> None:
        while any(queue for wire in self.wires for queue in wire.to):
            for wire in self.wires:
                for end in (SMALL, GREAT):
                    if wire.to[end]:
                        self.deliver(wire, end)

    def settle(self) -> None:
        """All frames arrive, each within a quarter of a second, and every wait ends."""
        for _ in range(100):
            while self.responses:
                self.respond()
            self.deliver_all()
            self.pass_time(0.25)

    def live(self, end: int) -> list[Wire]:
        return [wire for wire in self.wires if wire.verified[end] and not wire.gone[end]]


step = st.tuples(st.integers(0, 11), st.integers(0, 255))


def play(world: World, steps: list[tuple[int, int]], *, cuts: bool) -> None:
    for what, which in steps:
        if what == 0 and len(world.wires) < 8:
            uses = list(LinkUse)
            path_kinds = (PathKind.DIRECT, PathKind.DIRECT, PathKind.PUNCHED, PathKind.TUNNEL)
            world.dial(
                which & 1,
                uses[(which >> 2) % 3],
                which >> 1 & 1,
                path_kinds[which >> 4 & 3],
                not which >> 6 & 1,
            )
        elif what == 1 and cuts and world.wires:
            world.cut(world.wires[which % len(world.wires)])
        elif what == 2:
            world.pass_time((which % 16) / 100)
        elif what == 3:
            world.ask(which & 1, list(LinkUse)[1 + (which >> 1 & 1)])
            world.room = which >> 2 & 3 != 0
        elif what == 4 and world.responses:
            world.respond()
        else:
            ready = [(wire, end) for wire in world.wires for end in (0, 1) if wire.to[end]]
            if ready:
                world.deliver(*ready[which % len(ready)])


class AgreementTests(SynchronousTestCase):
    """What must hold in every order."""

    @settings(deadline=None, derandomize=True, max_examples=1500)
    @given(st.lists(step, max_size=60), st.booleans(), st.sampled_from([TwoWay.PREFERRED, TwoWay.OFF]))
    def test_both_ends_keep_the_same_one_link(
        self, steps: list[tuple[int, int]], cuts: bool, two_way: TwoWay
    ) -> None:
        world = World(two_way)
        play(world, steps, cuts=cuts)
        world.settle()
        small, great = world.ends
        self.assertIs(small.current, great.current)
        survivors = [wire for wire in world.wires if not any(wire.gone)]
        self.assertEqual(survivors, [small.current] if small.current is not None else [])
        if not cuts and world.wires:
            self.assertIsNotNone(small.current)
        for end in world.ends:
            self.assertIsNone(end.wake_at)

    @settings(deadline=None, derandomize=True, max_examples=1500)
    @given(st.lists(step, max_size=60))
    def test_peers_that_agreed_once_are_never_without_a_link(self, steps: list[tuple[int, int]]) -> None:
        """Once both ends have agreed on a link, each has one all the time, if the network loses none."""
        world = World()
        had = [False, False]

        def check() -> None:
            for end in (SMALL, GREAT):
                had[end] |= world.ends[end].current is not None
                if had[end]:
                    self.assertIsNotNone(world.ends[end].current)
                    self.assertTrue(world.live(end))

        for each in steps:
            play(world, [each], cuts=False)
            check()
        world.settle()
        check()

    @settings(deadline=None, derandomize=True, max_examples=500)
    @given(st.lists(step, max_size=60))
    def test_link_is_closed_only_after_another_is_acknowledged(self, steps: list[tuple[int, int]]) -> None:
        """A link is superseded only by one that both ends have verified and agreed on."""
        world = World()
        for each in steps:
            before = len(world.closed)
            play(world, [each], cuts=False)
            for end, _, reason in world.closed[before:]:
                if reason is CloseReason.SUPERSEDED:
                    kept = world.ends[end].current
                    self.assertTrue(any(kept is wire for _, wire, _, _ in world.established))


class RendezvousTests(SynchronousTestCase):
    """Particular cases, by hand."""

    def test_link_that_the_responder_dialled_is_kept(self) -> None:
        """Of two links, the one that the responder dialled is kept, in either order."""
        for asker in (SMALL, GREAT):
            for first in (SMALL, GREAT):
                world = World()
                wires = {end: world.dial(end, LinkUse.MEMBER, asker) for end in (first, 1 - first)}
                world.settle()
                self.assertIs(world.ends[SMALL].current, wires[1 - asker])
                self.assertEqual({two_way for *_, two_way in world.established}, {True})

    def test_link_that_cannot_be_made_twice_is_raised_to_the_use_that_both_agreed_on(self) -> None:
        """Either end asks for a member's link where an application has a punched one."""
        for path_kind, both_ways in (
            (PathKind.PUNCHED, True),
            (PathKind.DIRECT, False),
        ):
            for asker in (SMALL, GREAT):
                world = World()
                wire = world.dial(SMALL, LinkUse.DIRECT, SMALL, path_kind, both_ways)
                world.settle()
                world.ask(asker, LinkUse.MEMBER)
                world.settle()
                raised = [(end, use) for end, each, use, _ in world.established if each is wire]
                self.assertEqual(sorted(raised), [(end, use) for end in (SMALL, GREAT) for use in (1, 2)])
                self.assertEqual(world.closed, [])

    def test_link_that_can_be_made_twice_is_not_raised(self) -> None:
        """The second one shows whether the other end can dial, too; a second tunnel is always to be had."""
        for path_kind in (PathKind.DIRECT, PathKind.TUNNEL):
            world = World()
            world.dial(SMALL, LinkUse.DIRECT, SMALL, path_kind)
            world.settle()
            world.ask(GREAT, LinkUse.MEMBER)
            world.settle()
            self.assertEqual({use for _, _, use, _ in world.established}, {LinkUse.DIRECT})

    def test_link_is_not_raised_while_another_serves_the_use(self) -> None:
        """The other one may turn out to be two-way."""
        world = World()
        first = world.dial(SMALL, LinkUse.ATTACHED, GREAT, PathKind.DIRECT, both_ways=False)
        world.settle()
        second = world.dial(SMALL, LinkUse.MEMBER, SMALL)
        world.deliver(second, GREAT)
        world.deliver(second, SMALL)
        world.ask(GREAT, LinkUse.MEMBER)
        world.settle()
        self.assertEqual([wire for end, wire, _, _ in world.established if end == SMALL], [first, second])

    def test_link_that_is_decided_on_is_raised_rather_than_the_one_in_use(self) -> None:
        """Both ends would go back to a link that they have left."""
        world = World()
        first = world.dial(SMALL, LinkUse.ATTACHED, GREAT, PathKind.PUNCHED)
        world.settle()
        second = world.dial(SMALL, LinkUse.DIRECT, SMALL, PathKind.PUNCHED)
        world.deliver(second, GREAT)
        world.deliver(second, SMALL)
        world.ask(SMALL, LinkUse.MEMBER)
        world.respond()
        world.settle()
        here = [(wire, use) for end, wire, use, _ in world.established if end == SMALL]
        self.assertEqual(
            here, [(first, LinkUse.ATTACHED), (second, LinkUse.DIRECT), (second, LinkUse.MEMBER)]
        )

    def test_arbiter_cannot_raise_a_link_that_the_other_end_has_not_asked_for(self) -> None:
        world = World()
        wire = world.dial(SMALL, LinkUse.DIRECT, SMALL, PathKind.PUNCHED)
        world.settle()
        epoch = world.next_epoch()
        self.assertEqual(
            world.ends[GREAT].confirmation(wire, Confirmation(epoch, LinkUse.MEMBER, False), 0.0),
            [SendAck(wire, epoch, declined=True)],
        )

    def test_link_outlives_a_use_that_is_declined(self) -> None:
        """The table of the end that does not decide has filled up since both agreed."""
        for asker in (SMALL, GREAT):
            world = World()
            wire = world.dial(SMALL, LinkUse.DIRECT, SMALL, PathKind.PUNCHED)
            world.settle()
            world.room = False
            world.ask(asker, LinkUse.MEMBER)
            world.settle()
            self.assertEqual({use for _, _, use, _ in world.established}, {LinkUse.DIRECT})
            self.assertEqual(world.closed, [])
            for end in world.ends:
                self.assertIs(end.current, wire)
                self.assertIsNone(end.wake_at)

    def test_first_decision_cannot_be_declined(self) -> None:
        world = World()
        wire = world.dial(SMALL, LinkUse.ATTACHED, SMALL)
        world.deliver(wire, GREAT)
        world.deliver(wire, SMALL)
        closed = world.ends[SMALL].ack(wire, world.epoch, 0.0, declined=True)
        self.assertEqual(closed, [Close(wire, CloseReason.PROTOCOL_ERROR)])

    def test_one_way_link_is_not_raised_where_both_ways_are_required(self) -> None:
        world = World(TwoWay.REQUIRED)
        world.dial(SMALL, LinkUse.DIRECT, SMALL, PathKind.PUNCHED)
        world.settle()
        world.ask(GREAT, LinkUse.MEMBER)
        world.settle()
        self.assertEqual(world.closed, [])

    def test_the_link_of_the_best_path_kind_is_kept(self) -> None:
        """Mapped before direct before punched before a tunnel, in either order and whichever end asked."""
        path_kinds = (PathKind.TUNNEL, PathKind.PUNCHED, PathKind.DIRECT, PathKind.MAPPED)
        for asker in (SMALL, GREAT):
            for worse, better in itertools.combinations(path_kinds, 2):
                for first in (worse, better):
                    world = World()
                    wires = {
                        path_kind: world.dial(asker, LinkUse.MEMBER, asker, path_kind)
                        for path_kind in sorted(
                            (worse, better), key=lambda each, first=first: each is not first
                        )
                    }
                    world.settle()
                    for end in world.ends:
                        self.assertIs(end.current, wires[better])
                        self.assertEqual(len(end.links), 1)

    def test_greater_use_is_preferred_to_better_path_kind(self) -> None:
        """A tunnel of a greater use is preferred to a direct link of a smaller one."""
        world = World()
        world.dial(SMALL, LinkUse.DIRECT, SMALL)
        tunnel = world.dial(SMALL, LinkUse.MEMBER, SMALL, PathKind.TUNNEL)
        world.settle()
        self.assertIs(world.ends[GREAT].current, tunnel)

    def test_punched_link_proves_no_direction(self) -> None:
        """That both have dialled does not make a punched link two-way, and nothing is waited for."""
        world = World()
        wire = world.dial(GREAT, LinkUse.MEMBER, SMALL, PathKind.PUNCHED)
        world.deliver_all()
        self.assertEqual(
            world.established, [(1, wire, LinkUse.MEMBER, False), (0, wire, LinkUse.MEMBER, False)]
        )
        required = World(TwoWay.REQUIRED)
        refused = required.dial(GREAT, LinkUse.MEMBER, SMALL, PathKind.PUNCHED)
        required.settle()
        self.assertIn((SMALL, refused, CloseReason.NOT_WANTED), required.closed)

    def test_direction_that_a_nat_forbids_is_not_waited_for(self) -> None:
        """Where a NAT forbids one direction, the first link counts at once."""
        world = World()
        wire = world.dial(GREAT, LinkUse.MEMBER, SMALL, both_ways=False)
        world.deliver_all()
        self.assertIs(world.ends[SMALL].current, wire)

    def test_request_of_the_greater_name_counts_when_both_asked(self) -> None:
        """Both asked: the request of the greater name counts, and the smaller dialled its primary."""
        world = World()
        wires = [world.dial(dialler, LinkUse.MEMBER, asker) for asker in (0, 1) for dialler in (0, 1)]
        world.deliver_all()
        world.settle()
        self.assertIs(world.ends[GREAT].current, wires[2])
        self.assertEqual((wires[2].asker, wires[2].dialler), (GREAT, SMALL))

    def test_one_direction_alone_is_kept_after_a_second(self) -> None:
        """One direction alone is kept after a second, and both ends know that it is one-way."""
        world = World()
        world.dial(GREAT, LinkUse.MEMBER, GREAT)
        world.deliver_all()
        world.pass_time(0.99)
        world.deliver_all()
        self.assertEqual(world.established, [])
        world.pass_time(0.02)
        world.deliver_all()
        self.assertEqual(
            [(end, two_way) for end, _, _, two_way in world.established], [(1, False), (0, False)]
        )

    def test_first_link_counts_at_once_if_two_way_is_off(self) -> None:
        """Without the two-way check the first link counts at once."""
        world = World(TwoWay.OFF)
        wire = world.dial(GREAT, LinkUse.MEMBER, GREAT)
        world.deliver_all()
        self.assertIs(world.ends[GREAT].current, wire)

    def test_one_way_member_is_refused_if_two_way_is_required(self) -> None:
        """Where both directions are required, one alone is closed; an attachment is not affected."""
        world = World(TwoWay.REQUIRED)
        member = world.dial(SMALL, LinkUse.MEMBER, SMALL)
        world.settle()
        self.assertIsNone(world.ends[SMALL].current)
        self.assertIn((SMALL, member, CloseReason.NOT_WANTED), world.closed)
        attached = world.dial(SMALL, LinkUse.ATTACHED, SMALL)
        world.settle()
        self.assertIs(world.ends[GREAT].current, attached)

    def test_end_that_does_not_decide_may_refuse_a_one_way_link(self) -> None:
        """The end that does not decide may refuse a one-way link too."""
        world = World()
        strict = Settings(two_way=TwoWay.REQUIRED)
        world.ends[GREAT] = Consolidation(strict, arbiter=False, incarnation=1, next_epoch=world.next_epoch)
        wire = world.dial(SMALL, LinkUse.MEMBER, SMALL)
        world.settle()
        self.assertIn((GREAT, wire, CloseReason.NOT_WANTED), world.closed)
        self.assertEqual(world.ends[SMALL].links, ())

    def test_member_link_replaces_a_bootstrap_link(self) -> None:
        """A bootstrap link goes once the same peer is in the table, and counts as a direction."""
        world = World()
        world.dial(GREAT, LinkUse.ATTACHED, GREAT)
        world.deliver_all()
        primary = world.dial(SMALL, LinkUse.MEMBER, GREAT)
        world.deliver_all()
        self.assertIs(world.ends[SMALL].current, primary)
        self.assertEqual(world.established[-1][2:], (LinkUse.MEMBER, True))

    def test_new_link_replaces_one_that_the_peer_has_lost(self) -> None:
        """A peer that opens another link has lost the agreed one, which the other end has not noticed."""
        for loser in (SMALL, GREAT):
            world = World()
            before = world.dial(SMALL, LinkUse.MEMBER, SMALL)
            world.settle()
            world.lose(before, loser)
            after = world.dial(loser, LinkUse.ATTACHED, loser)
            world.deliver_all()
            world.pass_time(8)
            self.assertEqual((world.closed, after.gone), ([], [False, False]))
            self.assertEqual(world.doubted, [(SMALL, before)] if loser == GREAT else [])
            world.notice()
            world.settle()
            current = {end.current for end in world.ends}
            self.assertEqual(current, {after})
            self.assertEqual(world.established[-1][1:3], (after, LinkUse.ATTACHED))

    def test_second_link_takes_the_place_of_a_doubted_one(self) -> None:
        """Whether the doubt comes before the second link or after it, and whoever dials that."""
        for dialler in (SMALL, GREAT):
            for doubted_first in (True, False):
                world = World()
                before = world.dial(SMALL, LinkUse.MEMBER, SMALL)
                world.settle()
                before.mute = True
                if doubted_first:
                    world.doubt(before, SMALL)
                after = world.dial(dialler, LinkUse.DIRECT, dialler)
                world.deliver_all()
                if not doubted_first:
                    self.assertIs(world.ends[SMALL].current, before)
                    world.doubt(before, SMALL)
                world.settle()
                self.assertEqual({end.current for end in world.ends}, {after})
                # it is left to the handover, since it may only be slow
                self.assertEqual([each[1:] for each in world.closed], [(before, CloseReason.SUPERSEDED)])

    def test_dead_link_that_was_decided_for_again_gives_way_to_a_third(self) -> None:
        """The second link was lost before its acknowledgement, so that the dead one was the only one."""
        world = World()
        dead = world.dial(SMALL, LinkUse.MEMBER, SMALL)
        world.settle()
        dead.mute = True
        world.doubt(dead, SMALL, GREAT)
        second = world.dial(GREAT, LinkUse.DIRECT, GREAT)
        world.deliver(second, SMALL)
        for end in (SMALL, GREAT):
            world.lose(second, end)
        world.lose(dead, GREAT)
        third = world.dial(GREAT, LinkUse.DIRECT, GREAT)
        world.settle()
        self.assertEqual({end.current for end in world.ends}, {third})

    def test_answer_of_a_slow_link_does_not_bring_it_back(self) -> None:
        """The peer may have left it by then, and what it has sent on the second link would be lost."""
        world = World()
        before = world.dial(SMALL, LinkUse.MEMBER, SMALL)
        world.settle()
        world.doubt(before, SMALL)
        after = world.dial(SMALL, LinkUse.DIRECT, SMALL)
        while world.ends[GREAT].current != after:
            world.deliver(after, SMALL if after.to[SMALL] else GREAT)
        world.silent.clear()
        world.settle()
        self.assertEqual({end.current for end in world.ends}, {after})

    def test_doubted_link_stays_while_there_is_no_other(self) -> None:
        world = World()
        only = world.dial(SMALL, LinkUse.MEMBER, SMALL)
        world.settle()
        world.doubt(only, SMALL, GREAT)
        world.settle()
        self.assertEqual((world.closed, {end.current for end in world.ends}), ([], {only}))

    def test_doubted_link_saves_no_dial(self) -> None:
        """It keeps neither punching nor a tunnel from being tried."""
        world = World()
        only = world.dial(SMALL, LinkUse.MEMBER, SMALL)
        world.settle()
        end = world.ends[GREAT]
        self.assertEqual((end.is_dialled(LinkUse.MEMBER), end.needs_no_tunnel(LinkUse.MEMBER)), (True, True))
        world.doubt(only, GREAT)
        self.assertEqual(
            (end.is_dialled(LinkUse.MEMBER), end.needs_no_tunnel(LinkUse.MEMBER)), (False, False)
        )

    def test_new_link_goes_if_the_peer_still_has_the_agreed_one(self) -> None:
        """The new link is closed when the peer acknowledges the agreed one again."""
        world = World()
        kept = world.dial(SMALL, LinkUse.MEMBER, SMALL)
        world.settle()
        told = len(world.established)
        for _ in range(3):
            spare = world.dial(SMALL, LinkUse.ATTACHED, GREAT)
            world.deliver_all()
            self.assertEqual(world.closed.pop(), (SMALL, spare, CloseReason.SUPERSEDED))
            self.assertEqual(world.doubted.pop(), (SMALL, kept))
            self.assertEqual({end.current for end in world.ends}, {kept})
        self.assertEqual(len(world.established), told)

    def test_late_second_direction_makes_the_link_two_way(self) -> None:
        """A direction that comes up late makes a one-way link two-way, in the eyes of both."""
        world = World()
        world.dial(SMALL, LinkUse.MEMBER, GREAT)
        world.deliver_all()
        world.pass_time(2)
        world.deliver_all()
        world.dial(GREAT, LinkUse.MEMBER, GREAT)
        world.settle()
        self.assertEqual(
            {(end, two_way) for end, *_, two_way in world.established[-2:]}, {(0, True), (1, True)}
        )

    def test_newer_incarnation_closes_older_links(self) -> None:
        """A newer incarnation closes the older links at once, an older one is refused."""
        world = World()
        old, new, stale = (Wire(number, GREAT, LinkUse.ATTACHED, GREAT) for number in range(3))
        end = world.ends[SMALL]
        candidates = [CandidateLink(wire, False, LinkUse.ATTACHED, False, 0.0) for wire in (old, new, stale)]
        end.link_up(candidates[0], 1, 0.0)
        actions = end.link_up(candidates[1], 2, 0.0)
        self.assertEqual(actions[0], Close(old, CloseReason.RESTARTED))
        self.assertIsInstance(actions[1], SendConfirmation)
        self.assertEqual(end.links, (new,))
        self.assertEqual(end.link_up(candidates[2], 1, 0.0), [Close(stale, CloseReason.STALE)])

    def test_decision_from_the_wrong_end_closes_the_link(self) -> None:
        """The arbiter takes no Confirmation, and the other end no acknowledgement."""
        for end in (SMALL, GREAT):
            world = World()
            wire = Wire(0, GREAT, LinkUse.MEMBER, GREAT)
            each = world.ends[end]
            each.link_up(CandidateLink(wire, False, LinkUse.MEMBER, False, 0.0), 1, 0.0)
            bad = Confirmation(9, LinkUse.MEMBER, True)
            actions = each.confirmation(wire, bad, 0.0) if end == SMALL else each.ack(wire, 9, 0.0)
            self.assertEqual(actions, [Close(wire, CloseReason.PROTOCOL_ERROR)])
            self.assertEqual(each.links, ())

    def test_greater_use_than_asked_for_is_refused(self) -> None:
        """The arbiter cannot give a link a greater use than it was made for."""
        world = World()
        wire = Wire(0, GREAT, LinkUse.ATTACHED, GREAT)
        end = world.ends[GREAT]
        end.link_up(CandidateLink(wire, True, LinkUse.ATTACHED, True, 0.0), 1, 0.0)
        actions = end.confirmation(wire, Confirmation(1, LinkUse.MEMBER, True), 0.0)
        self.assertEqual(actions, [Close(wire, CloseReason.NOT_WANTED)])

    def test_late_decisions_and_frames_on_unknown_links_are_ignored(self) -> None:
        """An older decision, an ack of another epoch and frames on unknown links mean nothing."""
        world = World()
        wire = world.dial(SMALL, LinkUse.ATTACHED, SMALL)
        world.deliver_all()
        great, small = world.ends[GREAT], world.ends[SMALL]
        self.assertEqual(great.confirmation(wire, Confirmation(0, LinkUse.ATTACHED, False), 0.0), [])
        self.assertEqual(small.ack(wire, 99, 0.0), [])
        other = Wire(7, SMALL, LinkUse.ATTACHED, SMALL)
        self.assertEqual(great.confirmation(other, Confirmation(99, LinkUse.ATTACHED, False), 0.0), [])
        self.assertEqual(great.ack(other, 1, 0.0), [])


class DecisionTests(SynchronousTestCase):
    def consolidation(self, arbiter: bool) -> Consolidation:
        epochs = iter(range(1, 9))
        return Consolidation(
            Settings(two_way=TwoWay.OFF), arbiter=arbiter, incarnation=1, next_epoch=lambda: next(epochs)
        )

    def test_spare_link_is_kept_until_the_arbiter_must_have_the_acknowledgement(self) -> None:
        """
        The end that does not decide has a better link; the arbiter has only the old one until it hears that.
        """
        here = self.consolidation(arbiter=False)
        here.link_up(CandidateLink("old", False, LinkUse.ATTACHED, False, 0.0), 1, 0.0)
        here.confirmation("old", Confirmation(1, LinkUse.ATTACHED, False), 0.0)
        here.link_up(CandidateLink("new", False, LinkUse.MEMBER, False, 100.0), 1, 100.0)
        here.confirmation("new", Confirmation(2, LinkUse.MEMBER, False), 100.0)
        self.assertEqual(here.current, "new")
        self.assertEqual(here.tick(130.0), [])
        self.assertEqual(here.tick(200.0), [Close("old", CloseReason.SUPERSEDED)])

    def test_link_that_was_decided_for_is_not_given_up(self) -> None:
        """The acknowledgement is late: for the other end the new link may be the only one by now."""
        here = self.consolidation(arbiter=True)
        here.link_up(CandidateLink("old", False, LinkUse.ATTACHED, False, 0.0), 1, 0.0)
        here.ack("old", 1, 0.0)
        here.link_up(CandidateLink("new", False, LinkUse.MEMBER, False, 100.0), 1, 100.0)
        self.assertEqual((here.current, here.wake_at), ("old", None))
        self.assertEqual(here.tick(150.0), [])
        self.assertEqual(
            here.ack("new", 2, 151.0),
            [Established("new", LinkUse.MEMBER, False), Close("old", CloseReason.SUPERSEDED)],
        )

    def test_acknowledgement_of_another_decision_is_ignored(self) -> None:
        """Only an acknowledgement of the latest decision settles it."""
        epochs = iter(range(1, 9))
        here = Consolidation(Settings(), arbiter=True, incarnation=1, next_epoch=lambda: next(epochs))
        one = CandidateLink("one", False, LinkUse.ATTACHED, False, 0.0)
        (first,) = here.link_up(one, 1, 0.0)
        assert isinstance(first, SendConfirmation)
        self.assertEqual(here.ack("one", first.confirmation.epoch + 1, 0.0), [])
        self.assertIsNone(here.current)
        self.assertEqual(
            here.ack("one", first.confirmation.epoch, 0.0), [Established("one", LinkUse.ATTACHED, False)]
        )

"""Which of several links between two nodes lives, case by case."""

from __future__ import annotations

import itertools

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import Settings, TwoWay
from routing_crust.endpoints import PathKind
from routing_crust.errors import CloseReason
from routing_crust.routing.links.consolidation import Consolidation
from routing_crust.routing.links.decisions import (
    CandidateLink,
    Close,
    SendAck,
    SendConfirmation,
)
from routing_crust.wire.messages import Confirmation, LinkUse

from .two_ends import GREAT, SMALL, Wire, World


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
        """Whether the doubt comes before the second link or after it, and whichever end dials that link."""
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

    def test_dead_link_that_was_decided_for_gives_way_to_the_next(self) -> None:
        """The peer was behind another address when the first decision was on its way."""
        world = World()
        dead = world.dial(GREAT, LinkUse.MEMBER, GREAT)
        world.deliver(dead, SMALL)
        world.deliver(dead, GREAT)
        world.lose(dead, GREAT)
        world.pass_time(2)
        after = world.dial(GREAT, LinkUse.ATTACHED, GREAT)
        world.deliver_all()
        # it may be slow, and is asked whether it is
        self.assertEqual((world.doubted, world.ends[GREAT].current), ([(SMALL, dead)], None))
        world.doubt(dead, SMALL)
        world.deliver_all()
        self.assertEqual({end.current for end in world.ends}, {after})

    def test_links_do_not_add_up_beside_a_dead_one_that_was_decided_for(self) -> None:
        """Crossed requests have brought four more when it is doubted, and one is kept."""
        world = World()
        dead = world.dial(GREAT, LinkUse.DIRECT, GREAT, both_ways=False)
        world.deliver(dead, SMALL)
        dead.mute = True
        for asker in (SMALL, GREAT):
            for dialler in (SMALL, GREAT):
                world.dial(dialler, LinkUse.DIRECT, asker, both_ways=False)
        world.deliver_all()
        self.assertEqual(len(world.live(SMALL)), 5)
        world.doubt(dead, SMALL)
        world.deliver_all()
        self.assertEqual([len(world.live(end)) for end in (SMALL, GREAT)], [1, 1])

    def test_agreed_link_is_confirmed_again_when_its_successor_is_lost(self) -> None:
        """The peer had followed the decision for that, and its acknowledgement was lost."""
        world = World()
        first = world.dial(GREAT, LinkUse.ATTACHED, GREAT)
        world.deliver(first, SMALL)
        # the second is there before the first is acknowledged
        second = world.dial(GREAT, LinkUse.MEMBER, GREAT, PathKind.TUNNEL)
        world.deliver(second, SMALL)
        for wire, end in ((first, GREAT), (first, GREAT), (first, SMALL), (second, GREAT), (second, GREAT)):
            world.deliver(wire, end)
        self.assertIs(world.ends[GREAT].current, second)
        world.lose(second, GREAT)
        self.assertIs(world.ends[GREAT].current, None)
        world.lose(second, SMALL)
        world.deliver_all()
        self.assertEqual({end.current for end in world.ends}, {first})

    def test_link_that_the_peer_has_left_is_not_decided_for_again(self) -> None:
        """Its successor is in doubt before it is acknowledged, and the peer may use it all the same."""
        for use, doubted in ((LinkUse.MEMBER, False), (LinkUse.DIRECT, True)):
            world = World()
            first = world.dial(SMALL, LinkUse.MEMBER, SMALL, PathKind.TUNNEL)
            world.settle()
            if doubted:
                world.doubt(first, SMALL)
            second = world.dial(GREAT, use, GREAT, PathKind.PUNCHED)
            third = world.dial(GREAT, LinkUse.ATTACHED, GREAT)
            for wire in (second, third):
                world.deliver(wire, SMALL)
            world.doubt(second, SMALL)
            for end in (SMALL, GREAT):
                world.lose(third, end)
            self.assertFalse(first.to[GREAT])
            world.deliver_all()
            self.assertEqual({end.current for end in world.ends}, {second})

    def test_late_acknowledgement_counts_until_the_next_one_comes(self) -> None:
        """The link was merely slow, and its peer uses it already."""
        world = World()
        slow = world.dial(GREAT, LinkUse.MEMBER, GREAT)
        for end in (SMALL, GREAT):
            world.deliver(slow, end)
        world.pass_time(2)
        world.deliver(slow, GREAT)
        after = world.dial(GREAT, LinkUse.DIRECT, GREAT)
        world.deliver(after, SMALL)
        world.doubt(slow, SMALL)
        world.deliver(slow, SMALL)
        self.assertEqual({end.current for end in world.ends}, {slow})
        world.deliver_all()
        self.assertEqual({end.current for end in world.ends}, {after})
        decided = [wire for end, wire, _, _ in world.established if end == SMALL]
        self.assertEqual(decided, [slow, after])

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

"""Which of several links between two nodes lives: what must hold in every order, and single decisions."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import Settings, TwoWay
from routing_crust.endpoints import PathKind
from routing_crust.errors import CloseReason
from routing_crust.routing.links.consolidation import Consolidation
from routing_crust.routing.links.decisions import (
    CandidateLink,
    Close,
    Established,
    SendConfirmation,
)
from routing_crust.wire.messages import Confirmation, LinkUse

from .two_ends import GREAT, SMALL, World

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
        elif what == 5 and world.wires:
            # merely slow, until its frames are delivered
            world.doubt(world.wires[which % len(world.wires)], which >> 4 & 1)
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

"""Bans in whole networks, from seeds; C{routing_crust.testing --bans} plays more."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.errors import CloseReason
from routing_crust.names import Name
from routing_crust.routing.members import TurnedAway
from routing_crust.routing.private.expulsion import Expulsion
from routing_crust.routing.private.private_members import PrivateMembers
from routing_crust.testing.play.bans import EXPELLED_WITHIN_SECONDS, BanPlan, BanRun, play_bans

MEMBERS = 6


class BanRunTests(SynchronousTestCase):
    def test_banned_members_are_cut_and_nobody_else(self) -> None:
        for seed in range(4):
            result = play_bans(BanPlan(seed, MEMBERS))
            self.assertEqual(result.problem, "", result.plan)
            self.assertEqual(result.figures["bans"], 2)
            self.assertLessEqual(result.figures["cut after, worst, s"], EXPELLED_WITHIN_SECONDS)
            self.assertGreater(result.figures["links refused to banned members"], 0)

    def test_the_same_seed_gives_the_same_run(self) -> None:
        one, other = (BanRun(BanPlan(3, MEMBERS)) for _ in range(2))
        for each in (one, other):
            each.grow()
            each.go_away()
            each.ban_one()
        self.assertEqual(one.network.trace.hash(), other.network.trace.hash())

    def test_ban_that_ends_no_links_is_found(self) -> None:
        with patch.object(Expulsion, "close_links"):
            self.assertIn("banned_are_cut", play_bans(BanPlan(1, MEMBERS)).problem)

    def test_banned_member_that_is_let_in_again_is_found(self) -> None:
        """Its links are cut when the ban arrives, but its Hello is not judged by the roster."""
        judge = PrivateMembers.judge

        def lenient(self: PrivateMembers, peer: Name, *shown: Any) -> TurnedAway | None:
            verdict = judge(self, peer, *shown)
            return None if verdict is not None and verdict.reason is CloseReason.BANNED else verdict

        with patch.object(PrivateMembers, "judge", lenient):
            self.assertIn("banned_are_cut", play_bans(BanPlan(1, MEMBERS)).problem)

    def test_cut_of_an_honest_member_is_found(self) -> None:
        """A member that hears of a ban cuts the one who has made it."""
        judge = PrivateMembers.judge_again

        def harsh(self: PrivateMembers, peer: Name, shown: bytes) -> TurnedAway | None:
            if any(each.issuer == peer for each in self.roster.statements):
                return TurnedAway(CloseReason.BAD_CERTIFICATE)
            return judge(self, peer, shown)

        with patch.object(PrivateMembers, "judge_again", harsh):
            self.assertIn("nobody_else_is_cut", play_bans(BanPlan(1, MEMBERS)).problem)

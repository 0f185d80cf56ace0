"""A siege: hostile hosts that mix behaviours, and honest nodes that may not be kept waiting."""

from __future__ import annotations

from contextlib import redirect_stdout
from io import StringIO

from routing_crust.testing.__main__ import main
from routing_crust.testing.play.invariants import InvariantBroken
from routing_crust.testing.play.siege import SiegePlan, play_siege

from .siege_case import SiegeTestCase

HELD: tuple[str, ...] = (
    "silent sessions",
    "junk through relays",
    "handshakes of free keys",
    "invented clients",
    "new message ids",
    "unanswered requests",
)
"""Behaviours that a small network withstands."""


class SiegeTests(SiegeTestCase):
    def test_network_without_hostile_hosts_keeps_nobody_waiting(self) -> None:
        result = play_siege(SiegePlan(1, nodes=12, minutes=0.3, raids=()))
        self.assertEqual(result.problem, "")
        self.assertLess(result.figures["newcomers join: slowest"], 2.0)
        self.assertGreater(result.figures["dials succeed: number"], 0)
        self.assertGreater(result.figures["messages arrive: number"], 0)

    def test_small_network_withstands_these_raids_at_once(self) -> None:
        result = play_siege(SiegePlan(1, nodes=8, minutes=0.2, raids=HELD))
        self.assertEqual(result.problem, "")

    def test_private_network_has_no_link_with_hosts_that_are_no_members(self) -> None:
        """They have no certificate, or one that is worth nothing."""
        result = play_siege(SiegePlan(2, nodes=8, minutes=0.2, raids=HELD, private=True))
        self.assertEqual(result.problem, "")
        self.assertGreater(result.figures["newcomers join: number"], 0)

    def test_same_seed_is_the_same_siege(self) -> None:
        one, other = (play_siege(SiegePlan(5, nodes=4, minutes=0.05)) for _ in range(2))
        self.assertEqual(one, other)
        another = play_siege(SiegePlan(6, nodes=4, minutes=0.05))
        self.assertNotEqual(one.trace, another.trace)

    def test_honest_node_that_is_kept_waiting_is_noticed(self) -> None:
        """A siege whose targets have lost their power is lost."""
        siege = self.grown_siege(SiegePlan(1, nodes=8, minutes=0.2, raids=()))
        for node in siege.network.alive:
            node.sleep(60)
        error = self.assertRaises(InvariantBroken, siege.besiege)
        self.assertIn("newcomers_join", str(error))
        self.assertRegex(str(error), r"bootstrapping, not joined.*: took 12\.0 s")

    def test_links_of_hostile_hosts_that_stay_are_noticed(self) -> None:
        siege = self.grown_siege(SiegePlan(1, nodes=8, minutes=0.1, raids=("idle keys",)))
        siege.besiege()
        for each in siege.raids:
            each.end()
        siege._raiders.clear()  # nobody stops them
        error = self.assertRaises(InvariantBroken, siege.relieve)
        self.assertIn("nothing_is_left", str(error))

    def test_command_plays_sieges_and_tells_how_to_play_one_again(self) -> None:
        shown = StringIO()
        with redirect_stdout(shown):
            status = main(
                [
                    "--siege",
                    "--seeds=2",
                    "--jobs=1",
                    "--nodes=8",
                    "--minutes=0.1",
                    "--raid=new message ids",
                    "--hash",
                ]
            )
        self.assertEqual(status, 0, shown.getvalue())
        self.assertIn("2 sieges of 8 nodes and 0.1 minutes: 2 held, 0 did not", shown.getvalue())
        self.assertIn("seed 1: ", shown.getvalue())

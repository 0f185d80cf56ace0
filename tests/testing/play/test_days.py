"""Whole days of simulated networks, on which everything goes wrong."""

from __future__ import annotations

from math import log2

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.testing.play.crowd import Crowd
from routing_crust.testing.play.faults import Schedule
from routing_crust.testing.play.growth import measure
from routing_crust.testing.play.scenario import Plan, play

from .command import command

SMALL = ["--seeds", "2", "--nodes", "8", "--minutes", "1", "--jobs", "1", "--hash"]


class DayTests(SynchronousTestCase):
    def test_a_day_of_a_seed_holds(self) -> None:
        """Everything holds; many more are played by the checks of the project."""
        result = play(Plan(0, nodes=10, minutes=2))
        self.assertEqual(result.problem, "")
        self.assertGreater(result.figures["messages"], 1000)

    def test_one_seed_is_one_day_whatever_the_order_of_sets(self) -> None:
        """Whatever order Python gives to its sets."""
        one, other = command(*SMALL, hash_seed="1"), command(*SMALL, hash_seed="2")
        self.assertEqual((one.returncode, other.returncode), (0, 0), one.stdout + other.stdout)
        hashes = [line for line in one.stdout.splitlines() if line.startswith("seed ")]
        self.assertEqual(len(set(hashes)), 2)
        self.assertEqual(hashes, [line for line in other.stdout.splitlines() if line.startswith("seed ")])

    def test_network_heals_after_a_partition_of_an_hour(self) -> None:
        """Two halves that were apart for an hour are one network again."""
        schedule = Schedule.from_text("0 partition group=0,1,2\n3600 heal\n")
        result = play(Plan(1, nodes=6, minutes=60, schedule=schedule, streams=0.05))
        self.assertEqual(result.problem, "")

    def test_crowd_of_thirty_sends_few_frames_and_heals(self) -> None:
        figures = Crowd(30, 1).run(200)
        self.assertLess(figures["frames for each of 200 messages"], 10)
        self.assertIn("healed after losing a tenth, s", figures)

    def test_crowd_that_starts_again_joins_again(self) -> None:
        figures = Crowd(30, 1, restart=True).run(0)
        self.assertGreater(figures["joined again after, s"], 1)

    def test_hops_grow_with_the_logarithm_of_the_nodes(self) -> None:
        """A message takes no more hops than the logarithm of the number of nodes says."""
        nodes = 30
        _, hops, most, *_ = measure(nodes, 1)
        self.assertTrue(1 <= hops <= 1 + log2(nodes) / 2)
        self.assertLessEqual(most, log2(nodes))

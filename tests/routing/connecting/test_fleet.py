"""Many nodes behind symmetric NATs, and one that carries their tunnels."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from .fleet import Fleet

MAX_SECONDS = 2.0


class FleetTests(SynchronousTestCase):
    def test_every_pair_opens_a_stream_within_two_seconds_and_all_at_once(self) -> None:
        """The tables have tunnels by then, and requests of theirs are under way."""
        fleet = Fleet(12)
        fleet.settle(40)
        fleet.open_all()
        fleet.network.run_for(MAX_SECONDS)
        self.assertEqual(len(fleet.took), len(fleet.pairs))

    def test_laptop_reaches_all_others_one_after_the_other(self) -> None:
        fleet = Fleet(7)
        fleet.settle(40)
        laptop, *others = fleet.nodes
        for other in others:
            fleet.open(laptop, other)
            fleet.network.run_for(MAX_SECONDS)
        self.assertEqual(len(fleet.took), len(others))

    def test_explanation_names_the_setting_and_the_node_that_refused(self) -> None:
        fleet = Fleet(2, tunnel_memory=0)
        fleet.settle(20)
        one, other = fleet.nodes
        fleet.open(one, other)
        fleet.network.run_for(5)
        tried = [each.outcome for each in one.service.explain(other.name).attempts]
        self.assertIn(f"tunnel_memory of node {fleet.relay.name.short} may be 0", " ".join(tried))

"""The soak: its crowd on a fake clock, what it calls drift, and that nothing is left of a real node."""

from __future__ import annotations

from contextlib import redirect_stdout
from io import StringIO
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.processes import Worker
from benchmarks.soak.__main__ import judge, make_parser
from benchmarks.soak.actors import places_for
from benchmarks.soak.crowd import Crowd
from benchmarks.soak.drift import MIN_SAMPLES, drift
from routing_crust import Role, RoutingService
from routing_crust.routing.membership.proxied import PLACES_PER_JOINING_PLACE
from routing_crust.testing import SimulatedNetwork


class CrowdTests(SynchronousTestCase):
    """In a simulated network, where a second takes no time."""

    def setUp(self) -> None:
        self.network = SimulatedNetwork(seed=4)
        self.node = self.network.node()
        self.heard: list[Any] = []
        self.node.service.set_message_handler(self.heard.append)
        self.crowd = Crowd(self.network.clock, self.client, self.node.name, 12)
        self.network.result_of(self.crowd.gather())

    def client(self) -> RoutingService:
        return self.network.node(role=Role.CLIENT, start=False).service

    def test_every_peer_is_linked_once_the_crowd_is_gathered(self) -> None:
        self.network.run_for(1)
        self.assertEqual(self.crowd.sample()["linked"], 12)
        self.assertEqual(len(self.node.crust.links), 12)

    def test_others_come_and_go_before_until_the_node_has_met_as_many_as_it_shall(self) -> None:
        made: list[RoutingService] = []

        def make() -> RoutingService:
            made.append(self.client())
            return made[-1]

        crowd = Crowd(self.network.clock, make, self.node.name, 3)
        self.network.result_of(crowd.gather(names=8))
        self.network.run_for(1)
        self.assertEqual(len(made), 8)
        self.assertEqual((crowd.sample()["linked"], crowd.sample()["replaced"]), (3, 0))
        self.network.result_of(crowd.stop())

    def test_messages_come_at_the_rate_and_one_peer_after_the_other_is_replaced(self) -> None:
        self.network.run_for(1)
        self.crowd.begin(rate=75, churn=1)
        self.network.run_for(20.01)
        sample = self.crowd.sample()
        self.assertEqual(sample["replaced"], 20)
        self.assertIn(len(self.heard), range(1425, 1501))
        self.assertIn(sample["acknowledged"], range(1425, 1501))
        self.assertEqual((sample["failures"], sample["skipped"]), (0, 0))
        self.assertGreater(sample["latency"], 0.02)  # there and back, each 10 to 50 ms
        self.assertGreaterEqual(sample["slow"], sample["latency"])
        self.network.result_of(self.crowd.stop())

    def test_latencies_of_a_sample_are_those_since_the_last_one(self) -> None:
        self.crowd.begin(rate=10, churn=0)
        self.network.run_for(5)
        self.assertGreater(self.crowd.sample()["latency"], 0)
        self.assertEqual(self.crowd.sample()["latency"], 0)
        self.network.result_of(self.crowd.stop())

    def test_crowd_does_not_pile_up_messages_that_are_not_acknowledged(self) -> None:
        self.network.run_for(1)
        self.node.sleep(1000)
        self.crowd.begin(rate=50, churn=0)
        self.network.run_for(10)
        self.assertLessEqual(self.crowd.sent, 101)
        self.assertIn(self.crowd.sample()["skipped"], range(390, 411))

    def test_nothing_is_left_of_the_crowd_or_of_its_node(self) -> None:
        self.crowd.begin(rate=75, churn=1)
        self.network.run_for(10)
        self.network.result_of(self.crowd.stop())
        self.network.run_for(1)
        self.assertEqual(self.node.crust.links, ())
        self.network.stop()
        self.assertEqual(self.network.clock.getDelayedCalls(), [])


class DriftTests(SynchronousTestCase):
    def test_level_figure_with_single_slow_moments_does_not_drift(self) -> None:
        self.assertEqual(drift([5.0] * 50 + [90.0] + [5.0] * 49), 0)

    def test_slope_is_found(self) -> None:
        self.assertGreater(drift([100 + n / 10 for n in range(100)]), 0.05)
        self.assertLess(drift([100 - n / 10 for n in range(100)]), -0.05)

    def test_warm_up_counts_for_nothing(self) -> None:
        self.assertEqual(drift([1.0] * 10 + [5.0] * 90), 0)

    def test_too_few_samples_are_refused(self) -> None:
        self.assertRaises(ValueError, drift, [1.0] * (MIN_SAMPLES - 1))


class JudgementTests(SynchronousTestCase):
    def judged(
        self, left_alone: int = 0, descriptors: int = 0, timers: int = 0, **last: Any
    ) -> tuple[int, str]:
        """What is said of a run whose samples are all the same but for the last half."""
        same = {
            "memory": 5e7, "core": 0.5, "latency": 0.01,
            "replaced": 9, "skipped": 0, "failures": 0, "failure": "",
        }  # fmt: skip
        samples = [same] * 10 + [same | last] * 10
        shown = StringIO()
        with redirect_stdout(shown):
            status = judge(samples, left_alone, {"descriptors": descriptors, "timers": timers})
        return status, shown.getvalue()

    def test_run_without_drift_that_leaves_nothing_is_good(self) -> None:
        self.assertEqual(self.judged()[0], 0)
        self.assertEqual(self.judged(memory=5.09e7, latency=0.009)[0], 0)

    def test_every_fault_is_told_and_fails_the_run(self) -> None:
        for fault, told in (
            ({"memory": 5.2e7}, "the resident set drifts"),
            ({"latency": 0.0103}, "the latency drifts"),
            ({"failures": 1, "failure": "it is off"}, "messages failed: it is off"),
            ({"left_alone": 1}, "descriptors are left"),
            ({"descriptors": 1}, "descriptors are left"),
            ({"timers": 1}, "timers are left"),
        ):
            status, said = self.judged(**fault)  # type: ignore[arg-type]
            self.assertEqual(status, 1, fault)
            self.assertIn(f"\n{told}\n", said)

    def test_command_soaks_for_an_hour_with_a_thousand_links_by_default(self) -> None:
        options = make_parser().parse_args([])
        self.assertEqual((options.minutes, options.links, options.rate), (60, 1000, 5000))


class ProcessTests(SynchronousTestCase):
    def test_node_has_room_for_all_links_beside_what_it_keeps_for_joining_nodes(self) -> None:
        """All of them are clients, and at first the crowd never gathered."""
        for links in range(1, 1001):
            places = places_for(links)
            self.assertGreaterEqual(places - places // PLACES_PER_JOINING_PLACE, links)

    def test_node_has_no_descriptor_and_no_timer_left_when_its_peers_are_gone(self) -> None:
        """Over real sockets, in processes of their own, as the command does it."""
        node, crowd = Worker("soak-node", "node", -1), Worker("soak-crowd", "crowd", -1)
        self.addCleanup(node.stop)
        self.addCleanup(crowd.stop)
        contact = node.call("listen", links=5)
        crowd.call("gather", contact=contact, peers=5)
        crowd.call("begin", rate=20, churn=0)
        sample = node.call("sample")
        self.assertGreaterEqual(sample["descriptors"], 6)
        self.assertGreater(sample["memory"], 1 << 20)
        crowd.call("stop")
        self.assertEqual(node.call("stop"), {"descriptors": 0, "timers": 0})

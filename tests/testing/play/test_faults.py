"""Faults as data."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.endpoints import PathKind
from routing_crust.routing.events import LinkLost, PeerLeft
from routing_crust.routing.service import running_services
from routing_crust.routing.state import State
from routing_crust.testing.latency import LongTailed
from routing_crust.testing.play.chance import random_schedule
from routing_crust.testing.play.faults import (
    FAULTS,
    BadSchedule,
    ChangeAddress,
    ChangeLatency,
    Crash,
    FlushNat,
    HalfOpen,
    Heal,
    JumpClock,
    LoseDials,
    OneWay,
    Partition,
    Reset,
    Restart,
    Schedule,
    Sleep,
    Stall,
)
from routing_crust.testing.simulation import SimulatedNetwork


class TextTests(SynchronousTestCase):
    @settings(deadline=None, max_examples=100)
    @given(st.integers(0, 10**6), st.integers(1, 40))
    def test_text_of_a_schedule_reads_back_as_the_schedule(self, seed: int, hosts: int) -> None:
        """The text of a schedule is the schedule."""
        schedule = random_schedule(Random(seed), hosts, 300.0, 30)
        self.assertEqual(Schedule.from_text(str(schedule)), schedule)
        self.assertEqual(schedule, random_schedule(Random(seed), hosts, 300.0, 30))

    def test_schedule_is_sorted_and_each_fault_has_its_word(self) -> None:
        text = "3 crash host=1 silently=yes\n1.5 partition group=0,2\n"
        schedule = Schedule.from_text("# two of them\n" + text + "\n")
        self.assertEqual(schedule.faults, (Partition(1.5, (0, 2)), Crash(3.0, 1, True)))
        self.assertEqual(len({each.word for each in FAULTS}), len(FAULTS))

    def test_what_is_no_schedule_is_refused_with_its_line(self) -> None:
        for text in (
            "x",
            "1 explode",
            "1 crash",
            "1 crash host=x",
            "1 crash host=1 loudly=yes",
            "crash host=1",
        ):
            with self.assertRaisesRegex(BadSchedule, "line 2"):
                Schedule.from_text(f"\n{text}")

    def test_every_fault_is_drawn_and_all_ends_whole(self) -> None:
        """Each kind of fault is in some schedule, and each ends with a network that is whole."""
        seen = set()
        for seed in range(20):
            schedule = random_schedule(Random(seed), 9, 100.0, 40, nats=True)
            seen |= {type(each) for each in schedule}
            self.assertLessEqual(max(each.at for each in schedule), 100.0)
            last = [each for each in schedule if each.at == 100.0]
            self.assertTrue({Heal(100.0), LoseDials(100.0, 0.0), Restart(100.0, 8)} <= set(last))
        self.assertEqual(seen, set(FAULTS))
        without = {type(each) for each in random_schedule(Random(1), 9, 100.0, 2_000)}
        self.assertEqual(seen - without, {FlushNat, ChangeAddress})


class HappenTests(SynchronousTestCase):
    """Each fault does what it says."""

    def setUp(self) -> None:
        self.net = SimulatedNetwork(3)
        self.nodes = self.net.nodes(4)
        self.net.run_until(self.net.joined)
        self.net.run_for(5)

    def tearDown(self) -> None:
        self.net.stop()
        self.assertEqual([node.clock.getDelayedCalls() for node in self.nodes], [[]] * 4)

    def play(self, *faults: object, seconds: float = 1.0) -> None:
        Schedule(faults).apply(self.net)  # type: ignore[arg-type]
        self.net.run_for(seconds)

    def test_crashed_host_is_gone_until_it_restarts(self) -> None:
        service = self.nodes[2].service
        self.play(Crash(0.0, 2), Crash(0.1, 2))
        self.assertFalse(self.nodes[2].running)
        self.assertEqual(self.nodes[2].clock.getDelayedCalls(), [])
        self.assertNotIn(self.nodes[2].name, [link.peer for link in self.nodes[0].crust.links])
        self.assertNotIn(service, running_services())
        self.play(Restart(0.0, 2))
        self.assertIsNot(self.nodes[2].service, service)
        self.net.run_until(self.net.joined)
        self.assertGreater(self.nodes[2].service.incarnation, service.incarnation)

    def test_silent_crash_is_noticed_by_silence(self) -> None:
        self.play(Crash(0.0, 2, True), seconds=50)
        self.assertIn(self.nodes[2].name, [link.peer for link in self.nodes[0].crust.links])
        self.net.run_for(20)
        self.assertNotIn(self.nodes[2].name, [link.peer for link in self.nodes[0].crust.links])

    def test_partition_separates_until_it_heals(self) -> None:
        # 60 s of silence, which counts from a tick of a link's timer
        self.play(Partition(0.0, (3,)), seconds=80)
        self.assertFalse(self.nodes[3].connected)
        self.assertEqual(len(self.nodes[0].crust.links), 2)
        self.play(Heal(0.0))
        self.net.run_until(self.net.joined, 120)
        self.net.run_until(lambda: len(self.nodes[3].crust.links) == 3, 120)

    def test_one_way_partition_ends_the_link_at_both_ends(self) -> None:
        """Who hears nothing gives the link up, and the other hears of that; a tunnel may take its place."""
        self.play(OneWay(0.0, 0, 1), seconds=70)
        for one, other in ((0, 1), (1, 0)):
            links = [link for link in self.nodes[one].crust.links if link.peer == self.nodes[other].name]
            self.assertEqual([link for link in links if link.path_kind is not PathKind.TUNNEL], [])
        self.net.heal()

    def test_sleep_beyond_the_inactivity_timeout_costs_the_links(self) -> None:
        self.play(Sleep(0.0, 1, 100.0), seconds=90)
        self.assertNotIn(self.nodes[1].name, [link.peer for link in self.nodes[0].crust.links])
        self.assertIs(self.nodes[1].service.state, State.CONNECTED)  # for all that it knows
        self.net.run_until(lambda: len(self.nodes[0].crust.links) == 3, 120)

    def test_short_sleep_costs_no_peer(self) -> None:
        """A sleep shorter than the silence that a link stands: a new one may replace it; none is lost."""
        lost: list[object] = []
        for each in self.nodes:
            each.service.observe(LinkLost, lost.append)
            each.service.observe(PeerLeft, lost.append)
        self.play(Sleep(0.0, 1, 30.0), seconds=40)
        self.assertEqual(lost, [])
        self.assertEqual(len(self.nodes[1].crust.links), 3)

    def test_jump_sets_the_clock_of_one_host(self) -> None:
        before = self.nodes[1].clock.seconds()
        self.play(JumpClock(0.0, 1, 3600.0), seconds=10)
        self.assertEqual(self.nodes[1].clock.seconds(), before + 3610)
        self.assertIsNone(self.net.result_of(self.nodes[1].service.send(self.nodes[0].name, b"still here")))

    def test_faults_of_links_strike_the_chosen_link(self) -> None:
        links = self.net.network.links
        self.play(Reset(0.0, 0), seconds=0)
        self.net.run_for(0.1)
        self.assertNotIn(links[0], self.net.network.links)
        self.play(HalfOpen(0.0, 1), Stall(0.0, 2, 1.0), seconds=1)
        self.assertIn(links[2], self.net.network.links)
        self.net.run_for(60)
        self.assertIn(links[3], self.net.network.links)
        self.assertNotIn(links[2], self.net.network.links)

    def test_latency_and_dial_loss_change_for_the_network(self) -> None:
        self.play(ChangeLatency(0.0, 0.2, 0.25), LoseDials(0.0, 0.5))
        self.assertEqual(self.net.network.latency, LongTailed(0.2, 0.25))
        self.assertEqual(self.net.network.dial_loss, 0.5)

    def test_fault_of_what_is_not_there_is_left_out(self) -> None:
        """A fault of what is not there is left out."""
        self.play(Crash(0.0, 99), Restart(0.0, 1), OneWay(0.0, 0, 99), Partition(0.0, (99,)), Heal(0.1))
        self.assertTrue(self.net.joined())

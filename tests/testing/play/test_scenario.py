"""A network's bad day: what must hold does, the same seed is the same day, and what does not is noticed."""

from __future__ import annotations

import dataclasses
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.errors import CloseReason, NotConnected
from routing_crust.names import NAME_BITS
from routing_crust.routing.events import LinkLost
from routing_crust.routing.reporting.status import link_facts
from routing_crust.testing.__main__ import main
from routing_crust.testing.memory.nat import PORT_RESTRICTED
from routing_crust.testing.play import growth
from routing_crust.testing.play.faults import Schedule
from routing_crust.testing.play.invariants import DISAGREEMENT_SECONDS, InvariantBroken, Invariants
from routing_crust.testing.play.scenario import Plan, Scenario, groups_are_right, nearest_of
from routing_crust.testing.simulation import SimulatedNetwork
from routing_crust.timing.shares import OURSELVES

from .command import command


class GroupTests(SynchronousTestCase):
    """Who must be in whose table, once all is well."""

    def network_of(self, count: int, **settings: Any) -> SimulatedNetwork:
        """Three nodes on the internet, and this many behind one NAT."""
        network = SimulatedNetwork(seed=3, internet=True, **settings)
        self.addCleanup(network.stop)
        network.nodes(3)
        router = network.nat(PORT_RESTRICTED)
        for _ in range(count):
            network.node(nat=router)
        network.run_until(lambda: groups_are_right(network), 60)
        return network

    def lacking(self, network: SimulatedNetwork) -> int:
        """How often two nodes are not in each other's tables."""
        cores = [node.core for node in network if node.core is not None]
        return sum(other.name not in core.table for core in cores for other in network) - len(cores)

    def test_neighbours_that_a_limit_forbids_are_not_asked_for(self) -> None:
        """What the limits by address prefix forbid is not asked for."""
        self.assertGreater(self.lacking(self.network_of(5)), 0)
        self.assertEqual(self.lacking(self.network_of(5, max_same_prefix_in_bucket=8)), 0)

    def test_node_missing_from_a_table_is_noticed(self) -> None:
        """Who is missing for no such reason is noticed, on the internet and in a local network."""
        local = SimulatedNetwork(seed=3)
        self.addCleanup(local.stop)
        local.nodes(4)
        local.run_until(lambda: groups_are_right(local), 60)
        for network in (local, self.network_of(1)):
            one, other = network.all[0], network.all[-1]
            assert one.core is not None
            self.assertTrue(groups_are_right(network))
            one.core.table.remove(other.name)
            self.assertFalse(groups_are_right(network))


class NearestTests(SynchronousTestCase):
    def test_nearest_numbers_are_those_of_a_full_search(self) -> None:
        """Those that are looked for near a number are those that a look at all of them finds."""
        random = Random(1)
        for count in (1, 2, 8, 9, 10, 50, 300):
            numbers = sorted(random.getrandbits(NAME_BITS) for _ in range(count))
            for own in numbers[:20]:
                others = sorted((each for each in numbers if each != own), key=own.__xor__)
                self.assertEqual(nearest_of(numbers, own, 8), others[:8])


class CommandTests(SynchronousTestCase):
    def run_main(self, *arguments: str) -> tuple[int, str]:
        out = StringIO()
        with redirect_stdout(out):
            code = main(arguments)
        return code, out.getvalue()

    def test_single_seed_prints_its_faults_and_keeps_its_trace(self) -> None:
        """Its faults can be printed, read again and played, and all that happens be kept."""
        small = ("--seed", "1", "--nodes", "5", "--minutes", "0.5")
        code, schedule = self.run_main(*small, "--print-schedule")
        self.assertEqual((code, str(Schedule.from_text(schedule))), (0, schedule))
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / "faults").write_text(schedule)
        code, hashed = self.run_main(*small, "--hash", "--schedule", str(folder / "faults"))
        self.assertEqual(code, 0)
        self.assertEqual(hashed, self.run_main(*small, "--hash", "--trace", str(folder / "trace"))[1])
        self.assertIn(" fault ", (folder / "trace").read_text())

    def test_wrong_number_is_refused_with_advice(self) -> None:
        """The message says what to write."""
        for option, text, what in (
            ("--seeds", "0", "1 or more"),
            ("--crowd", "many", "1 or more"),
            ("--growth", "10,x", "1 or more"),
            ("--nats", "1.5", "0 to 1"),
            ("--nats", "half", "0 to 1"),
        ):
            said = StringIO()
            with redirect_stderr(said):
                self.assertRaises(SystemExit, main, [option, text])
            self.assertIn(f": write {what}", said.getvalue())

    def test_seed_that_fails_is_printed_with_its_command(self) -> None:
        """It is printed with the command that plays it again."""
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / "faults").write_text("1 partition group=0\n")  # and it never ends
        path = str(folder / "faults")
        small = ["--nodes", "4", "--minutes", "2", "--schedule", path]
        code, out = self.run_main("--seeds", "1", "--jobs", "1", *small)
        self.assertEqual(code, 1)
        again = f"again: python -m routing_crust.testing --seed 0 {' '.join(small)}"
        self.assertIn(again, out.replace("--minutes 2.0", "--minutes 2"))
        self.assertIn("seeds 0 to 0 of 4 nodes and 2 minutes: 0 held, 1 did not", out)
        after = again.replace("again:", "the next:").replace("--seed 0", "--seeds 1 --first 1")
        self.assertIn(after, out)
        code, out = self.run_main("--seed", "0", *small)
        self.assertEqual(code, 1)
        self.assertIn("of the seed 0", out)

    def test_seeds_in_several_processes_have_the_same_result(self) -> None:
        """In processes of their own, with the same result."""
        small = ("--seeds", "3", "--nodes", "4", "--minutes", "0.2", "--streams", "0")
        one, two = (command(*small, "--hash", "--jobs", jobs) for jobs in ("1", "2"))
        self.assertEqual((one.returncode, two.returncode), (0, 0), one.stderr + two.stderr)
        seeds = [each for each in one.stdout.splitlines() if each.startswith("seed ")]
        self.assertEqual(len(seeds), 3)
        self.assertEqual(seeds, [each for each in two.stdout.splitlines() if each.startswith("seed ")])

    def test_unreadable_schedule_is_refused_with_its_line(self) -> None:
        path = Path(self.mktemp())
        path.write_text("nonsense\n")
        code, out = self.run_main("--seed", "0", "--schedule", str(path))
        self.assertEqual(code, 1)
        self.assertIn("line 1 is no fault", out)

    def test_command_plays_a_crowd_and_growth(self) -> None:
        code, out = self.run_main("--crowd", "12", "--messages", "20")
        self.assertEqual(code, 0)
        self.assertIn("healed after losing a tenth", out)
        with patch.object(growth, "NEWCOMERS", 2), patch.object(growth, "LOOK_UPS", 20):
            code, out = self.run_main("--growth", "4,6")
        self.assertEqual((code, out.count("* - ")), (0, 3))


class NoticedTests(SynchronousTestCase):
    """Each check notices what it is there for."""

    def setUp(self) -> None:
        self.net = SimulatedNetwork(4)
        self.checks = Invariants(self.net)
        self.addCleanup(self.checks.abandon)
        self.nodes = [self.net.node(setup=self.checks.watch) for _ in range(3)]
        self.net.run_until(self.net.joined)
        self.net.run_for(3)

    def core(self, number: int = 0) -> Any:
        return self.nodes[number].core

    def assert_broken(self, check: str, seconds: float = 2.0) -> None:
        with self.assertRaisesRegex(InvariantBroken, f"^{check}: "):
            self.net.run_for(seconds)

    def test_sound_network_breaks_no_invariant(self) -> None:
        self.checks.look()
        self.assertGreater(min(self.checks.checks.values()), 3)
        cores = [(node, node.core) for node in self.nodes]
        self.net.stop()
        for node, core in cores:
            self.checks.nothing_is_left(node, core)
        self.checks.close()

    def test_wait_without_end_breaks_an_invariant(self) -> None:
        self.checks.expect(self.nodes[0], Deferred(), "nothing", 10)
        self.net.run_for(9)
        self.assert_broken("every_wait_ends", 5)

    def test_waits_of_dead_and_sleeping_nodes_do_not_count(self) -> None:
        """Of those that are dead, asleep, or answered nobody expects anything."""
        for node in self.nodes:
            self.checks.expect(node, Deferred(), "nothing", 10)
        self.checks.expect(self.nodes[0], fail(NotConnected("no")), "a failure", 10)
        self.nodes[0].crash()
        self.nodes[1].sleep(30)
        self.nodes[2].crash()
        self.net.run_for(35)
        self.checks.look()

    def test_deferred_that_fires_twice_breaks_an_invariant(self) -> None:
        self.checks.expect(self.nodes[0], Deferred(), "something", 10).fired = 2
        self.assert_broken("every_wait_ends")

    def test_table_without_links_breaks_an_invariant(self) -> None:
        core = self.core()
        core.links.confirmed.clear()
        with self.assertRaisesRegex(InvariantBroken, "^the_table_has_live_links: "):
            self.checks.look()

    def test_node_in_its_own_table_breaks_an_invariant(self) -> None:
        core = self.core()
        entry = next(iter(core.table))
        core.table._entries[core.identity.name] = type(entry)(core.identity.name, entry.endpoint, entry.link)
        with self.assertRaisesRegex(InvariantBroken, "^the_table_has_live_links: .* own table"):
            self.checks.look()

    def test_ends_that_hold_different_links_break_an_invariant(self) -> None:
        """Ends that hold different links to be theirs for longer than a dead one goes unnoticed."""
        core, other = self.core(), self.core(1)
        there = other.links._peer_links[core.identity.name]
        third = other.links.peer(self.core(2).identity.name)
        there.peer = dataclasses.replace(there.peer, link=third.link)
        other.table.remove(core.identity.name)
        self.assert_broken("both_ends_agree", DISAGREEMENT_SECONDS + 5)

    def test_too_many_links_of_a_pair_break_an_invariant(self) -> None:
        class AnotherLink:
            peer = self.nodes[1].name

        here: Any = self.nodes[0].crust
        here._links.update({AnotherLink(): None for _ in range(9)})
        with self.assertRaisesRegex(InvariantBroken, "^few_links_of_a_pair: "):
            self.checks.look()

    def test_map_above_its_limit_breaks_an_invariant(self) -> None:
        node = self.nodes[0]
        node.settings = type(node.settings)(max_links=1)
        self.assert_broken("bounds_are_kept")

    def test_moment_without_a_link_breaks_an_invariant(self) -> None:
        core = self.core()
        peer = core.links.peers[0]
        core.observers.tell(LinkLost(link_facts(peer), CloseReason.SUPERSEDED, ""))
        self.assert_broken("never_without_a_link")

    def test_logged_failure_breaks_an_invariant(self) -> None:
        self.net.clock.callLater(0.5, Logger().failure, "a mistake", fail(ValueError("a mistake")).result)
        self.assert_broken("nothing_raises")
        self.flushLoggedErrors(ValueError)

    def test_timer_that_is_left_breaks_an_invariant(self) -> None:
        self.nodes[0].clock.callLater(100, int)
        self.net.result_of(self.nodes[0].stop())
        with self.assertRaisesRegex(InvariantBroken, "^nothing_is_left: .*delayed calls"):
            self.checks.nothing_is_left(self.nodes[0], None)

    def test_storm_of_dials_breaks_an_invariant(self) -> None:
        """Too many dials while healing are noticed."""
        scenario = Scenario(Plan(1, nodes=4, minutes=0.1, schedule=Schedule()))
        scenario.grow()
        scenario.go_wrong()
        one, other = scenario.network.all[:2]

        def dial() -> None:
            for number in range(6):
                made = one.crust.connect(other.crust.endpoints, None, bytes([number]) * 16, OURSELVES)
                made.addErrback(lambda failure: None)
            scenario.network.clock.callLater(0.2, dial)

        dial()
        with self.assertRaisesRegex(InvariantBroken, "few_"):
            scenario.heal()
        scenario.invariants.abandon()

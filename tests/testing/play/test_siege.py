"""A siege: hostile hosts that mix behaviours, and honest nodes that may not be kept waiting."""

from __future__ import annotations

from contextlib import redirect_stdout
from io import StringIO

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.testing.__main__ import main
from routing_crust.testing.play.invariants import InvariantBroken
from routing_crust.testing.play.raid import Raid
from routing_crust.testing.play.raider import Raider, RaiderLink
from routing_crust.testing.play.raids_of_links import LINK_RAIDS, CrowdedPrefix, Insiders, LyingMembers
from routing_crust.testing.play.siege import RAIDS, Siege, SiegePlan, play_siege
from routing_crust.testing.simulation import SimulatedNetwork
from routing_crust.wire.framing import FrameKind

HELD: tuple[str, ...] = (
    "silent sessions",
    "junk through relays",
    "parts of free keys",
    "invented clients",
    "new message ids",
    "unanswered requests",
)
"""Behaviours that a small network withstands."""


class RaiderTests(SynchronousTestCase):
    """What a raider does is what a node sees."""

    def setUp(self) -> None:
        self.network = SimulatedNetwork(seed=2, internet=True)
        self.node = self.network.nodes(3)[0]
        self.network.run_until(self.network.joined)
        self.raider = Raider(self.network, 2)
        self.addCleanup(self.network.stop)
        self.addCleanup(self.raider.stop)
        self.heard: list[tuple[RaiderLink, int]] = []

    def hear(self, link: RaiderLink, kind: int, payload: bytes) -> None:
        self.heard.append((link, kind))

    def strangers(self) -> int:
        """Peers of the node that are not of the network."""
        core = self.node.core
        assert core is not None
        names = {each.name for each in self.network}
        return len([peer for peer in core.links.peers if peer.name not in names])

    def test_attached_raider_is_a_peer_of_the_node_until_it_stops(self) -> None:
        self.raider.attach(self.node, self.hear)
        self.network.run_for(2)
        self.assertEqual([kind for _, kind in self.heard], [FrameKind.HELLO])
        self.assertEqual(self.strangers(), 1)
        self.raider.stop()
        self.network.run_for(2)
        self.assertEqual(self.strangers(), 0)

    def test_frame_that_breaks_the_protocol_costs_the_raider_its_link(self) -> None:
        self.raider.attach(self.node, self.hear)
        self.network.run_for(2)
        link = self.heard[0][0]
        link.send(99, b"")
        self.network.run_for(1)
        self.assertTrue(link.lost)
        self.assertNotIn(link, self.raider.links)

    def test_silent_connection_is_closed_by_the_node(self) -> None:
        self.raider.connect_silently(self.node, 0)
        self.network.run_for(1)
        self.assertEqual(self.connections(), 1)
        self.network.run_for(15)
        self.assertEqual(self.connections(), 0)

    def connections(self) -> int:
        """How many connections from the first address there are."""
        host = self.raider.addresses[0].host
        return len([each for each in self.network.network.links if each.host.host == host])

    def test_each_address_is_in_a_network_of_its_own(self) -> None:
        hosts = [each.host for each in self.raider.addresses]
        self.assertEqual(len({host.rpartition(".")[0] for host in hosts}), 2)


class RaidTests(SynchronousTestCase):
    def test_every_raid_has_a_name_of_its_own_and_says_what_it_does(self) -> None:
        titles = [each.title() for each in RAIDS]
        self.assertEqual(len(set(titles)), len(titles))
        self.assertEqual([each for each in RAIDS if not each.__doc__ or each.__doc__ == Raid.__doc__], [])
        self.assertEqual(set(HELD) - set(titles), set())

    def test_every_raid_reaches_its_targets(self) -> None:
        """A behaviour that does nothing would be withstood by any node."""
        for kind in RAIDS:
            siege = Siege(SiegePlan(4, nodes=5, raids=(kind.title(),)))
            self.addCleanup(siege.invariants.abandon)
            siege.grow()
            raid = siege.raids[0]
            raid.begin()
            siege.network.run_for(4)
            sent = raid.raider.sent
            if raid.contact is not None:
                newcomer = siege.network.node(contacts=(raid.contact,))
                siege.network.run_for(3)
                self.assertFalse(newcomer.joined, kind.title())
                self.assertGreater(sent[FrameKind.HELLO], 0, kind.title())
            elif issubclass(kind, Insiders):
                self.assertTrue(raid.nodes[0].joined, kind.title())
            elif kind in LINK_RAIDS:
                self.assertGreater(raid.raider.dials, 10, kind.title())
            else:
                shown = sent[FrameKind.ENVELOPE] + sent[FrameKind.MESSAGE] + sent[FrameKind.TUNNEL_OPEN]
                self.assertGreater(shown, 10, kind.title())

    def test_insiders_are_near_their_target_and_some_are_in_one_prefix(self) -> None:
        siege = Siege(SiegePlan(4, nodes=6, raids=(CrowdedPrefix.title(),)))
        self.addCleanup(siege.invariants.abandon)
        siege.grow()
        raid = siege.raids[0]
        assert isinstance(raid, CrowdedPrefix)
        raid.begin()
        siege.network.run_for(5.5)
        self.assertEqual(len(raid.nodes), 6)
        self.assertEqual(len({each.endpoint.prefix for each in raid.nodes}), 1)
        self.assertEqual(len({each.endpoint for each in raid.nodes}), 6)
        target = raid.targets[0].name
        others = [target.distance(each.name) for each in siege.network if each not in raid.nodes]
        nearest = sorted(each for each in others if each)[1]
        self.assertTrue(all(target.distance(each.name) < nearest for each in raid.nodes))
        raid.end()

    def test_lying_member_tells_names_that_nobody_has(self) -> None:
        siege = Siege(SiegePlan(4, nodes=4, raids=(LyingMembers.title(),)))
        self.addCleanup(siege.invariants.abandon)
        siege.grow()
        raid = siege.raids[0]
        assert isinstance(raid, LyingMembers)
        raid.begin()
        siege.network.run_for(4)
        liar, asking = raid.nodes[0], raid.targets[0].core
        assert asking is not None
        known = {each.name for each in siege.network}
        told = siege.network.result_of(asking.lookup.look_up(liar.name, of=liar.name))
        self.assertEqual(set(told.members) & known, set())
        raid.end()


class SiegeTests(SynchronousTestCase):
    def test_network_without_hostile_hosts_keeps_nobody_waiting(self) -> None:
        result = play_siege(SiegePlan(1, nodes=12, minutes=0.3, raids=()))
        self.assertEqual(result.problem, "")
        self.assertLess(result.figures["newcomers join: slowest"], 2.0)
        self.assertGreater(result.figures["dials succeed: number"], 0)
        self.assertGreater(result.figures["messages arrive: number"], 0)

    def test_small_network_withstands_these_raids_at_once(self) -> None:
        result = play_siege(SiegePlan(1, nodes=8, minutes=0.2, raids=HELD))
        self.assertEqual(result.problem, "")

    def test_same_seed_is_the_same_siege(self) -> None:
        one, other = (play_siege(SiegePlan(5, nodes=8, minutes=0.1)) for _ in range(2))
        self.assertEqual(one, other)
        another = play_siege(SiegePlan(6, nodes=8, minutes=0.1))
        self.assertNotEqual(one.trace, another.trace)

    def test_honest_node_that_is_kept_waiting_is_noticed(self) -> None:
        """A siege whose targets have lost their power is lost."""
        siege = Siege(SiegePlan(1, nodes=8, minutes=0.2, raids=()))
        self.addCleanup(siege.invariants.abandon)
        siege.grow()
        for node in siege.network.alive:
            node.sleep(60)
        error = self.assertRaises(InvariantBroken, siege.besiege)
        self.assertIn("newcomers_join", str(error))
        self.assertIn("bootstrapping, not joined", str(error))

    def test_links_of_hostile_hosts_that_stay_are_noticed(self) -> None:
        siege = Siege(SiegePlan(1, nodes=8, minutes=0.1, raids=("idle keys",)))
        self.addCleanup(siege.invariants.abandon)
        siege.grow()
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

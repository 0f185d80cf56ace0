"""What raiders do is what a node sees, and each raid does something."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.testing.play.raid import Raid
from routing_crust.testing.play.raider import Raider, RaiderLink
from routing_crust.testing.play.raids_of_links import LINK_RAIDS, CrowdedPrefix, Insiders, LyingMembers
from routing_crust.testing.play.siege import RAIDS, SiegePlan
from routing_crust.testing.simulation import SimulatedNetwork
from routing_crust.wire.framing import FrameKind

from .siege_case import SiegeTestCase


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

    def test_raider_that_only_says_hello_never_becomes_a_peer(self) -> None:
        for _ in range(4):  # whichever end has the smaller name, and decides
            self.raider.dial(self.node, None, lambda link, kind, payload: link.hello())
        self.network.run_for(3)
        self.assertEqual(self.raider.sent[FrameKind.HELLO], 4)
        self.assertEqual(self.strangers(), 0)
        self.network.run_for(20)
        self.assertEqual(self.raider.links, {})

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


class RaidTests(SiegeTestCase):
    def test_every_raid_has_a_name_of_its_own_and_says_what_it_does(self) -> None:
        titles = [each.title() for each in RAIDS]
        self.assertEqual(len(set(titles)), len(titles))
        self.assertEqual([each for each in RAIDS if not each.__doc__ or each.__doc__ == Raid.__doc__], [])

    def test_every_raid_reaches_its_targets(self) -> None:
        """A behaviour that does nothing would be withstood by any node."""
        for kind in RAIDS:
            siege = self.grown_siege(SiegePlan(4, nodes=5, raids=(kind.title(),)))
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
        siege = self.grown_siege(SiegePlan(4, nodes=6, raids=(CrowdedPrefix.title(),)))
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
        siege = self.grown_siege(SiegePlan(4, nodes=4, raids=(LyingMembers.title(),)))
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

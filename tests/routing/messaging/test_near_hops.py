"""Messages go by the nearest in time of the next hops that lead on almost equally well."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

from twisted.trial.unittest import SynchronousTestCase

from routing_crust import Name, Settings
from routing_crust.crust.interfaces import ILink
from routing_crust.crust.link.round_trip import RoundTrip
from routing_crust.endpoints import PathKind
from routing_crust.routing.membership.neighbourhood import LinkLookup
from routing_crust.routing.membership.routing_table import PeerEntry, RoutingTable
from routing_crust.routing.messaging.near_hops import BIT_SECONDS, NearHops

from .messaging_net import FakeNet
from .stretch import Earth, by_name_alone, by_round_trips

OWN = Name(bytes(32))
TARGET = Name(b"\x80" + bytes(31))
HALF = BIT_SECONDS / 2


@dataclass
class LinkWithTrip:
    round_trip: RoundTrip
    is_doubted: bool = False


@dataclass
class Links:
    """What is known of links."""

    links: dict[Name, LinkWithTrip] = field(default_factory=dict)

    def link_to(self, name: Name) -> ILink | None:
        return cast("ILink | None", self.links.get(name))


def at(bits: int, last: int = 1) -> Name:
    """A name whose distance from the target has this many bits."""
    return Name((TARGET.number ^ (1 << (bits - 1)) ^ last).to_bytes(32, "big"))


class NearHopsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.table = RoutingTable(OWN, Settings())
        self.links = Links()
        self.hops = NearHops(self.table, cast(LinkLookup, self.links))

    def add(self, name: Name, seconds: float | None) -> Name:
        self.table.add(PeerEntry(name))
        trip = RoundTrip(float)
        trip.smoothed = seconds
        self.links.links[name] = LinkWithTrip(trip)
        return name

    def test_of_two_in_one_ring_the_sooner_is_taken(self) -> None:
        far = self.add(at(250, 1), 0.2)
        near = self.add(at(250, 2), 0.1)
        self.assertEqual(self.hops.next_hop(TARGET), near)
        self.assertEqual(self.hops.next_hop(TARGET, {near}), far)

    def test_of_two_as_soon_the_nearer_name_is_taken(self) -> None:
        nearer = self.add(at(250, 1), 0.1)
        self.add(at(250, 2), 0.1)
        self.assertEqual(self.hops.next_hop(TARGET), nearer)

    def test_bit_of_the_name_counts_as_much_as_its_time(self) -> None:
        nearer = self.add(at(250), 0.1)
        self.add(at(251), 0.1 - HALF)
        self.assertEqual(self.hops.next_hop(TARGET), nearer)
        sooner = self.add(at(251, 2), 0.1 - 3 * HALF)
        self.assertEqual(self.hops.next_hop(TARGET), sooner)

    def test_name_that_is_three_bits_farther_is_never_taken(self) -> None:
        """However near its node: so an attacker needs names near the destination as before."""
        nearer = self.add(at(240), 2.0)
        self.add(at(243), 0.0001)
        self.assertEqual(self.hops.next_hop(TARGET), nearer)
        sooner = self.add(at(242), 0.0001)
        self.assertEqual(self.hops.next_hop(TARGET), sooner)

    def test_node_that_is_farther_than_we_are_is_never_taken(self) -> None:
        target = Name(b"\0" * 30 + b"\1\0")  # we are nine bits away
        farther = Name((target.number ^ 0x1F0).to_bytes(32, "big"))
        self.add(farther, 0.0001)
        self.assertIsNone(self.hops.next_hop(target))

    def test_destination_itself_is_taken_however_far(self) -> None:
        self.add(TARGET, 1.9)
        self.add(at(2), 0.0001)
        self.assertEqual(self.hops.next_hop(TARGET), TARGET)

    def test_link_that_may_be_dead_is_taken_last(self) -> None:
        silent = self.add(at(250, 1), 0.001)
        self.links.links[silent].is_doubted = True
        other = self.add(at(250, 2), None)
        self.assertEqual(self.hops.next_hop(TARGET), other)


class TunnelTests(SynchronousTestCase):
    def test_node_that_is_dialled_is_second_where_all_nearer_ones_are_behind_tunnels(self) -> None:
        """The nearer ones may be dead ends, and have no other way on; who carries the tunnels has."""
        net = FakeNet()
        self.addCleanup(net.stop)
        here, first, second, dialled = (net.node(each) for each in ("0", "110", "111", "10"))
        for other in (first, second, dialled):
            net.link(here, other).path_kind = PathKind.DIRECT if other is dialled else PathKind.TUNNEL
        links, _ = here.messenger._forwarder.first_hops(Name(b"\xff" * 32))
        self.assertEqual([each.peer for each in links], [second.name, dialled.name, first.name])


class EarthTests(SynchronousTestCase):
    def test_own_and_relayed_messages_take_the_way_that_is_sooner(self) -> None:
        earth = Earth(40, settled=20)
        self.addCleanup(earth.network.stop)
        plain = near = 0.0
        unlike = 0
        for here, there in earth.pairs(60):
            plain += earth.way(here, there, by_name_alone)[1]
            near += earth.way(here, there, by_round_trips)[1]
            core = here.core
            assert core is not None
            hop = by_round_trips(core, there.name)
            unlike += hop != by_name_alone(core, there.name)
            forwarder = core.messenger._forwarder
            links, _ = forwarder.first_hops(there.name)
            self.assertEqual(links[0].peer, hop)
            # where that fails, the others by name as before
            names = [each.name for each in core.table.nearest(there.name, 8) if each.name != hop]
            self.assertEqual([each.peer for each in links[1:]], names[: len(links) - 1])
            step = forwarder._towards(there.name, b"", None, ())
            assert isinstance(step, tuple)
            self.assertEqual(step[0].peer, hop)
        self.assertGreater(unlike, 5)
        self.assertLess(near, plain)

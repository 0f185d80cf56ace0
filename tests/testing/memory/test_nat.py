"""Tests for the model of a NAT: each kind, by the terms of RFC 4787."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.endpoints import Endpoint
from routing_crust.testing.memory.nat import (
    FIREWALL,
    FULL_CONE,
    KINDS,
    PORT_RESTRICTED,
    RESTRICTED,
    SYMMETRIC,
    Nat,
    NatBox,
)

HOST = Endpoint("10.0.1.2", 5483)
PEER = Endpoint("1.0.1.1", 5483)
SAME_HOST = Endpoint("1.0.1.1", 6000)
STRANGER = Endpoint("1.0.2.1", 5483)


class NatCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()

    def box(self, kind: Nat) -> NatBox:
        return NatBox(kind, "1.0.9.1", self.clock.seconds)

    def lets_in(self, kind: Nat) -> tuple[bool, bool, bool]:
        """Whether the peer, another port of its host, and a stranger get in once the peer was dialled."""
        box = self.box(kind)
        seen = box.outward(HOST, PEER)
        peer, same, stranger = (box.inward(each, seen) == HOST for each in (PEER, SAME_HOST, STRANGER))
        return peer, same, stranger


class MappingTests(NatCase):
    def test_cones_map_a_port_to_one_external_port(self) -> None:
        """The three cones map a port to the same external one, for whatever destination, and keep it."""
        for kind in (FULL_CONE, RESTRICTED, PORT_RESTRICTED):
            box = self.box(kind)
            seen = [box.outward(HOST, each) for each in (PEER, SAME_HOST, STRANGER)]
            self.assertEqual(seen, [Endpoint("1.0.9.1", 5483)] * 3, kind)

    def test_symmetric_nat_maps_each_destination_to_its_own_port(self) -> None:
        """A symmetric one has another port for each destination, and the same one for the same."""
        box = self.box(SYMMETRIC)
        seen = [box.outward(HOST, each) for each in (PEER, SAME_HOST, STRANGER, PEER)]
        self.assertEqual(len(dict.fromkeys(seen)), 3)
        self.assertEqual(seen[0], seen[3])
        self.assertNotIn(HOST.port, [each.port for each in seen])

    def test_firewall_translates_nothing(self) -> None:
        """A firewall translates nothing."""
        self.assertEqual(self.box(FIREWALL).outward(PEER, STRANGER), PEER)

    def test_second_host_with_the_same_port_gets_another(self) -> None:
        """The second host with the same port gets another external one."""
        box = self.box(FULL_CONE)
        first = box.outward(HOST, PEER)
        second = box.outward(Endpoint("10.0.1.3", 5483), PEER)
        self.assertNotEqual(first, second)
        self.assertEqual(box.inward(PEER, second), Endpoint("10.0.1.3", 5483))
        self.assertEqual(box.inward(PEER, first), HOST)


class FilteringTests(NatCase):
    def test_each_kind_filters_as_documented(self) -> None:
        self.assertEqual(self.lets_in(FULL_CONE), (True, True, True))
        self.assertEqual(self.lets_in(RESTRICTED), (True, True, False))
        for kind in (PORT_RESTRICTED, SYMMETRIC, FIREWALL):
            self.assertEqual(self.lets_in(kind), (True, False, False), kind)

    def test_nobody_gets_in_before_anything_went_out(self) -> None:
        """Nobody gets in before anything went out."""
        for kind in KINDS:
            self.assertIsNone(self.box(kind).inward(PEER, Endpoint("1.0.9.1", 5483)), kind)


class LifetimeTests(NatCase):
    def test_unused_mapping_expires_and_use_renews_it(self) -> None:
        """What is not used for the lifetime is forgotten, and use in either direction renews it."""
        for kind in KINDS:
            box = self.box(kind)
            seen = box.outward(HOST, PEER)
            self.clock.advance(kind.lifetime)
            self.assertEqual(box.inward(PEER, seen), HOST, kind)
            self.clock.advance(kind.lifetime)
            self.assertEqual(box.outward(HOST, PEER), seen, kind)
            self.clock.advance(kind.lifetime + 1)
            self.assertIsNone(box.inward(PEER, seen), kind)
            self.assertEqual(len(box), 0)

    def test_each_filter_by_itself(self) -> None:
        """Who is let in is forgotten for each far end by itself, while the mapping stays."""
        box = self.box(PORT_RESTRICTED)
        seen = box.outward(HOST, PEER)
        self.clock.advance(200)
        box.outward(HOST, STRANGER)
        self.clock.advance(100)
        self.assertIsNone(box.inward(PEER, seen))
        self.assertEqual(box.inward(STRANGER, seen), HOST)

    def test_mapping_of_a_connection_lives_as_long_as_it(self) -> None:
        """What a connection needs is kept as long as it lives, and for a lifetime more."""
        box = self.box(SYMMETRIC)
        seen = box.outward(HOST, PEER)
        release = box.hold(PEER, seen)
        self.clock.advance(100_000)
        self.assertEqual(box.inward(PEER, seen), HOST)
        release()
        self.clock.advance(SYMMETRIC.lifetime)
        self.assertEqual(len(box), 1)
        self.clock.advance(SYMMETRIC.lifetime + 1)
        self.assertEqual(len(box), 0)

    def test_port_is_free_again(self) -> None:
        """The port of a mapping that has expired is given to another host."""
        box = self.box(FULL_CONE)
        seen = box.outward(HOST, PEER)
        self.clock.advance(FULL_CONE.lifetime + 1)
        self.assertEqual(box.outward(Endpoint("10.0.1.3", 5483), PEER), seen)
        self.assertEqual(box.inward(STRANGER, seen), Endpoint("10.0.1.3", 5483))

    def test_flush_forgets_connections_too(self) -> None:
        """A flush forgets connections too; releasing what was held does no harm."""
        box = self.box(FULL_CONE)
        seen = box.outward(HOST, PEER)
        release = box.hold(PEER, seen)
        box.flush()
        self.assertIsNone(box.inward(PEER, seen))
        release()
        self.assertEqual((len(box), box.flushed), (0, 1))

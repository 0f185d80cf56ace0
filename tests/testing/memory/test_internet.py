"""Tests for the internet in small: whom a packet reaches, and from where it seems to come."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.addresses import Kind, kind_of
from routing_crust.testing.memory.internet import Internet, PacketPath, Router
from routing_crust.testing.memory.nat import FIREWALL, FULL_CONE, HAIRPIN, PORT_RESTRICTED, SYMMETRIC


class InternetTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.internet = Internet(Clock().seconds)
        self.server = self.internet.new_host()
        self.other = self.internet.new_host()

    def behind(self, router: Router) -> None:
        """What holds of any host behind a NAT."""
        host = self.internet.new_host(router)
        self.assertIs(kind_of(host.address), Kind.PRIVATE)
        self.assertIsNone(self.internet.send(self.server, host), "a private address leads nowhere")
        there = self.internet.send(host, self.server)
        assert there is not None
        self.assertEqual(there.endpoint, self.server)
        self.assertIs(kind_of(there.source.address), Kind.GLOBAL)
        back = self.internet.send(self.server, there.source)
        assert back is not None
        self.assertEqual((back.source, back.endpoint), (self.server, host))

    def test_public_hosts_reach_each_other(self) -> None:
        """Public hosts reach each other, each in a network of its own; nobody is where nobody is."""
        arrival = self.internet.send(self.server, self.other)
        assert arrival is not None
        self.assertEqual((arrival.source, arrival.endpoint), (self.server, self.other))
        self.assertNotEqual(self.server.prefix, self.other.prefix)
        self.assertIsNone(self.internet.send(self.server, self.server.of("9.9.9.9", 1)))

    def test_host_behind_nats_reaches_the_internet_and_is_answered(self) -> None:
        """A host behind a box reaches the internet, and is answered; behind two as well."""
        outer = self.internet.router(PORT_RESTRICTED)
        self.behind(outer)
        self.behind(self.internet.router(SYMMETRIC, outer))

    def test_unknown_sender_is_not_let_in(self) -> None:
        """Who was not spoken to is not let in."""
        host = self.internet.new_host(self.internet.router(PORT_RESTRICTED))
        there = self.internet.send(host, self.server)
        assert there is not None
        self.assertIsNone(self.internet.send(self.other, there.source))

    def test_firewalled_host_keeps_its_public_address(self) -> None:
        """Behind a firewall a host has its public address, and is reached only by whom it has spoken to."""
        host = self.internet.new_host(self.internet.router(FIREWALL))
        self.assertIs(kind_of(host.address), Kind.GLOBAL)
        self.assertIsNone(self.internet.send(self.server, host))
        there = self.internet.send(host, self.server)
        assert there is not None
        self.assertEqual(there.source, host)
        self.assertIsNotNone(self.internet.send(self.server, host))
        self.assertIsNone(self.internet.send(self.other, host))

    def test_hosts_behind_one_nat_reach_each_other_inside(self) -> None:
        """Two hosts behind a box reach each other inside; by their external endpoints with hairpin only."""
        for kind, works in ((FULL_CONE, False), (HAIRPIN, True)):
            router = self.internet.router(kind)
            one, two = self.internet.new_host(router), self.internet.new_host(router)
            inside = self.internet.send(one, two)
            assert inside is not None
            self.assertEqual((inside.source, inside.steps), (one, ()))
            seen = [self.internet.send(each, self.server) for each in (one, two)]
            assert seen[0] is not None
            assert seen[1] is not None
            self.internet.send(two, seen[0].source)
            turned = self.internet.send(one, seen[1].source)
            self.assertEqual(turned is not None, works)
            if turned is not None:
                self.assertEqual((turned.source, turned.endpoint), (seen[0].source, two))

    def test_connection_ends_when_a_nat_on_its_way_is_flushed(self) -> None:
        """A connection goes through until a box on its way, whichever, is flushed or gets another address."""
        outer = self.internet.router(FULL_CONE)
        host = self.internet.new_host(self.internet.router(SYMMETRIC, outer))
        for harm in (self.internet.flush, self.internet.change_address):
            there = self.internet.send(host, self.server)
            assert there is not None
            self.assertEqual(len(there.steps), 2)
            way = PacketPath(there.steps)
            self.assertTrue(way.is_open)
            harm(outer)
            self.assertFalse(way.is_open)
            self.assertIsNone(self.internet.send(self.server, there.source))
            way.end()

    def test_old_external_address_is_gone_after_a_change(self) -> None:
        """After a change of address nobody has the old one, and hosts are seen at the new one."""
        router = self.internet.router(FULL_CONE)
        host = self.internet.new_host(router)
        before = self.internet.send(host, self.server)
        self.internet.change_address(router)
        after = self.internet.send(host, self.server)
        assert before is not None
        assert after is not None
        self.assertNotEqual(before.source.host, after.source.host)
        self.assertIsNone(self.internet.send(self.other, before.source))
        self.assertIsNotNone(self.internet.send(self.other, after.source))

"""The addresses of this host."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.crust.netstate.host import dialable_endpoints, on_link_networks, read_host_addresses

from ..addresses import HOST, at


class HostTests(SynchronousTestCase):
    def test_networks_of_our_interfaces_are_on_link(self) -> None:
        """Each is there once; loopback and link-local ones are not."""
        self.assertEqual(on_link_networks([*HOST, *HOST]), ("192.168.1.0/24", "2606:4700::/64", "8.8.8.8/29"))

    def test_wildcard_stands_for_the_addresses_of_its_family(self) -> None:
        """A wildcard stands for the addresses of its family: global ones first, no loopback."""
        self.assertEqual(
            dialable_endpoints([at("0.0.0.0:1"), at("[::]:2")], HOST, 8),
            (at("8.8.8.8:1"), at("[2606:4700::5]:2"), at("192.168.1.5:1")),
        )
        self.assertEqual(dialable_endpoints([at("[::]:2")], HOST, 8), (at("[2606:4700::5]:2"),))

    def test_best_endpoints_are_kept_within_the_bound(self) -> None:
        """There are no more than asked for, and the best are kept."""
        self.assertEqual(dialable_endpoints([at("0.0.0.0:1")], HOST, 1), (at("8.8.8.8:1"),))

    def test_loopback_is_offered_only_if_there_is_nothing_else(self) -> None:
        self.assertEqual(dialable_endpoints([at("0.0.0.0:1")], HOST[:2], 8), (at("127.0.0.1:1"),))
        self.assertEqual(
            dialable_endpoints([at("127.0.0.1:1"), at("192.168.1.5:1")], HOST, 8), (at("192.168.1.5:1"),)
        )
        self.assertEqual(dialable_endpoints([at("127.0.0.1:1")], HOST, 8), (at("127.0.0.1:1"),))

    def test_configured_address_is_offered_as_it_is(self) -> None:
        """Link-local addresses come last."""
        listening = [at("[fe80::5]:9"), at("192.168.1.5:9")]
        self.assertEqual(dialable_endpoints(listening, HOST, 8), tuple(reversed(listening)))
        self.assertEqual(dialable_endpoints([], HOST, 8), ())

    def test_address_with_a_zone_is_offered_only_if_there_is_nothing_else(self) -> None:
        """It is one of an interface that is listened on; nobody else knows the zone."""
        near, here = at("[fe80::5%eth0]:9"), at("192.168.1.5:9")
        self.assertEqual(dialable_endpoints([near, here], HOST, 8), (here,))
        self.assertEqual(dialable_endpoints([near], HOST, 8), (near,))

    def test_every_host_has_a_loopback_address(self) -> None:
        addresses = read_host_addresses()
        loopback = next(each for each in addresses if str(each.address) == "127.0.0.1")
        self.assertEqual(loopback.network, "127.0.0.0/8")
        self.assertGreater(loopback.index, 0)

"""Which peers and protocols hosts stand for."""

from __future__ import annotations

from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.daemon.proxy.hosts import MAX_COMPARED, HostProblem, HostRefused, find_host
from routing_crust.routing.naming import directory
from routing_crust.routing.naming.directory import PeerDirectory
from tests.daemon.fakes import ALICE, BOB, CAROL

DIRECTORY = PeerDirectory(
    {"home": ALICE, "My.Office": BOB, "web": CAROL, "Twin": BOB, "tWIN": CAROL},
    False,
    lambda: (ALICE, BOB),
    lambda: None,
)


class HostTests(SynchronousTestCase):
    def test_host_is_a_peer_and_the_port_tells_the_protocol(self) -> None:
        for host, peer in (
            ("home.crust", ALICE),
            ("HOME.Crust.", ALICE),
            ("my.office.crust", BOB),
            (f"{CAROL}.crust", CAROL),
            (f"{str(BOB)[:10]}.crust", BOB),
        ):
            found = find_host(host, 80, DIRECTORY)
            self.assertEqual((found.peer, found.protocols), (peer, ("web", "http", "80")))
        self.assertEqual(find_host("home.crust", 22, DIRECTORY).protocols, ("ssh", "22"))
        self.assertEqual(find_host("home.crust", 8443, DIRECTORY).protocols, ("8443",))

    def test_first_part_of_a_host_may_be_the_protocol(self) -> None:
        for host, peer, protocol in (
            ("web.home.crust", ALICE, "web"),
            ("db.my.office.crust", BOB, "db"),
            ("v1.api.home.crust", ALICE, "v1.api"),
        ):
            found = find_host(host, 443, DIRECTORY)
            self.assertEqual((found.peer, found.protocols), (peer, (protocol,)))

    def refused(self, host: str) -> HostRefused:
        return self.assertRaises(HostRefused, find_host, host, 80, DIRECTORY)

    def test_hosts_of_others_are_refused(self) -> None:
        for host in ("example.com", "crust", ".crust", "home.crust.example.com", "homecrust", "", "x" * 300):
            error = self.refused(host)
            self.assertEqual(error.problem, HostProblem.FOREIGN, host)
            self.assertIn("is not of this network", str(error))

    def test_addresses_are_refused_however_they_are_written(self) -> None:
        for host in ("127.0.0.1", "[::1]", "fe80::1%eth0", "2130706433", "127.1", "0x7f.1"):
            error = self.refused(host)
            self.assertEqual(error.problem, HostProblem.FOREIGN, host)
            self.assertIn("is an address, and this proxy knows peers by name", str(error))

    def test_unknown_and_ambiguous_names_are_refused(self) -> None:
        for host in ("nobody.crust", "twin.crust", "web.nobody.crust", "-.home.crust", "a..crust"):
            self.assertEqual(self.refused(host).problem, HostProblem.UNKNOWN, host)

    def test_nickname_that_was_mistyped_is_named_with_those_like_it(self) -> None:
        for host, meant in (("hone.crust", "'home'"), ("db.my.ofice.crust", "'My.Office'")):
            self.assertIn(f"here: did you mean {meant}? 'routing-crust members'", str(self.refused(host)))
        self.assertIn("known as xyz here: 'routing-crust members'", str(self.refused("xyz.crust")))

    def test_host_that_is_found_is_compared_with_no_nickname(self) -> None:
        """The comparison takes a tenth of a second where there are thousands."""
        with patch.object(directory, "did_you_mean", self.fail):
            for host in ("db.my.office.crust", f"web.{str(BOB)[:10]}.crust"):
                self.assertEqual(find_host(host, 80, DIRECTORY).peer, BOB)

    def test_host_of_many_parts_is_not_compared_for_each_of_them(self) -> None:
        asked: list[str] = []
        with patch.object(DIRECTORY, "suggestion", lambda text: asked.append(text) or ""):
            self.refused(f"{'x.' * 100}crust")
        self.assertEqual(len(asked), MAX_COMPARED)

"""Contacts by name, resolved by a name server in memory."""

from __future__ import annotations

from random import Random

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.crust.resolving import contact_resolver as module
from routing_crust.crust.resolving.contact_resolver import ContactResolver
from routing_crust.crust.resolving.name_servers import NotResolved, Record, RecordKind
from routing_crust.endpoints import Contact, Endpoint
from routing_crust.hosts.contacts import NamedContact
from routing_crust.testing.memory.name_servers import SERVER, MemoryNameServers

from ..addresses import at, name

HOME = NamedContact("home.example.org", 5483, name(1))
DOMAIN = NamedContact("example.org", 0)
SRV = ("_routing-crust._tcp.example.org", RecordKind.SRV)
TXT = ("_routing-crust._tcp.example.org", RecordKind.TXT)


class ContactResolverTests(SynchronousTestCase):
    own: tuple[Endpoint, ...] = ()

    def setUp(self) -> None:
        self.servers = MemoryNameServers()
        self.resolver = ContactResolver(self.servers, Random(1), lambda: self.own)
        self.found: list[Contact] = []

    def resolve(self, contact: NamedContact = HOME) -> Deferred[None]:
        self.found.clear()
        return self.resolver.resolve(contact, self.found.extend)

    def problem(self, contact: NamedContact = HOME) -> str:
        return str(self.failureResultOf(self.resolve(contact), NotResolved).value)

    def test_all_addresses_of_both_families_are_found(self) -> None:
        self.servers.set(HOME.host, "192.0.2.1", "192.0.2.2", "2001:db8::1")
        self.successResultOf(self.resolve())
        wanted = [
            Contact(at(each), name(1)) for each in ("[2001:db8::1]:5483", "192.0.2.1:5483", "192.0.2.2:5483")
        ]
        self.assertEqual(self.found, wanted)
        self.assertEqual(self.resolver.addresses((HOME,)), tuple(wanted))
        self.assertEqual(self.resolver.came_by(at("192.0.2.2:5483")), HOME)

    def test_silence_about_one_family_does_not_hold_up_the_other(self) -> None:
        self.servers.set(HOME.host, "192.0.2.1")
        self.servers.records[HOME.host, RecordKind.AAAA] = None
        resolving = self.resolve()
        self.assertEqual([each.endpoint for each in self.found], [at("192.0.2.1:5483")])
        self.assertNoResult(resolving)
        resolving.cancel()
        self.failureResultOf(resolving, CancelledError)

    def test_name_is_asked_for_each_time_and_the_last_answer_counts(self) -> None:
        self.servers.set(HOME.host, "192.0.2.1")
        self.successResultOf(self.resolve())
        self.servers.set(HOME.host, "192.0.2.9")
        self.successResultOf(self.resolve())
        self.assertEqual([each.endpoint for each in self.resolver.addresses((HOME,))], [at("192.0.2.9:5483")])

    def test_failure_names_the_name_and_the_server(self) -> None:
        self.assertEqual(self.problem(), f"home.example.org: {SERVER} does not know this name")
        self.assertEqual(self.resolver.problem_with(HOME), self.problem())
        self.servers.set(HOME.host)
        self.assertEqual(self.problem(), f"home.example.org: it has no address ({SERVER})")

    def test_last_addresses_are_kept_while_the_name_is_not_resolved(self) -> None:
        self.servers.set(HOME.host, "192.0.2.1")
        self.successResultOf(self.resolve())
        self.servers.records.clear()
        self.problem()
        self.assertEqual([each.endpoint for each in self.resolver.addresses((HOME,))], [at("192.0.2.1:5483")])
        self.servers.set(HOME.host, "192.0.2.1")
        self.successResultOf(self.resolve())
        self.assertEqual(self.resolver.problem_with(HOME), "")

    def test_addresses_are_judged_as_those_that_a_stranger_gave(self) -> None:
        """A private one may be dialled: home networks have names of their own."""
        self.own = (at("192.0.2.5:5483"),)
        for address in (
            "127.0.0.1",
            "::1",
            "169.254.169.254",
            "fe80::1",
            "224.0.0.1",
            "0.0.0.0",
            "192.0.2.5",
        ):
            self.servers.set(HOME.host, address, "10.0.0.7")
            self.successResultOf(self.resolve())
            self.assertEqual([each.endpoint for each in self.found], [at("10.0.0.7:5483")], address)
            self.servers.set(HOME.host, address)
            self.assertIn(f"home.example.org: {SERVER} says {address}: not dialled", self.problem())

    def test_node_that_listens_on_loopback_dials_it(self) -> None:
        self.own = (at("127.0.0.1:5483"),)
        self.servers.set(HOME.host, "127.0.0.1")
        self.problem()
        self.successResultOf(self.resolve(NamedContact(HOME.host, 5484)))

    def test_localhost_is_this_machine_and_no_server_is_asked(self) -> None:
        for host in ("localhost", "node.localhost"):
            self.successResultOf(self.resolve(NamedContact(host, 22)))
            self.assertEqual([each.endpoint for each in self.found], [at("[::1]:22"), at("127.0.0.1:22")])
        self.assertEqual(self.servers.asked, [])

    def test_number_of_addresses_is_bounded(self) -> None:
        self.servers.set(HOME.host, *(f"192.0.2.{number}" for number in range(1, 200)))
        self.successResultOf(self.resolve())
        self.assertEqual(len(self.found), module.MAX_ADDRESSES_OF_HOST)

    def test_domain_names_hosts_in_order_and_who_must_answer_there(self) -> None:
        self.servers.records[SRV] = (
            Record("second.example.org", 5484, priority=20),
            Record("first.example.org", 5483, priority=10),
        )
        self.servers.records[TXT] = (
            Record("v=spf1 -all"),
            Record(f"{name(1)}@first.example.org:5483"),
            Record(f"{name(3)}@192.0.2.3:5483"),
        )
        self.servers.set("first.example.org", "192.0.2.1")
        self.servers.set("second.example.org", "192.0.2.2")
        self.successResultOf(self.resolve(DOMAIN))
        self.assertEqual(
            self.found,
            [
                Contact(at("192.0.2.1:5483"), name(1)),
                Contact(at("192.0.2.2:5484")),
                Contact(at("192.0.2.3:5483"), name(3)),
            ],
        )
        self.assertEqual(self.resolver.came_by(at("192.0.2.1:5483")), DOMAIN)

    def test_heavier_hosts_of_one_priority_come_first_more_often(self) -> None:
        self.servers.records[SRV] = (
            Record("light.example.org", 1, weight=1),
            Record("heavy.example.org", 2, weight=9),
        )
        self.servers.set("light.example.org", "192.0.2.1")
        self.servers.set("heavy.example.org", "192.0.2.2")
        first = []
        for _ in range(100):
            self.successResultOf(self.resolve(DOMAIN))
            first.append(self.found[0].endpoint.port)
        self.assertGreater(first.count(2), 70)
        self.assertGreater(first.count(1), 0)

    def test_domain_without_records_says_so(self) -> None:
        self.servers.records[SRV] = (Record("", 0),)
        self.assertIn("_routing-crust._tcp.example.org: it has no SRV or TXT record", self.problem(DOMAIN))

    def test_number_of_hosts_of_a_domain_is_bounded(self) -> None:
        self.servers.records[SRV] = tuple(Record(f"h{number}.example.org", 1) for number in range(500))
        self.problem(DOMAIN)
        hosts = {asked for asked, kind in self.servers.asked if kind is RecordKind.A}
        self.assertEqual(len(hosts), module.MAX_HOSTS_OF_DOMAIN)

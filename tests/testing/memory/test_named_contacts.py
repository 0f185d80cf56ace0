"""The network in memory: contacts by host name."""

from __future__ import annotations

from typing import Any

from routing_crust.crust.resolving.name_servers import RecordKind
from routing_crust.endpoints import Contact, Endpoint
from routing_crust.hosts.contacts import NamedContact
from routing_crust.testing.memory.crust import MemoryCrust

from .memory_case import ANYWHERE, MemoryTestCase


class NamedContactTests(MemoryTestCase):
    def named(self, crust: MemoryCrust, host: str = "home.example.org", *more: str) -> NamedContact:
        endpoint = crust.endpoints[0]
        self.network.name_servers.set(host, *more, endpoint.host)
        return NamedContact(host, endpoint.port, crust.identity.name)

    def joiner(self, *contacts: Any) -> MemoryCrust:
        crust = self.crust(contacts=contacts)
        crust.bootstrap()
        return crust

    def finished(self, crust: MemoryCrust) -> list[tuple[int, str]]:
        return [(links, problem) for links, problem in self.recorders[crust].of("finished")]

    def test_contact_by_name_is_dialled_at_its_address(self) -> None:
        other = self.crust()
        one = self.joiner(self.named(other))
        self.network.settle(1)
        self.assertEqual([each.peer for each in one.links], [other.identity.name])
        self.assertEqual(one.configured_contacts(), (Contact(other.endpoints[0], other.identity.name),))
        self.assertTrue(one.is_known(other.endpoints[0], other.identity.name))
        (told,) = one.history.of(other.identity.name).told
        self.assertIn("home.example.org", told.source)

    def test_all_addresses_of_a_name_are_raced(self) -> None:
        """One that is silent costs the step of the stagger, not the time of a dial."""
        other = self.crust()
        named = self.named(other, "home.example.org", "198.51.100.77")
        self.network.crash(self.crust(endpoints=(Endpoint("198.51.100.77", named.port),)), silently=True)
        one = self.joiner(named)
        self.network.settle(0.5)
        self.assertEqual([each.peer for each in one.links], [other.identity.name])

    def test_silent_name_server_holds_up_no_other_contact(self) -> None:
        other = self.crust()
        for kind in (RecordKind.A, RecordKind.AAAA):
            self.network.name_servers.records["silent.example.org", kind] = None
        one = self.joiner(
            NamedContact("silent.example.org", 5483), Contact(other.endpoints[0], other.identity.name)
        )
        self.network.settle(1)
        self.assertEqual([each.peer for each in one.links], [other.identity.name])

    def test_attempt_waits_for_names_and_tells_why_they_are_of_no_use(self) -> None:
        self.network.name_servers.records["silent.example.org", RecordKind.A] = None
        one = self.joiner(
            NamedContact("silent.example.org", 5483),
            NamedContact("gone.example.org", 5483),
            Contact(ANYWHERE[0]),
        )
        self.network.settle(20)
        self.assertEqual(self.finished(one), [])
        self.network.name_servers.stop()
        self.network.settle(1)
        ((links, problem),) = self.finished(one)
        self.assertEqual(links, 0)
        self.assertIn("gone.example.org: the name server of this network does not know this name", problem)
        self.assertIn("no route to this address", problem)

    def test_name_is_asked_for_again_at_the_next_attempt(self) -> None:
        other = self.crust()
        named = NamedContact("home.example.org", other.endpoints[0].port, other.identity.name)
        one = self.joiner(named)
        self.network.settle(1)
        self.assertEqual(len(self.finished(one)), 1)
        self.named(other)
        one.bootstrap()
        self.network.settle(1)
        self.assertEqual([each.peer for each in one.links], [other.identity.name])

    def test_name_that_answers_at_an_address_must_be_the_contacts(self) -> None:
        other, stranger = self.crust(), self.crust()
        named = NamedContact("home.example.org", other.endpoints[0].port, stranger.identity.name)
        self.network.name_servers.set("home.example.org", other.endpoints[0].host)
        one = self.joiner(named)
        self.network.settle(1)
        ((links, problem),) = self.finished(one)
        self.assertEqual(links, 0)
        self.assertIn("answered instead of", problem)

    def test_stopping_calls_off_what_is_asked(self) -> None:
        self.network.name_servers.records["silent.example.org", RecordKind.A] = None
        one = self.joiner(NamedContact("silent.example.org", 5483))
        stopped = one.stop()
        self.network.settle(1)
        self.successResultOf(stopped)
        self.assertEqual(self.network.name_servers.waiting, 0)

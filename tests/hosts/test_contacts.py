"""Contacts by name, and host names: texts and values."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import Settings
from routing_crust.endpoints import Contact, Endpoint
from routing_crust.errors import ConfigurationError, InvalidEndpoint
from routing_crust.hosts.contacts import NamedContact, contact_from_text
from routing_crust.hosts.host_names import host_name
from routing_crust.names import Name

from ..strategies import contacts, names, ports

NAME = Name(bytes(32))
LABELS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
HOSTS = st.lists(LABELS, max_size=4).flatmap(
    lambda labels: st.sampled_from(("org", "example", "lan", "localhost")).map(
        lambda last: ".".join((*labels, last))
    )
)
NAMED = st.builds(NamedContact, HOSTS, ports, st.none() | names) | st.builds(NamedContact, HOSTS, st.just(0))


class ContactTextTests(SynchronousTestCase):
    def test_host_name_with_and_without_the_name_of_a_node(self) -> None:
        self.assertEqual(contact_from_text(" home.example.org:5483 "), NamedContact("home.example.org", 5483))
        self.assertEqual(contact_from_text(f"{NAME}@nas:22"), NamedContact("nas", 22, NAME))

    def test_domain_stands_for_the_nodes_that_it_names(self) -> None:
        contact = contact_from_text("dns:Example.org.")
        self.assertEqual(contact, NamedContact("example.org", 0))
        self.assertEqual(str(contact), "dns:example.org")

    def test_address_stays_one(self) -> None:
        for text in ("192.0.2.1:5483", "[2001:db8::1]:5483", "[fe80::1%eth0]:5483"):
            self.assertEqual(contact_from_text(text), Contact(Endpoint.from_text(text)))

    def test_other_letters_are_asked_for_as_name_servers_know_them(self) -> None:
        for text in ("Bücher.example:5483", "xn--bcher-kva.example:5483", "b\u00fccher。example:5483"):
            self.assertEqual(contact_from_text(text), NamedContact("xn--bcher-kva.example", 5483))

    def test_errors_say_what_is_wrong(self) -> None:
        for text, problem in (
            ("home.example.org", "write host:port"),
            ("home.example.org:", "write host:port"),
            ("home.example.org:ssh", "write host:port"),
            ("home.example.org:0", "ports go from 1 to 65535"),
            ("home.example.org:65536", "ports go from 1 to 65535"),
            ("me@home.example.org:1", "a name has"),
            (f"{NAME}@dns:example.org", "leave out"),
            ("dns:", "not a host name"),
            ("dns:example.org:5483", "not a host name"),
            ("home..org:1", "not a host name"),
            ("-home.org:1", "not a host name"),
            (f"{'a' * 64}.org:1", "not a host name"),
            (f"{'a.' * 130}org:1", "at most 253"),
            ("host.7:1", "neither an IP address nor a host name"),
            ("192.0.2.300:1", "not an IP address"),
            ("192.0.2.1", "write address:port"),
            ("\u2603\u200b.example:1", "not a host name"),
        ):
            with self.assertRaises(InvalidEndpoint) as raised:
                contact_from_text(text)
            self.assertIn(problem, str(raised.exception))
            self.assertIn(repr(text), str(raised.exception))

    @given(contacts | NAMED)
    def test_text_of_a_contact_reads_as_the_same_contact(self, contact: Contact | NamedContact) -> None:
        self.assertEqual(contact_from_text(str(contact)), contact)

    @given(st.text(max_size=40))
    def test_any_text_is_a_host_name_of_ours_or_an_error(self, text: str) -> None:
        try:
            name = host_name(text)
        except InvalidEndpoint:
            return
        self.assertEqual(host_name(name), name)


class SettingsTests(SynchronousTestCase):
    def test_contacts_of_settings_may_be_names(self) -> None:
        settings = Settings.from_text(
            nicknames=[f"home={NAME}"], contacts=["home@home.example.org:5483", "dns:example.org"]
        )
        self.assertEqual(
            settings.contacts,
            (NamedContact("home.example.org", 5483, NAME), NamedContact("example.org", 0)),
        )

    def test_nothing_else_may_stand_there(self) -> None:
        with self.assertRaisesRegex(ConfigurationError, "contacts"):
            Settings(contacts=("home.example.org:5483",))  # type: ignore[arg-type]

"""Endpoints, contacts, and what may be dialled for a stranger."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.addresses import Kind, kind_of
from routing_crust.endpoints import (
    Connection,
    Contact,
    Endpoint,
    PrivateDialling,
    Protocol,
    is_local_only,
    refusal_to_dial,
)
from routing_crust.errors import InvalidEndpoint
from routing_crust.identity import Identity
from tests.strategies import addresses, contacts, endpoints, ports, v4_addresses

NAME = Identity.from_seed(bytes(32)).name
OWN = (Endpoint("192.168.1.5", 5483), Endpoint("198.18.7.7", 5483))
ON_LINK = ("192.168.1.0/24", "fd12:3456::/64")

# Never dialled for a stranger, whatever the settings are, by a node that is on a real network.
NEVER = """
    127.0.0.1 127.0.0.53 127.1.2.3 127.255.255.255 ::1 0:0:0:0:0:0:0:1
    0000:0000:0000:0000:0000:0000:0000:0001 0.0.0.0 0.0.0.1 0.1.2.3 0.255.255.255 :: 169.254.0.1
    169.254.169.254 169.254.170.2 169.254.169.123 169.254.255.255 100.100.100.200 192.0.0.192
    168.63.129.16 fd00:ec2::254 fd00:ec2::23 fd00:ec2::253 FD00:0EC2:0::0254 fd20:ce::254 fd00:42::42
    fe80::1 fe80::1%eth0 fe80::a9fe:a9fe%1 febf:ffff::1 fec0::1 feff::1 224.0.0.1 224.0.0.251
    239.255.255.250 232.1.1.1 ff02::1 ff02::fb ff05::2 ff0e::1 255.255.255.255 240.0.0.1 250.1.2.3
    192.0.0.1 192.0.0.8 192.0.0.170 192.88.99.1 ::ffff:127.0.0.1 ::ffff:7f00:1 ::FFFF:127.0.0.1
    0:0:0:0:0:ffff:127.0.0.1 ::ffff:169.254.169.254 ::ffff:a9fe:a9fe ::ffff:0.0.0.0 ::ffff:224.0.0.1
    ::ffff:255.255.255.255 ::ffff:100.100.100.200 ::ffff:0:127.0.0.1 ::ffff:0:8.8.8.8 ::127.0.0.1 ::7f00:1
    ::8.8.8.8 ::169.254.169.254 ::2 2002:7f00:1:: 2002:7f00:0001::1 2002:a9fe:a9fe:: 2002:c0a8:101::1
    2002:808:808::1 64:ff9b::127.0.0.1 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 64:ff9b::8.8.8.8 64:ff9b:1::1
    64:ff9b:1:7f00:0:1:: 2001:0:7f00:1::1 2001::1 2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:10::1
    2001:20::1 2001:1::1 100::1 5f00::1 400::1 4000::1 8000::1 c000::1 e000::1 f000::1 fe00::1
""".split()  # noqa: SIM905
# Spellings that some resolvers take for an address, and this package does not.
NOT_ADDRESSES = """
    0x7f000001 0x7f.0.0.1 0x7f.1 017700000001 0177.0.0.1 0177.1 127.1 127.0.1 2130706433 127.0.0.01
    127.000.000.001 127.0.0.1. 127.0.0.0x1 0 localhost localhost. metadata.google.internal ::ffff:0x7f.1
    ::ffff:127.1 fe80::1% ::1%eth0 ::1%0 2001:db8::1%eth0 ::ffff:127.0.0.1%1 [::1] 127.0.0.1/8 ①27.0.0.1
    १२७.0.0.1 127。0。0。1 -127.0.0.1 fe80::1%eth/0 fe80::1%a@b fe80::1%sixteencharacters
""".split()  # noqa: SIM905
PRIVATE = """
    10.0.0.1 10.255.255.255 172.16.0.1 172.31.255.255 192.168.0.1 100.64.0.1 100.127.255.255 fc00::1
    fd99::1 ::ffff:10.0.0.1 ::ffff:192.168.0.1 192.0.2.1 198.51.100.1 203.0.113.1 198.18.0.1
    198.19.255.255 2001:db8::1 3fff::1 2001:2::1
""".split()  # noqa: SIM905
GLOBAL = """
    1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.1 100.63.255.255 100.128.0.1 126.255.255.255 128.0.0.1
    169.253.255.255 169.255.0.1 172.15.255.255 172.32.0.1 191.255.255.255 192.0.1.1 192.0.3.1
    192.167.255.255 192.169.0.1 198.17.255.255 198.20.0.1 223.255.255.255 2a00::1 2001:4860:4860::8888
    2003::1 2600::1 3ffe::1 ::ffff:8.8.8.8
""".split()  # noqa: SIM905


def refusal(
    host: str,
    private: PrivateDialling = PrivateDialling.ALWAYS,
    own: tuple[Endpoint, ...] = OWN,
    port: int = 5483,
    on_link: tuple[str, ...] = ON_LINK,
) -> str | None:
    return refusal_to_dial(Endpoint.of(host, port), private, own, on_link)


class EndpointTests(SynchronousTestCase):
    @given(endpoints)
    def test_endpoint_reads_back_from_its_text(self, endpoint: Endpoint) -> None:
        """The text form of an endpoint means that endpoint again."""
        self.assertEqual(Endpoint.from_text(str(endpoint)), endpoint)
        self.assertEqual(Endpoint.of(endpoint.host, endpoint.port), endpoint)
        self.assertEqual(endpoint.is_v6, endpoint.address.version == 6)

    @given(addresses, ports)
    def test_every_spelling_of_an_address_gives_the_same_endpoint(self, address: object, port: int) -> None:
        """However an address is written, the endpoint is the same; IPv4 is never wrapped in IPv6."""
        plain = Endpoint.of(str(address), port)
        self.assertEqual(Endpoint.of(str(address).upper(), port), plain)
        self.assertEqual(Endpoint.of(getattr(address, "exploded"), port), plain)  # noqa: B009
        self.assertFalse(plain.host.startswith("::ffff:") and "." in plain.host)

    @given(v4_addresses, ports)
    def test_ipv4_mapped_ipv6_address_becomes_the_ipv4_address(self, address: object, port: int) -> None:
        self.assertEqual(Endpoint.of(f"::ffff:{address}", port), Endpoint(str(address), port))

    @given(st.text(max_size=30) | st.text("0123456789abf:.[]%@x ", max_size=30))
    def test_any_text_is_an_endpoint_that_reads_back_or_is_refused(self, text: str) -> None:
        """A text is an endpoint whose own text is read back, or InvalidEndpoint; nothing else."""
        self.read_or_refused(Endpoint.from_text, text)
        self.read_or_refused(Contact.from_text, text)

    def read_or_refused(self, read: Callable[[str], Endpoint | Contact], text: str) -> None:
        try:
            value = read(text)
        except InvalidEndpoint as error:
            self.assertTrue(str(error))
        else:
            self.assertEqual(read(str(value)), value)

    def test_documented_forms_are_read_with_blanks_around_them(self) -> None:
        for text, host, port in (
            ("192.0.2.1:5483", "192.0.2.1", 5483),
            (" 192.0.2.1:5483\n", "192.0.2.1", 5483),
            ("[2001:db8::1]:5483", "2001:db8::1", 5483),
            ("[2001:DB8:0:0::0001]:1", "2001:db8::1", 1),
            ("[fe80::1%eth0]:65535", "fe80::1%eth0", 65535),
            ("0.0.0.0:0", "0.0.0.0", 0),
            ("[::ffff:192.0.2.1]:5", "192.0.2.1", 5),
        ):
            self.assertEqual(Endpoint.from_text(text), Endpoint(host, port))

    def test_bad_text_is_refused_with_the_reason(self) -> None:
        for text, complaint in (
            ("", "write address:port"),
            ("192.0.2.1", "write address:port"),
            ("192.0.2.1:", "write address:port"),
            ("192.0.2.1:http", "write address:port"),
            ("192.0.2.1:+80", "write address:port"),
            ("192.0.2.1:-1", "write address:port"),
            ("192.0.2.1: 80", "write address:port"),
            ("192.0.2.1:8_0", "write address:port"),
            ("192.0.2.1:٨٠", "write address:port"),
            ("192.0.2.1:" + "9" * 5000, "write address:port"),
            ("192.0.2.1:65536", "65536 is not a port"),
            ("2001:db8::1:5483", "[brackets]"),
            ("[2001:db8::1:5483", "[brackets]"),
            (":80", "not an IP address"),
            ("[]:80", "not an IP address"),
            ("example.com:80", "not an IP address"),
            ("[fe80::1%a\nb]:80", "only a link-local one has a zone"),
            ("[::1%lo]:80", "only a link-local one has a zone"),
        ):
            error = self.assertRaises(InvalidEndpoint, Endpoint.from_text, text)
            self.assertIn(complaint, str(error))

    def test_port_out_of_range_is_refused(self) -> None:
        for port in (-1, 65536, 2**40):
            self.assertRaises(InvalidEndpoint, Endpoint.of, "192.0.2.1", port)

    def test_prefix_is_a_24_for_ipv4_and_a_48_for_ipv6_without_a_zone(self) -> None:
        """What per-prefix limits count by: a /24 or a /48, without a zone."""
        for host, prefix in (
            ("192.0.2.77", "192.0.2.0/24"),
            ("2001:db8:1:2::3", "2001:db8:1::/48"),
            ("fe80::1%eth0", "fe80::/48"),
            ("::ffff:192.0.2.77", "192.0.2.0/24"),
        ):
            self.assertEqual(Endpoint.of(host, 1).prefix, prefix)

    def test_connection_shows_its_transport_and_both_ends(self) -> None:
        here, there = Endpoint("192.0.2.1", 1), Endpoint("2001:db8::1", 2)
        self.assertEqual(str(Connection(Protocol.TCP, there, here)), "tcp 192.0.2.1:1 - [2001:db8::1]:2")


class ContactTests(SynchronousTestCase):
    @given(contacts.filter(lambda each: each.endpoint.port > 0))
    def test_contact_reads_back_from_its_text(self, contact: Contact) -> None:
        """The text form of a contact means that contact again."""
        self.assertEqual(Contact.from_text(str(contact)), contact)

    def test_contact_may_lack_a_name(self) -> None:
        """The name is before the @, if it is known."""
        endpoint = Endpoint("192.0.2.1", 5483)
        self.assertEqual(Contact.from_text("192.0.2.1:5483"), Contact(endpoint))
        self.assertEqual(Contact.from_text(f"{NAME}@192.0.2.1:5483"), Contact(endpoint, NAME))

    def test_contact_that_cannot_be_dialled_is_refused_with_text_and_reason(self) -> None:
        for text, complaint in (
            ("@192.0.2.1:5483", "52 characters"),
            ("bob@192.0.2.1:5483", "52 characters"),
            (f"{NAME}@", "write address:port"),
            (f"{NAME}@{NAME}@192.0.2.1:1", "52 characters"),
            ("192.0.2.1:0", "port 0"),
            ("0.0.0.0:80", "no single node"),
            ("[::]:80", "no single node"),
            ("224.0.0.1:80", "no single node"),
            ("[ff02::1]:80", "no single node"),
        ):
            error = self.assertRaises(InvalidEndpoint, Contact.from_text, text)
            self.assertIn(complaint, str(error))
            self.assertIn(repr(text), str(error))


class RefusalTests(SynchronousTestCase):
    """What a stranger may make us dial."""

    def test_lists_are_long_enough(self) -> None:
        """Sixty spellings at the least, all different."""
        self.assertGreater(len(set(NEVER)), 60)
        self.assertEqual(len(set(NEVER)), len(NEVER))

    def test_unsafe_address_is_refused_under_every_setting(self) -> None:
        """These are refused with a reason under every setting, even on a network that claims to be theirs."""
        for host in NEVER:
            for private in PrivateDialling:
                for on_link in (ON_LINK, ("0.0.0.0/0", "::/0"), ()):
                    self.assertIsNotNone(refusal(host, private, on_link=on_link), host)

    def test_octal_hexadecimal_and_short_forms_never_become_an_endpoint(self) -> None:
        for text in NOT_ADDRESSES:
            self.assertRaises(InvalidEndpoint, Endpoint.of, text, 5483)

    def test_endpoint_that_wraps_ipv4_by_hand_is_refused(self) -> None:
        """An endpoint that somebody made without reading the text is judged the same."""
        for host in ("::ffff:127.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1"):
            wrapped = Endpoint(host, 5483)
            self.assertEqual(
                refusal_to_dial(wrapped, PrivateDialling.ALWAYS, OWN), "an IPv4 address is hidden in it"
            )

    @given(v4_addresses)
    def test_no_ipv4_address_is_dialled_through_a_translator_or_tunnel(self, address: object) -> None:
        """No IPv4 address is reached through a translator or tunnel that a stranger chose."""
        packed = getattr(address, "packed").hex()  # noqa: B009
        high, low = packed[:4], packed[4:]
        for host in (
            f"2002:{high}:{low}::1",
            f"64:ff9b::{high}:{low}",
            f"64:ff9b:1::{high}:{low}",
            f"2001:0:{high}:{low}::1",
            f"::ffff:0:{high}:{low}",
            f"::{high}:{low}",
        ):
            self.assertIsNotNone(refusal(host), host)
        self.assertEqual(refusal(f"::ffff:{address}"), refusal(str(address)))

    def test_global_addresses_next_to_refused_ranges_are_dialled(self) -> None:
        """Addresses on the internet, and the neighbours of every refused range, are dialled."""
        for host in GLOBAL:
            self.assertIsNone(refusal(host, PrivateDialling.NEVER), host)
            self.assertFalse(is_local_only(Endpoint.of(host, 1)), host)

    def test_private_addresses_follow_the_setting(self) -> None:
        for host in PRIVATE:
            self.assertIsNone(refusal(host, PrivateDialling.ALWAYS), host)
            self.assertIn("never", refusal(host, PrivateDialling.NEVER) or "", host)
            self.assertTrue(is_local_only(Endpoint.of(host, 1)), host)

    def test_private_addresses_are_dialled_by_default_only_on_our_own_networks(self) -> None:
        """By default only those in a network that an own interface is in; the same rule for both versions."""
        private = PrivateDialling.ON_LINK
        self.assertIsNone(refusal("192.168.1.77", private))
        self.assertIsNone(refusal("fd12:3456::9", private))
        self.assertIn("not in", refusal("192.168.2.77", private) or "")
        self.assertIn("not in", refusal("fd12:3457::9", private) or "")
        self.assertIn("not in", refusal("192.168.1.77", private, on_link=()) or "")
        self.assertIsNone(refusal("192.168.1.77", private, on_link=("192.168.1.5/24",)))

    def test_global_needs_no_interface(self) -> None:
        """Being on a global network says nothing about other global addresses."""
        self.assertIsNone(refusal("8.8.8.8", PrivateDialling.ON_LINK, on_link=("1.1.1.0/24",)))

    def test_loopback_is_dialled_only_by_a_node_that_listens_on_nothing_else(self) -> None:
        """Only a node that listens on nothing but loopback dials loopback: a test network on one machine."""
        here = (Endpoint("127.0.0.1", 4000), Endpoint("::1", 4000))
        for host in ("127.0.0.1", "127.0.0.2", "::1", "::ffff:127.0.0.1"):
            for private in PrivateDialling:
                self.assertIsNone(refusal(host, private, here))
                self.assertIsNotNone(refusal(host, private, ()))
                self.assertIsNotNone(refusal(host, private, (*here, OWN[0])))
                self.assertIsNotNone(refusal(host, private, (Endpoint("0.0.0.0", 4000),)))

    def test_own_listening_address_is_never_dialled_in_any_spelling(self) -> None:
        self.assertEqual(refusal("192.168.1.5"), "it is our own address")
        self.assertEqual(refusal("::ffff:192.168.1.5"), "it is our own address")
        self.assertIsNone(refusal("192.168.1.5", port=5484))
        here = (Endpoint("127.0.0.1", 5483),)
        self.assertEqual(refusal("127.0.0.1", own=here), "it is our own address")

    def test_own_host_is_dialled_on_no_port(self) -> None:
        """Otherwise a stranger could have us probe our own services; a private network may allow it."""
        hosts = ("192.168.1.5", "8.8.8.8", "fd00::5")
        for host in hosts:
            endpoint = Endpoint.of(host, 5484)
            for private in (PrivateDialling.ON_LINK, PrivateDialling.NEVER):
                problem = refusal_to_dial(endpoint, private, OWN, ON_LINK, hosts)
                self.assertEqual(problem, "it is another port of our own address")
            self.assertIsNone(refusal_to_dial(endpoint, PrivateDialling.ALWAYS, OWN, ON_LINK, hosts))

    def test_low_ports_from_strangers_are_refused(self) -> None:
        """No stranger makes us knock at mail servers and the like."""
        for port in (1, 22, 25, 80, 443, 1023):
            self.assertIn("1024", refusal("8.8.8.8", port=port) or "")
        for port in (1024, 65535):
            self.assertIsNone(refusal("8.8.8.8", port=port))
        self.assertIsNotNone(refusal_to_dial(Endpoint("8.8.8.8", 0), PrivateDialling.ALWAYS, ()))

    @given(addresses)
    def test_agrees_with_the_standard_library(self, address: object) -> None:
        """Nothing is called global that the standard library knows not to be."""
        endpoint = Endpoint.of(str(address), 5483)
        if kind_of(endpoint.address) is Kind.GLOBAL:
            std = endpoint.address
            self.assertTrue(std.is_global and not std.is_multicast and not std.is_reserved)
        self.assertEqual(is_local_only(endpoint), kind_of(endpoint.address) is not Kind.GLOBAL)

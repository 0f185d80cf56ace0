"""Interfaces as places to listen: what is one, and what is said of what is none."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import Settings
from routing_crust.errors import ConfigurationError, InvalidEndpoint
from routing_crust.hosts.interfaces import InterfacePort
from routing_crust.parsing import parse_listen

from ..crust.addresses import at


class ParsingTests(SynchronousTestCase):
    def test_name_of_an_interface_is_a_place_to_listen(self) -> None:
        for text in ("eth0:5483", "wg-home:1", "eth0.100:65535", "br_lan:5483"):
            place = parse_listen(text)
            self.assertIsInstance(place, InterfacePort)
            self.assertEqual(str(place), text)
        self.assertEqual(parse_listen("192.0.2.1:5483"), at("192.0.2.1:5483"))
        self.assertEqual(parse_listen("5483"), at("0.0.0.0:5483"))

    def test_host_name_is_refused_with_what_to_write(self) -> None:
        for text in ("localhost:5483", "home.example.org:5483", "my.host:5483"):
            problem = str(self.assertRaises(InvalidEndpoint, parse_listen, text))
            self.assertIn("not a host name, as in 0.0.0.0:5483 or eth0:5483", problem)

    def test_what_is_no_interface_is_refused(self) -> None:
        for text, said in (
            ("eth0:0", "an interface takes a port from 1 to 65535"),
            ("eth0:65536", "an interface takes a port from 1 to 65535"),
            ("a-name-that-is-too-long:5483", "is neither an address nor the name of an interface"),
            ("b\u00fcro:5483", "is neither an address nor the name of an interface"),
        ):
            self.assertIn(said, str(self.assertRaises(InvalidEndpoint, parse_listen, text)), text)

    def test_setting_takes_addresses_and_interfaces(self) -> None:
        settings = Settings.from_text(listen=["eth0:5483", "127.0.0.1:5484"])
        self.assertEqual(settings.listen, (InterfacePort("eth0", 5483), at("127.0.0.1:5484")))
        error = self.assertRaises(ConfigurationError, Settings, listen=("eth0:5483",))
        self.assertIn("is not a tuple of Endpoint or InterfacePort", str(error))

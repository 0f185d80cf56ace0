"""Settings from text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import Role, Settings, TwoWay, setting_fields
from routing_crust.endpoints import Contact, Endpoint, PrivateDialling
from routing_crust.errors import ConfigurationError, InvalidEndpoint
from routing_crust.identity import Identity
from routing_crust.parsing import parse_listen, parse_setting
from tests.strategies import endpoints

FIELDS = {each.name: each for each in setting_fields()}
NAME = Identity.from_seed(bytes(32)).name
toml = st.recursive(
    st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


def parsed(setting: str, raw: Any) -> Any:
    return parse_setting(FIELDS[setting], raw)


class ParseTests(SynchronousTestCase):
    def refused(self, setting: str, raw: Any, complaint: str) -> None:
        error = self.assertRaises(ConfigurationError, parsed, setting, raw)
        self.assertEqual(error.setting, setting)
        self.assertIn(complaint, str(error))

    @given(st.sampled_from(sorted(FIELDS)), toml)
    def test_any_value_of_a_file_makes_settings_or_an_error_that_names_the_setting(
        self, setting: str, raw: Any
    ) -> None:
        try:
            Settings(**{setting: parsed(setting, raw)})
        except ConfigurationError as error:
            self.assertIn(error.setting, FIELDS)

    def test_default_reads_back_from_its_text(self) -> None:
        """The default of every number, written as text, gives the default again."""
        for name, each in FIELDS.items():
            if "low" in each.metadata:
                self.assertEqual(parsed(name, str(each.default)), each.default)
                self.assertEqual(parsed(name, each.default), each.default)

    def test_numbers_are_whole_where_they_must_be_and_the_error_shows_the_range(self) -> None:
        self.assertEqual(parsed("max_links", "12"), 12)
        self.assertEqual(parsed("hello_timeout", "2.5"), 2.5)
        self.assertEqual(parsed("hello_timeout", "2"), 2.0)
        self.refused("max_links", "12.5", "'12.5' is not a whole number; valid is 1 to 65536")
        self.refused("max_links", "", "is not a whole number")
        self.refused("max_links", "9" * 5000, "is not a whole number")
        self.refused("hello_timeout", "ten", "'ten' is not a number; valid is 0.5 to 120 s")

    def test_usual_words_for_true_and_false_are_read_in_any_case(self) -> None:
        for raw in ("yes", "true", "on", "True", "YES", True):
            self.assertIs(parsed("lan_discovery", raw), True)
        for raw in ("no", "false", "off", "False", "OFF", False):
            self.assertIs(parsed("lan_discovery", raw), False)
        for raw in ("", "1", "maybe", 1, 0, None, ["yes"]):
            self.refused("lan_discovery", raw, "is neither true nor false")

    def test_choice_is_one_of_the_words_and_the_error_lists_them(self) -> None:
        self.assertIs(parsed("role", "client"), Role.CLIENT)
        self.assertIs(parsed("two_way", "required"), TwoWay.REQUIRED)
        self.assertIs(parsed("private_dialling", "on-link"), PrivateDialling.ON_LINK)
        for raw in ("", "Node", "server", 1, True, ["node"], {}):
            self.refused("role", raw, "is not one of node, client, first")

    def test_text_is_taken_as_it_is_and_nothing_else_is_text(self) -> None:
        self.assertEqual(parsed("network", "prod"), "prod")
        for raw in (5, True, ["prod"], None):
            self.refused("network", raw, "is not a text")

    def test_path_may_begin_at_a_home_and_a_bad_one_is_refused_at_once(self) -> None:
        self.assertEqual(parsed("state_dir", "/var/lib/node"), Path("/var/lib/node"))
        self.assertEqual(parsed("state_dir", "~/node"), Path.home() / "node")
        for raw in ("", " ", "a\0b"):
            self.refused("state_dir", raw, "is not a path")
        self.refused("state_dir", "~no-such-user/x", "no such user")
        self.refused("state_dir", 5, "is not a text")

    def test_list_may_be_a_single_text(self) -> None:
        two = (Endpoint("192.0.2.1", 1), Endpoint("::1", 2))
        self.assertEqual(parsed("listen", ["192.0.2.1:1", "[::1]:2"]), two)
        self.assertEqual(parsed("listen", ("192.0.2.1:1", "[::1]:2")), two)
        self.assertEqual(parsed("listen", "192.0.2.1:1"), two[:1])
        self.assertEqual(parsed("listen", []), ())
        self.assertEqual(parsed("external", ["192.0.2.1:1", "[::1]:2"]), two)
        self.assertEqual(
            parsed("contacts", ["192.0.2.1:1", f"{NAME}@[::1]:2"]), (Contact(two[0]), Contact(two[1], NAME))
        )
        self.assertEqual(parsed("allow", ["192.0.2.0/24", str(NAME)]), ("192.0.2.0/24", str(NAME)))
        self.assertEqual(parsed("deny", "192.0.2.0/24"), ("192.0.2.0/24",))
        for setting in ("listen", "external", "contacts", "allow", "deny"):
            for raw in (5, True, None, [5], ["192.0.2.1:1", None], {"a": "b"}):
                self.refused(setting, raw, "is not a list of texts")

    def test_error_inside_a_list_names_the_setting(self) -> None:
        """A bad entry is an error of the setting, with the entry in it."""
        self.refused("listen", ["192.0.2.1:1", "x"], "'x' is not an endpoint")
        self.refused("external", "5483", "'5483' is not an endpoint")
        self.refused("contacts", "192.0.2.1:0", "port 0 cannot be dialled")
        self.refused("contacts", "bob@192.0.2.1:1", "'bob' is not a name")


class ListenTests(SynchronousTestCase):
    def test_host_name_is_no_place_to_listen(self) -> None:
        with self.assertRaisesRegex(InvalidEndpoint, "not a host name, as in 0.0.0.0:5483"):
            parse_listen("home.example.org:5483")

    @given(endpoints)
    def test_any_endpoint_is_read_as_itself_and_in_the_form_of_twisted(self, endpoint: Endpoint) -> None:
        self.assertEqual(parse_listen(str(endpoint)), endpoint)
        quoted = endpoint.host.replace(":", "\\:")
        self.assertEqual(parse_listen(f"tcp:{endpoint.port}:interface={quoted}"), endpoint)

    @given(st.text(max_size=20) | st.text("tcp46:=interfac\\.0", max_size=30))
    def test_any_text_is_an_endpoint_or_is_refused(self, text: str) -> None:
        try:
            self.assertIsInstance(parse_listen(text), Endpoint)
        except InvalidEndpoint as error:
            self.assertTrue(str(error))

    def test_port_alone_means_every_ipv4_address(self) -> None:
        """A port alone means every IPv4 address."""
        for text, host, port in (
            ("5483", "0.0.0.0", 5483),
            (" 5483 ", "0.0.0.0", 5483),
            ("0", "0.0.0.0", 0),
            ("tcp:4001", "0.0.0.0", 4001),
            ("tcp4:4001", "0.0.0.0", 4001),
            ("tcp6:4001", "::", 4001),
            ("tcp:4001:interface=127.0.0.1", "127.0.0.1", 4001),
            ("tcp6:4001:interface=\\:\\:1", "::1", 4001),
            ("127.0.0.1:0", "127.0.0.1", 0),
            ("[::1]:0", "::1", 0),
        ):
            self.assertEqual(parse_listen(text), Endpoint(host, port))

    def test_bad_text_is_refused_with_the_reason(self) -> None:
        for text, complaint in (
            ("", "write address:port"),
            ("65536", "65536 is not a port"),
            ("9" * 5000, "write address:port"),
            ("٤٠", "write address:port"),
            ("localhost:4001", "write an address of this machine"),
            ("tcp:", "tcp:PORT:interface=ADDRESS"),
            ("tcp:http", "tcp:PORT:interface=ADDRESS"),
            ("tcp:99999", "99999 is not a port"),
            ("tcp:" + "9" * 5000, "tcp:PORT:interface=ADDRESS"),
            ("tcp:4001:backlog=50", "tcp:PORT:interface=ADDRESS"),
            ("tcp:4001:interface=", "tcp:PORT:interface=ADDRESS"),
            ("tcp:4001:interface=eth0", "interface write its name before the port, as in eth0:4001"),
            ("tcp:4001:interface=127.0.0.1:backlog=50", "is not an IP address"),
            ("ssl:4001", "write address:port or interface:port"),
            ("udp:4001", "nodes listen for TCP"),
        ):
            error = self.assertRaises(InvalidEndpoint, parse_listen, text)
            self.assertIn(complaint, str(error))

"""
Settings from a TOML file and from the command line: all of them, and what is said of those that are wrong.
"""

from __future__ import annotations

from dataclasses import Field
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import KeyExchange, Role, Settings, TwoWay, setting_fields
from routing_crust.daemon.live.source import SettingsSource
from routing_crust.daemon.settings_file import (
    SETTINGS,
    merge_settings,
    read_settings_file,
)
from routing_crust.endpoints import Contact, Endpoint, PrivateDialling
from routing_crust.errors import ConfigurationError
from routing_crust.forwarding_rules import Exposure, Forward, Nickname, Permission
from routing_crust.hosts.proxies import Proxy
from routing_crust.parsing import MAX_FILE_BYTES, unknown_setting, valid_range

from .fakes import ALICE, temporary_directory

# For each setting that is no number: how it is written in TOML, and what it means.
PLAIN = {
    "network": ('"lab"', "lab"),
    "role": ('"client"', Role.CLIENT),
    "listen": ('["127.0.0.1:6000", "[::1]:0"]', (Endpoint("127.0.0.1", 6000), Endpoint("::1", 0))),
    "external": ('["192.0.2.1:5483"]', (Endpoint("192.0.2.1", 5483),)),
    "contacts": (f'["{ALICE}@127.0.0.1:6000"]', (Contact(Endpoint("127.0.0.1", 6000), ALICE),)),
    "allow": ('["192.0.2.0/24"]', ("192.0.2.0/24",)),
    "deny": (f'["{ALICE}"]', (str(ALICE),)),
    "nicknames": (f'{{ alice = "{ALICE}" }}', (Nickname("alice", ALICE),)),
    "expose": ('["ssh=tcp:h:22"]', (Exposure("ssh", "tcp:h:22"),)),
    "allow_peer": ('{ ssh = ["*"] }\nexpose = { ssh = "tcp:h:22" }', (Permission("ssh", None),)),
    "forward": (f'{{ "tcp:1" = "{ALICE}/ssh" }}', (Forward("tcp:1", ALICE, "ssh"),)),
    "state_dir": ('"/srv/node"', Path("/srv/node")),
    "lan_discovery": ("false", False),
    "port_mapping": ("false", False),
    "port_guessing": ("false", False),
    "two_way": ('"required"', TwoWay.REQUIRED),
    "key_exchange": ('"x25519"', KeyExchange.X25519),
    "private_dialling": ('"never"', PrivateDialling.NEVER),
    "proxy": ('"socks5://127.0.0.1:1080"', Proxy.from_text("socks5://127.0.0.1:1080")),
}


def another_value(each: Field[Any]) -> float:
    """A value near the default of a number, and not the default."""
    value = each.default + 1
    return value if value <= each.metadata["high"] else each.default - 1


class StatusPageTests(SynchronousTestCase):
    """The key of the file that is the daemon's affair."""

    def setUp(self) -> None:
        self.path = temporary_directory(self) / "node.toml"

    def test_page_in_the_file_is_no_setting_of_the_node(self) -> None:
        self.path.write_text('network = "lab"\nstatus_page = "tcp:8053"\n')
        self.assertEqual(read_settings_file(self.path), {"network": "lab"})
        self.assertEqual(SettingsSource(path=self.path).read().status_page, "tcp:8053")

    def test_file_that_wants_no_page(self) -> None:
        self.path.write_text('network = "lab"\n')
        self.assertEqual(SettingsSource(path=self.path).read().status_page, "")

    def test_page_that_is_no_text_is_refused(self) -> None:
        self.path.write_text("status_page = 8053\n")
        error = self.assertRaises(ConfigurationError, SettingsSource(path=self.path).read)
        self.assertEqual(
            str(error), f"status_page: 8053 is not a text, such as 'tcp:8053' (in {self.path}, line 1)"
        )


class SettingsFileTests(SynchronousTestCase):
    """Each test has a file of its own."""

    def setUp(self) -> None:
        self.path = temporary_directory(self) / "node.toml"

    def read(self, text: str) -> Settings:
        self.path.write_text(text, encoding="utf-8")
        return merge_settings({}, read_settings_file(self.path), self.path)

    def refused(self, text: str) -> str:
        return str(self.assertRaises(ConfigurationError, self.read, text))

    def test_an_empty_file_gives_the_defaults(self) -> None:
        self.assertEqual(self.read(""), Settings())

    def test_each_plain_setting_can_be_given(self) -> None:
        plain = {each.name for each in setting_fields() if "low" not in each.metadata}
        self.assertEqual(plain, set(PLAIN))
        for name, (text, value) in PLAIN.items():
            self.assertEqual(getattr(self.read(f"{name} = {text}"), name), value, name)

    def test_each_number_can_be_given(self) -> None:
        for each in setting_fields():
            if "low" in each.metadata:
                value = another_value(each)
                self.assertEqual(getattr(self.read(f"{each.name} = {value}"), each.name), value, each.name)

    def test_a_number_out_of_its_range_is_refused_with_name_range_and_file(self) -> None:
        for each in setting_fields():
            if "low" not in each.metadata:
                continue
            for value in (each.metadata["low"] - 1, each.metadata["high"] + 1):
                said = self.refused(f"{each.name} = {value}")
                self.assertTrue(said.startswith(f"{each.name}: "), said)
                self.assertIn(f"is out of range; valid is {valid_range(each)} (in {self.path}, line 1)", said)

    def test_a_text_for_a_number_is_refused_with_the_range(self) -> None:
        self.assertEqual(
            self.refused('hello_timeout = "soon"'),
            f"hello_timeout: 'soon' is not a number; valid is 0.5 to 120 s (in {self.path}, line 1)",
        )

    def test_an_unknown_key_is_refused_with_the_nearest(self) -> None:
        self.assertEqual(
            self.refused("hello-timeout = 3"),
            f"hello-timeout: there is no such setting; did you mean hello_timeout? (in {self.path}, line 1)",
        )
        self.assertEqual(
            self.refused("zzz = 3"),
            f"zzz: there is no such setting; '--help-settings' lists them all (in {self.path}, line 1)",
        )

    def test_a_table_is_an_unknown_key(self) -> None:
        self.assertIn("there is no such setting", self.refused("[node]\nhello_timeout = 3"))

    def test_the_nearest_name_does_not_depend_on_case(self) -> None:
        self.assertEqual(unknown_setting("LISTN", SETTINGS), "there is no such setting; did you mean listen?")

    def test_a_file_that_is_not_toml_is_refused_with_the_place(self) -> None:
        said = self.refused("listen = [")
        self.assertTrue(said.startswith(f"config: the file {self.path} is not TOML: "), said)

    def test_a_setting_that_stands_there_twice_is_said_so(self) -> None:
        said = self.refused("max_links = 3\nmax_links = 4\n")
        self.assertIn("is not TOML: a setting stands there for the second time (at line 2", said)

    def test_an_error_names_the_line_of_the_entry(self) -> None:
        for text, line in (
            ("# a comment\n\nmax_links = 0\n", 3),
            ('network = "a"\ndeny = [\n    "192.0.2.1",\n    "nonsense",\n]\n', 4),
            ('[nicknames]\na = "nonsense"\n', 2),
            ('network = "a"\n\n[expose]\n"bad name" = "tcp:localhost:22"\n', 4),
            ("\n\n[node]\nx = 1\n", 3),
        ):
            self.assertRegex(self.refused(text), rf"\(in {self.path}, line {line}\)$")

    def test_what_is_for_the_daemon_is_no_setting_and_no_error(self) -> None:
        self.assertEqual(
            self.read('log_level = "warn"\nstatus_page = "tcp:1"\nlog_format = "json"'), Settings()
        )

    def test_a_file_that_is_not_text_is_refused(self) -> None:
        self.path.write_bytes(b"\xff\xfe")
        said = str(self.assertRaises(ConfigurationError, read_settings_file, self.path))
        self.assertEqual(said, f"config: the file {self.path} is not UTF-8 text")

    def test_a_deep_nest_is_refused(self) -> None:
        said = self.refused("listen = " + "[" * 100_000)
        self.assertTrue(said.startswith(f"config: the file {self.path} is not TOML"), said[:200])

    def test_a_file_that_is_not_there_is_refused(self) -> None:
        said = str(self.assertRaises(ConfigurationError, read_settings_file, self.path))
        self.assertEqual(said, f"config: the file {self.path} cannot be read: No such file or directory")

    def test_a_file_without_end_is_not_read_to_its_end(self) -> None:
        said = str(self.assertRaises(ConfigurationError, read_settings_file, Path("/dev/zero")))
        self.assertEqual(said, f"config: the file /dev/zero is longer than {MAX_FILE_BYTES} bytes")


class MergeTests(SynchronousTestCase):
    """What goes before what."""

    def test_the_command_line_goes_before_the_file(self) -> None:
        settings = merge_settings({"network": "a"}, {"network": "b", "two_way": "off"}, Path("f"))
        self.assertEqual((settings.network, settings.two_way), ("a", TwoWay.OFF))

    def test_lists_of_the_command_line_replace_those_of_the_file(self) -> None:
        settings = merge_settings({"deny": ["10.0.0.1"]}, {"deny": ["10.0.0.2", "10.0.0.3"]}, Path("f"))
        self.assertEqual(settings.deny, ("10.0.0.1",))

    def test_an_error_names_the_file_only_if_the_value_is_from_there(self) -> None:
        error = self.assertRaises(
            ConfigurationError, merge_settings, {"group_size": "0"}, {"group_size": 0}, Path("f")
        )
        self.assertEqual(str(error), "group_size: 0 is out of range; valid is 1 to 64")
        error = self.assertRaises(ConfigurationError, merge_settings, {}, {"group_size": 0}, Path("f"))
        self.assertEqual(str(error), "group_size: 0 is out of range; valid is 1 to 64 (in f)")
        self.assertEqual(error.setting, "group_size")

    def test_every_setting_is_known(self) -> None:
        self.assertEqual(list(SETTINGS), [each.name for each in setting_fields()])

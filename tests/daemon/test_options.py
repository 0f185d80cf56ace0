"""
The options of C{twistd routing-node}.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from dataclasses import fields
from pathlib import Path

from twisted.application.service import IService
from twisted.internet import reactor
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from routing_crust import __version__
from routing_crust.config import KeyExchange, Role, Settings, TwoWay, setting_fields
from routing_crust.daemon import plugin
from routing_crust.daemon.demo import DemoService
from routing_crust.daemon.logs import LogFormat, LoggingService, LogStyle
from routing_crust.daemon.node import NodeService
from routing_crust.daemon.option_help import advanced_settings_text, option_name, plain_settings
from routing_crust.daemon.options import Options
from routing_crust.daemon.state_directory import default_state_dir
from routing_crust.endpoints import Contact, Endpoint, PrivateDialling
from routing_crust.errors import ConfigurationError
from routing_crust.forwarding_rules import Exposure, Forward, Nickname, Permission
from routing_crust.hosts.proxies import Proxy
from routing_crust.parsing import valid_range

from .fakes import ALICE, BOB, temporary_directory
from .test_settings_file import another_value

CONTACTS = tuple(Contact(Endpoint("192.0.2.1", 5483), name) for name in (ALICE, BOB))
EXPOSED = (Exposure("ssh", "tcp:h:22"), Exposure("web", "unix:/w"))
# For each plain setting: options that give it, and what it is then.
PLAIN: dict[str, tuple[tuple[str, ...], object]] = {
    "network": (("--network=lab",), "lab"),
    "role": (("--role", "client"), Role.CLIENT),
    "listen": (
        ("--listen", "127.0.0.1:6000", "--listen", "tcp:0:interface=127.0.0.1"),
        (Endpoint("127.0.0.1", 6000), Endpoint("127.0.0.1", 0)),
    ),
    "external": (("--external=192.0.2.1:5483",), (Endpoint("192.0.2.1", 5483),)),
    "contacts": (("--contact", str(CONTACTS[0]), "--contact", str(CONTACTS[1])), CONTACTS),
    "allow": (("--allow", "192.0.2.0/24", "--allow", str(ALICE)), ("192.0.2.0/24", str(ALICE))),
    "deny": (("--deny=192.0.2.7",), ("192.0.2.7",)),
    "nicknames": ((f"--nickname=bob={BOB}",), (Nickname("bob", BOB),)),
    "expose": (("--expose=ssh=tcp:h:22", "--expose=web=unix:/w"), EXPOSED),
    "allow_peer": (
        ("--expose=ssh=tcp:h:22", f"--nickname=bob={BOB}", "--allow-peer=ssh=bob", "--allow-peer", "ssh=*"),
        (Permission("ssh", BOB), Permission("ssh", None)),
    ),
    "forward": ((f"--nickname=bob={BOB}", "--forward=tcp:1=bob/ssh"), (Forward("tcp:1", BOB, "ssh"),)),
    "state_dir": (("--state-dir=/srv/node",), Path("/srv/node")),
    "lan_discovery": (("--no-lan-discovery",), False),
    "port_mapping": (("--no-port-mapping",), False),
    "port_guessing": (("--no-port-guessing",), False),
    "proxy": (("--proxy=socks5h://192.0.2.1:1080",), Proxy.from_text("socks5h://192.0.2.1:1080")),
    "two_way": (("--two-way=off",), TwoWay.OFF),
    "key_exchange": (("--key-exchange=x25519",), KeyExchange.X25519),
    "private_dialling": (("--private-dialling=always",), PrivateDialling.ALWAYS),
}


def parsed(*arguments: str) -> Options:
    options = Options()
    options.parseOptions(list(arguments))
    return options


def settings_of(*arguments: str) -> Settings:
    return parsed(*arguments).settings()[0]


class OptionsTests(SynchronousTestCase):
    """What can be given, and what is said of what cannot."""

    def usage_error(self, *arguments: str) -> str:
        return str(self.assertRaises(UsageError, parsed, *arguments))

    def setting_error(self, *arguments: str) -> str:
        return str(self.assertRaises(ConfigurationError, settings_of, *arguments))

    def test_without_options_the_settings_are_the_defaults(self) -> None:
        settings = settings_of()
        for each in fields(Settings):
            if each.name != "state_dir":
                self.assertEqual(getattr(settings, each.name), each.default, each.name)

    def test_each_plain_setting_has_an_option(self) -> None:
        self.assertEqual({each.name for each in plain_settings()}, set(PLAIN))
        for name, (arguments, value) in PLAIN.items():
            self.assertEqual(getattr(settings_of(*arguments), name), value, name)

    def test_each_advanced_setting_can_be_set(self) -> None:
        for each in setting_fields():
            if each.metadata["advanced"]:
                value = another_value(each)
                settings = settings_of("--set", f"{each.name}={value}")
                self.assertEqual(getattr(settings, each.name), value, each.name)

    def test_each_out_of_range_number_is_refused_with_name_and_range(self) -> None:
        for each in setting_fields():
            if "low" in each.metadata:
                value = each.metadata["high"] + 1
                said = self.setting_error("--set", f"{each.name}={value}")
                self.assertEqual(
                    said, f"{each.name}: {value} is out of range; valid is {valid_range(each)}", each.name
                )

    def test_settings_of_one_value_can_be_set_as_well(self) -> None:
        self.assertEqual(settings_of("--set", "network = lab").network, "lab")

    def test_error_is_not_pushed_off_the_screen_by_the_options(self) -> None:
        options = Options()
        self.assertGreater(options.getUsage().count("\n"), 100)
        self.assertRaises(UsageError, options.parseOptions, ["--set", "max_links"])
        self.assertEqual(options.getUsage(), "'twistd routing-node --help' explains the options.\n")

    def test_set_refuses_what_it_cannot_set(self) -> None:
        self.assertEqual(self.usage_error("--set", "max_links"), "--set max_links: write --set name=value")
        self.assertEqual(
            self.usage_error("--set", "max_link=3"),
            "--set max_link: there is no such setting; did you mean max_links?",
        )
        self.assertEqual(
            self.usage_error("--set", "contacts=x"),
            "--set contacts: this is a list; use --contact, once for each",
        )

    def test_proxy_is_the_way_out_and_a_place_to_listen_is_refused_with_the_option_for_it(self) -> None:
        self.assertEqual(parsed("--local-proxy", "tcp:1080").configuration().local_proxy, "tcp:1080")
        for text in ("tcp:1080", "1080", "tcp6:1080:interface=::1"):
            error = self.assertRaises(ConfigurationError, settings_of, "--proxy", text)
            self.assertIn("as local_proxy, or after --local-proxy", str(error))
        self.assertEqual(parsed("--proxy", "http://192.0.2.1:3128").given["proxy"], "http://192.0.2.1:3128")
        self.assertEqual(str(settings_of("--proxy", "environment").proxy), "environment")

    def test_command_line_says_where_the_status_page_is_before_the_file_does(self) -> None:
        path = temporary_directory(self) / "node.toml"
        path.write_text('status_page = "tcp:8053"\n')
        self.assertEqual(parsed("--config", str(path)).status_page(), "tcp:8053")
        self.assertEqual(parsed("--config", str(path), "--status-page", "tcp:1").status_page(), "tcp:1")
        self.assertEqual(parsed("--config", str(path), "--status-page=").status_page(), "")

    def test_roles_have_short_forms(self) -> None:
        self.assertIs(settings_of("--first").role, Role.FIRST)
        self.assertIs(settings_of("--client").role, Role.CLIENT)
        self.assertIs(settings_of("--client", "--role=client").role, Role.CLIENT)

    def test_two_roles_are_refused(self) -> None:
        self.assertEqual(
            self.usage_error("--client", "--first"),
            "--first: the role is client already; give one of them",
        )

    def test_lan_discovery_can_be_turned_on_against_the_file(self) -> None:
        path = temporary_directory(self) / "node.toml"
        path.write_text("lan_discovery = false\n")
        self.assertFalse(settings_of("--config", str(path)).lan_discovery)
        self.assertTrue(settings_of("--config", str(path), "--lan-discovery").lan_discovery)

    def test_the_command_line_goes_before_the_file_and_replaces_its_lists(self) -> None:
        path = temporary_directory(self) / "node.toml"
        path.write_text('network = "a"\ngroup_size = 9\ndeny = ["192.0.2.1", "192.0.2.2"]\n')
        settings = settings_of("--config", str(path), "--network=b", "--deny=192.0.2.3")
        self.assertEqual((settings.network, settings.group_size, settings.deny), ("b", 9, ("192.0.2.3",)))

    def test_errors_of_values_name_the_setting(self) -> None:
        self.assertEqual(
            self.setting_error("--two-way=maybe"), "two_way: 'maybe' is not one of preferred, required, off"
        )
        self.assertIn("contacts: 'x' is not a contact", self.setting_error("--contact=x"))
        self.assertIn(
            "contacts: the first node dials nobody", self.setting_error("--first", f"--contact={CONTACTS[0]}")
        )
        self.assertIn("allow: 'x' is neither a name nor", self.setting_error("--allow=x"))

    def test_the_state_directory_is_that_of_the_network_by_default(self) -> None:
        settings, path = parsed("--network=lab").settings()
        self.assertEqual(path, default_state_dir("lab"))
        self.assertEqual(settings.state_dir, path)

    def test_the_state_directory_does_not_move_with_the_working_directory(self) -> None:
        settings, path = parsed("--state-dir=here").settings()
        self.assertEqual(path, Path.cwd() / "here")
        self.assertEqual(settings.state_dir, path)

    def test_demo_takes_a_number_of_nodes(self) -> None:
        for number in (2, 64):
            self.assertEqual(parsed("--demo", str(number)).demo, number)
        for text in ("1", "65", "x", "-3", "9" * 5000):
            self.assertIn("valid is 2 to 64", self.usage_error(f"--demo={text}"))

    def test_demo_takes_a_duration(self) -> None:
        self.assertEqual(parsed("--demo=2", "--demo-seconds=1.5").demo_seconds, 1.5)
        self.assertIsNone(parsed("--demo=2").demo_seconds)
        for text in ("0", "86401", "x", "nan"):
            self.assertIn("valid is 1 to 86400 s", self.usage_error("--demo=2", f"--demo-seconds={text}"))
        self.assertEqual(self.usage_error("--demo-seconds=3"), "--demo-seconds: give --demo too")

    def test_demo_takes_no_settings(self) -> None:
        for other in ("--first", "--config=f"):
            self.assertIn("--demo: takes no settings", self.usage_error("--demo=2", other))


class HelpTests(SynchronousTestCase):
    """What the operator reads."""

    def setUp(self) -> None:
        self.out = io.StringIO()
        self.patch(sys, "stdout", self.out)

    def test_help_has_every_option_of_a_setting_with_its_default(self) -> None:
        text = Options().getUsage()
        for each in plain_settings():
            self.assertIn(f"  --{option_name(each.name)}", text)
        flat = " ".join(text.split())
        self.assertIn("--two-way=VALUE whether links are proven in both directions", flat)
        self.assertIn("(default preferred)", flat)
        self.assertNotIn("(default )", flat)
        self.assertNotIn("More:", text)
        self.assertIn(f"(default {default_state_dir('ID')})", flat)
        self.assertIn("(default 0.0.0.0:5483, [::]:5483)", flat)

    def test_help_has_every_option_that_there_is(self) -> None:
        options = Options()
        text = options.getUsage()
        for each in options.longOpt:
            self.assertIn(f"--{each}", text)

    def test_help_fits_a_terminal(self) -> None:
        for text in (Options().getUsage(), advanced_settings_text()):
            self.assertLessEqual(max(map(len, text.splitlines())), 82)

    def test_help_settings_has_every_other_setting_with_range_and_default(self) -> None:
        self.assertRaises(SystemExit, parsed, "--help-settings")
        flat = " ".join(self.out.getvalue().split())
        for each in setting_fields():
            if each.metadata["advanced"]:
                self.assertIn(f" {each.name} {each.metadata['help']} ({valid_range(each)}, default ", flat)

    def test_version_is_ours_not_twisteds(self) -> None:
        ended = self.assertRaises(SystemExit, parsed, "--version")
        self.assertEqual((ended.code, self.out.getvalue()), (0, f"routing-crust {__version__}\n"))


class MakeServiceTests(SynchronousTestCase):
    """What the plugin makes of the options."""

    def test_plain_options_make_a_node(self) -> None:
        path = temporary_directory(self) / "not-made"
        service = plugin.makeService(parsed("--state-dir", str(path), "--first"))
        self.assertIsInstance(service, NodeService)
        self.assertTrue(IService.providedBy(service))
        self.assertFalse(path.exists())

    def test_demo_option_makes_a_demonstration(self) -> None:
        self.assertIsInstance(plugin.makeService(parsed("--demo=3")), DemoService)

    def test_the_log_of_twistd_is_written_in_our_style(self) -> None:
        for text in ("--demo=3", "--first"):
            options = parsed(text, "--log-level=warn", "--log-format=json")
            self.assertEqual(options.log_style, LogStyle("warn", LogFormat.JSON))
            options.parent = {"nodaemon": True}
            service = plugin.makeService(options)
            assert isinstance(service, LoggingService)
            self.assertIsNotNone(service.make_observer)

    def test_log_options_and_an_observer_of_twistds_are_refused_together(self) -> None:
        options = parsed("--first", "--log-level=warn")
        options.parent = {"syslog": True}
        ended = self.assertRaises(SystemExit, plugin.makeService, options)
        self.assertIn("--log-level and --log-format", str(ended.code))
        options = parsed("--first")
        options.parent = {"syslog": True}
        service = plugin.makeService(options)
        assert isinstance(service, LoggingService)
        self.assertIsNone(service.make_observer)

    def test_log_options_that_cannot_be_used_are_refused(self) -> None:
        for text in ("--log-level=loud", "--log-format=xml"):
            error = self.assertRaises(UsageError, parsed, text)
            self.assertIn("write", str(error))

    def test_a_setting_that_cannot_be_used_ends_the_process_with_one_line(self) -> None:
        ended = self.assertRaises(SystemExit, plugin.makeService, parsed("--set=group_size=0"))
        self.assertEqual(ended.code, "routing-node: group_size: 0 is out of range; valid is 1 to 64")

    def test_the_plugin_has_what_twisted_asks_for(self) -> None:
        self.assertIs(plugin.Options, Options)
        self.assertTrue(os.path.isfile(plugin.__file__))

    def test_a_demonstration_that_went_well_ends_the_reactor(self) -> None:
        ended: list[object] = []
        self.patch(reactor, "stop", lambda: ended.append("stop"))
        self.patch(os, "kill", lambda *arguments: ended.append(arguments))
        plugin.end_process(True)
        plugin.end_process(False)
        self.assertEqual(ended, ["stop", (os.getpid(), signal.SIGTERM)])

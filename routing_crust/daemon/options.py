"""
The options of C{twistd routing-node}, made from the table of settings: each setting there becomes an option,
with its help and its valid range.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import Field, replace
from enum import Enum
from pathlib import Path
from typing import Any, Final

from twisted.python import usage

from .. import __version__
from ..config import Settings, setting_fields
from ..parsing import unknown_setting, valid_range
from .live.source import Configuration, SettingsSource
from .logs import LEVELS, LogFormat, LogStyle
from .members.networks_here import settings_path
from .settings_file import SETTINGS
from .state_directory import default_state_dir

MIN_DEMO_NODES: Final = 2
MAX_DEMO_NODES: Final = 64

_DESCRIPTION: Final = (
    "A node of a peer-to-peer network: it finds its peers, links with them directly and securely, and routes "
    "messages by name. 'routing-crust' talks to it from the same machine."
)
_EPILOGUE: Final = """\
Examples:
  twistd -n routing-node --first --listen 192.0.2.1:5483
      starts a network; the log shows the line to give to others
  twistd -n routing-node --contact NAME@192.0.2.1:5483
      joins it
  twistd -n routing-node --demo 8
      shows a network of eight nodes at work, in one process

Requests to the node are answered if they say 'ping' (with 'pong'); any other is
refused unless a 'routing-crust listen --answer TEXT' is attached.
"""

# The options that are not called as their settings; and the placeholder of each value in the help.
_OPTION_NAMES: Final = {"contacts": "contact", "nicknames": "nickname"}
_VALUES: Final = {
    "listen": "ADDRESS:PORT|INTERFACE:PORT",
    "external": "ADDRESS:PORT",
    "contacts": "NAME@HOST:PORT",
    "proxy": "URL",
    "allow": "NAME|NETWORK",
    "deny": "NAME|NETWORK",
    "nicknames": "NICKNAME=NAME",
    "expose": "PROTOCOL=ENDPOINT",
    "allow_peer": "PROTOCOL=NAME|*",
    "forward": "ENDPOINT=NAME/PROTOCOL",
    "state_dir": "FOLDER",
    "network": "ID",
}
_OTHER_VALUES: Final = {
    "config": "FILE",
    "set": "NAME=VALUE",
    "status_page": "ENDPOINT",
    "local_proxy": "ENDPOINT",
    "drain": "TIME",
    "log_level": "LEVEL",
    "log_format": "FORMAT",
    "demo": "NODES",
    "demo_seconds": "SECONDS",
}
_HINTS: Final = {
    "first": "start a network: the same as --role=first",
    "client": "have one link and accept no connection: the same as --role=client",
    "config": "read settings from a TOML file, each as 'setting = value'; the command line takes precedence",
    "nicknames": "a name of your own for a node, used in place of its name",
    "expose": "let peers connect to the local program there, such as ssh=tcp:localhost:22 or "
    "dns=udp:127.0.0.1:53; no peer may without --allow-peer",
    "allow_peer": "let this peer, or with * every node of the network, connect to the exposed program",
    "forward": "open a local port, such as tcp:2222=backup/ssh or udp:5353=home/dns, and carry its "
    "connections to the program that the peer exposes; a TCP or UDP port is on 127.0.0.1 unless the endpoint "
    "has an interface; with ' keep 1h' after it, they wait for so long when their link is lost",
    "state_dir": "the folder for the key, the saved contacts and the control socket; made if it is not there",
    "set": "give one of the other settings; '--help-settings' lists them. May be repeated",
    "help_settings": "list the settings for --set and the TOML file, and exit",
    "demo": f"run this many nodes ({MIN_DEMO_NODES} to {MAX_DEMO_NODES}) on loopback in this process, with "
    "nothing on disk",
    "demo_seconds": "with --demo: stop after so long, and exit with 0 if no message has failed",
    "drain": "when told to end (SIGTERM, SIGINT), refuse new streams and let those that are open finish for "
    "so long, such as 10s or 2m, up to 1h; a second signal ends them at once (default 0)",
    "local_proxy": "take connections of local programs by SOCKS5 and HTTP there, such as tcp:1080, and carry "
    "those to NAME.crust to what the peer exposes; on 127.0.0.1 unless the endpoint has an interface",
    "status_page": "show a page of the node's state, links and streams, and metrics there, such as tcp:8053; "
    "on 127.0.0.1 unless the endpoint has an interface, and then with a token",
    "log_level": f"log nothing that matters less: {', '.join(LEVELS)} (default info)",
    "log_format": "how to write a line of the log: text, or json, an object on each line (default text)",
    "help": "show this and exit",
    "version": "show the version and exit",
}
_GROUPS: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("Role and network", ("first", "client", "role", "network")),
    (
        "Addresses and discovery",
        ("listen", "external", "contacts", "proxy", "lan_discovery", "port_mapping", "port_guessing"),
    ),
    ("Links", ("allow", "deny", "two_way", "private_dialling", "key_exchange")),
    (
        "Programs that it exposes and forwards",
        ("expose", "allow_peer", "forward", "local_proxy", "nicknames"),
    ),
    ("Files", ("state_dir", "config")),
    ("Status", ("status_page",)),
    ("Ending", ("drain",)),
    ("Log", ("log_level", "log_format")),
    ("Other settings", ("set", "help_settings")),
    ("Demonstration", ("demo", "demo_seconds")),
    ("Help", ("help", "version")),
)


class Options(usage.Options):
    """
    The command line. L{settings} parses the values. The help of each option is in L{_HINTS} or in the
    setting.

    @ivar given: the settings of the command line, raw.
    @ivar demo: the number of nodes of a demonstration; 0 without one.
    @ivar demo_seconds: how long it runs; C{None} is until it is interrupted.
    @ivar of_daemon: the other options that the settings file may hold, too; raw.
    @ivar log_style: what the command line says of what is logged, and how.
    """

    synopsis = "[options]"

    def __init__(self) -> None:
        usage.Options.__init__(self)
        self._failed = False
        self.given: dict[str, Any] = {}
        self.of_daemon: dict[str, object] = {}
        self.config: Path | None = None
        self.demo = 0
        self.demo_seconds: float | None = None
        self.log_style = LogStyle()

    def opt_first(self) -> None:
        self._give_role("first")

    def opt_client(self) -> None:
        self._give_role("client")

    def opt_config(self, path: str) -> None:
        self.config = Path(path)

    def opt_set(self, text: str) -> None:
        name, equals, value = text.partition("=")
        name = name.strip()
        if not equals:
            raise usage.UsageError(f"--set {text}: write --set name=value")
        if name not in SETTINGS:
            raise usage.UsageError(f"--set {name}: {unknown_setting(name, SETTINGS)}")
        if isinstance(SETTINGS[name].default, tuple):
            raise usage.UsageError(f"--set {name}: this is a list; use --{option_name(name)}, once for each")
        self.given[name] = value.strip()

    def opt_demo(self, text: str) -> None:
        # nine digits at most: from 4,300 on int() itself refuses them, with a text about a limit of Python
        if not text.isascii() or not text.isdigit() or not MIN_DEMO_NODES <= int(text[:9]) <= MAX_DEMO_NODES:
            raise usage.UsageError(f"--demo {text}: valid is {MIN_DEMO_NODES} to {MAX_DEMO_NODES}")
        self.demo = int(text)

    def opt_demo_seconds(self, text: str) -> None:
        try:
            self.demo_seconds = float(text)
        except ValueError:
            self.demo_seconds = 0
        # so that NaN is refused, too
        if not 1 <= self.demo_seconds <= 86400:
            raise usage.UsageError(f"--demo-seconds {text}: valid is 1 to 86400 s")

    def opt_log_level(self, text: str) -> None:
        if text not in LEVELS:
            raise usage.UsageError(f"--log-level {text}: write one of {', '.join(LEVELS)}")
        self.log_style = replace(self.log_style, level=text)
        self.of_daemon["log_level"] = text

    def opt_log_format(self, text: str) -> None:
        try:
            self.log_style = replace(self.log_style, format=LogFormat(text))
            self.of_daemon["log_format"] = text
        except ValueError:
            raise usage.UsageError(f"--log-format {text}: write text or json") from None

    def opt_drain(self, text: str) -> None:
        self.of_daemon["drain"] = text

    def opt_local_proxy(self, text: str) -> None:
        self.of_daemon["local_proxy"] = text

    def opt_status_page(self, text: str) -> None:
        self.of_daemon["status_page"] = text

    def opt_help_settings(self) -> None:
        """Print the other settings, and exit."""
        sys.stdout.write(advanced_settings_text())
        sys.exit(0)

    def opt_version(self) -> None:
        """Print the version of this package, not Twisted's, and exit."""
        sys.stdout.write(f"routing-crust {__version__}\n")
        sys.exit(0)

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Read the command line, whose errors L{getUsage} is to know of."""
        try:
            usage.Options.parseOptions(self, options)
        except usage.UsageError:
            self._failed = True  # twistd prints the usage first: all the options would hide the error
            raise

    def postOptions(self) -> None:
        """
        Check the options against each other.

        @raise UsageError: they contradict each other.
        """
        if self.demo_seconds is not None and not self.demo:
            raise usage.UsageError("--demo-seconds: give --demo too")
        if self.demo and (self.given or self.config is not None):
            raise usage.UsageError("--demo: takes no settings; its nodes are on loopback, with the defaults")

    def settings(self) -> tuple[Settings, Path]:
        """
        Read the file, if one is given, and merge everything.

        @return: the settings, and the state directory, which is one of them.
        @raise ConfigurationError: a value cannot be used.
        """
        settings = self.configuration().settings
        assert settings.state_dir is not None
        return settings, settings.state_dir

    def source(self) -> SettingsSource:
        """
        Where the settings are from.

        @raise ConfigurationError: there are several files to choose from.
        """
        config = settings_path(self.given, self.config)
        # twistd may change the working directory before anything is opened
        return SettingsSource(self.given, self.of_daemon, None if config is None else config.absolute())

    def configuration(self) -> Configuration:
        """
        Read the file, if one is given, and merge everything.

        @raise ConfigurationError: a value cannot be used.
        """
        return self.source().read()

    def status_page(self) -> str:
        """
        Where the status page is to be, as a string for an endpoint; empty for none.

        @raise ConfigurationError: the file cannot be read.
        """
        return self.configuration().status_page

    def getUsage(self, width: int | None = None) -> str:
        """The options in groups, each with its default; after an error where they are explained."""
        if self._failed:
            return "'twistd routing-node --help' explains the options.\n"
        width = min(width or 80, 100)
        named = {each.name for each in plain_settings()}
        grouped = {name for _, names in _GROUPS for name in names}
        groups = [*_GROUPS, ("More", tuple(sorted(named - grouped)))]
        parts = ["", textwrap.fill(_DESCRIPTION, width), ""]
        for title, names in groups:
            rows = [row for name in names for row in self._rows(name, name in named)]
            if rows:
                parts.append(f"{title}:")
                parts.extend(_row_text(option, text, width) for option, text in rows)
                parts.append("")
        return "\n".join(parts) + "\n" + _EPILOGUE

    def _rows(self, name: str, is_setting: bool) -> list[tuple[str, str]]:
        if is_setting:
            return _setting_rows(SETTINGS[name])
        option = name.replace("_", "-")
        value = _OTHER_VALUES.get(name)
        return [(f"--{option}={value}" if value else f"--{option}", _HINTS[name])]

    def _give_role(self, role: str) -> None:
        # --first --client: neither can be meant
        if self.given.get("role", role) != role:
            raise usage.UsageError(f"--{role}: the role is {self.given['role']} already; give one of them")
        self.given["role"] = role


def option_name(setting: str) -> str:
    """The name of the option for a plain setting, without its dashes."""
    return _OPTION_NAMES.get(setting, setting.replace("_", "-"))


def plain_settings() -> tuple[Field[Any], ...]:
    """The settings with an option of their own; the others are given with C{--set}."""
    return tuple(each for each in setting_fields() if not each.metadata["advanced"])


def advanced_settings_text() -> str:
    """The text of C{--help-settings}."""
    heading = textwrap.fill(
        "Settings for '--set name=value', and for the TOML file as 'name = value'. The file may hold what "
        "has an option of its own as well: with _ for -, and as a list what may be repeated (the contacts "
        "as 'contacts').",
        80,
    )
    rows = [
        _row_text(each.name, _explained(each), 80) for each in setting_fields() if each.metadata["advanced"]
    ]
    return "\n".join((heading, "", *rows)) + "\n"


def _setting_rows(each: Field[Any]) -> list[tuple[str, str]]:
    option = option_name(each.name)
    if isinstance(each.default, bool):
        other = "off" if each.default else "on"
        no_text = f"turn it {other}" if each.default else "leave it off"
        return [(f"--{option}", _explained(each)), (f"--no-{option}", no_text)]
    return [(f"--{option}={_VALUES.get(each.name, 'VALUE')}", _explained(each))]


def _explained(each: Field[Any]) -> str:
    text = _HINTS.get(each.name, each.metadata["help"])
    if isinstance(each.default, tuple):
        text += ". May be repeated"
    valid = valid_range(each)
    notes = [f"{valid}, " if valid else "", f"default {_default_text(each)}"]
    return f"{text} ({''.join(notes)})"


def _default_text(each: Field[Any]) -> str:
    default = each.default
    if each.name == "state_dir":
        return str(default_state_dir("ID"))
    if isinstance(default, bool):
        return "on" if default else "off"
    if isinstance(default, Enum):
        return str(default.value)
    if isinstance(default, tuple):
        return ", ".join(map(str, default)) or "none"
    return f"{default:g}" if isinstance(default, float) else str(default) or "none"


def _row_text(option: str, text: str, width: int) -> str:
    # where the text begins, as in Twisted's own help
    indent = 30
    lines = textwrap.wrap(text, width - indent, break_on_hyphens=False)
    head = f"  {option}"
    first = f"{head:<{indent}}" if len(head) < indent else f"{head}\n{' ' * indent}"
    return first + f"\n{' ' * indent}".join(lines)


def _add_options() -> None:
    """Add a method to L{Options} for each plain setting: Twisted makes an option of each C{opt_} method."""
    for each in plain_settings():
        method = option_name(each.name).replace("-", "_")
        if f"opt_{method}" in vars(Options):
            continue
        if isinstance(each.default, bool):
            setattr(Options, f"opt_{method}", _flag(each.name, True))
            setattr(Options, f"opt_no_{method}", _flag(each.name, False))
        elif each.name == "role":
            setattr(Options, f"opt_{method}", Options._give_role)
        elif isinstance(each.default, tuple):
            setattr(Options, f"opt_{method}", _one_more(each.name))
        else:
            setattr(Options, f"opt_{method}", _parameter(each.name))


def _flag(setting: str, value: bool) -> Callable[[Options], None]:
    def option(self: Options) -> None:
        self.given[setting] = value

    return option


def _parameter(setting: str) -> Callable[[Options, str], None]:
    def option(self: Options, text: str) -> None:
        self.given[setting] = text

    return option


def _one_more(setting: str) -> Callable[[Options, str], None]:
    def option(self: Options, text: str) -> None:
        self.given.setdefault(setting, []).append(text)

    return option


_add_options()

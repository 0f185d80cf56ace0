"""
What C{twistd routing-node --help} says: the options in groups, made from the table of settings, and those
that are no settings.
"""

from __future__ import annotations

import textwrap
from dataclasses import Field
from enum import Enum
from typing import Any, Final

from ..config import setting_fields
from ..parsing import valid_range
from .logs import LEVELS
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
    "log_level": f"the lowest level that is logged: {', '.join(LEVELS)} (default info)",
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


def usage_text(width: int) -> str:
    """The options of the daemon in groups, each with its default."""
    named = {each.name for each in plain_settings()}
    grouped = {name for _, names in _GROUPS for name in names}
    groups = [*_GROUPS, ("More", tuple(sorted(named - grouped)))]
    parts = ["", textwrap.fill(_DESCRIPTION, width), ""]
    for title, names in groups:
        rows = [row for name in names for row in _rows(name, name in named)]
        if rows:
            parts.append(f"{title}:")
            parts.extend(_row_text(option, text, width) for option, text in rows)
            parts.append("")
    return "\n".join(parts) + "\n" + _EPILOGUE


def _rows(name: str, is_setting: bool) -> list[tuple[str, str]]:
    if is_setting:
        return _setting_rows(SETTINGS[name])
    option = name.replace("_", "-")
    value = _OTHER_VALUES.get(name)
    return [(f"--{option}={value}" if value else f"--{option}", _HINTS[name])]


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

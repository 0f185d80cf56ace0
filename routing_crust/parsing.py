"""
Parse the settings of a command line or a TOML file into values of L{routing_crust.config.Settings}.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import Field
from difflib import get_close_matches
from enum import Enum
from pathlib import Path
from typing import Any, Final

from .endpoints import Endpoint
from .forwarding_rules import Exposure, Forward, Nickname, Nicknames, Permission, known
from .hosts.contacts import AnyContact, contact_from_text
from .hosts.host_names import is_like_address
from .hosts.interfaces import InterfacePort, Place
from .hosts.proxies import Proxy
from .names import Name
from .plain_errors import ConfigurationError, InvalidEndpoint, InvalidName, InvalidPairing, number_text

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MAX_FILE_BYTES: Final = 1024 * 1024
"""A device or a log that is given by mistake is not read to its end."""
DAEMON_KEYS: Final = ("log_level", "log_format", "status_page", "drain", "local_proxy")
"""What a file may hold besides settings: options of the daemon that are not those of its node."""
_OTHER_TRANSPORTS: Final = ("ssl", "udp", "udp6", "unix")
"""The types of Twisted's and our endpoint strings; with a port behind them they would pass for interfaces."""
Fields = Mapping[str, Field[Any]]
"""The fields of L{Settings<routing_crust.config.Settings>} by their names."""


def parse_settings(raw: Mapping[str, Any], settings: Fields) -> dict[str, Any]:
    """
    Parse the values of several settings. Nicknames among them may stand for names in the others.

    @param raw: by setting; see L{parse_setting}.
    @raise ConfigurationError: there is no such setting, or a value cannot be used.
    """
    for name in raw:
        if name not in settings:
            raise ConfigurationError(name, unknown_setting(name, settings))
    given = parse_setting(settings["nicknames"], raw.get("nicknames", ()))
    names = known(given)
    parsed = {name: parse_setting(settings[name], value, names) for name, value in raw.items()}
    return parsed | {"nicknames": given}


def parse_setting(each: Field[Any], raw: Any, nicknames: Nicknames | None = None) -> Any:
    """
    Parse the value of one setting.

    @param raw: text, number, boolean, list or table; or, or in the list, what the text would stand for.
    @param nicknames: the nicknames that may stand for names.
    @raise ConfigurationError: it cannot be read; the error names the setting and what is valid.
    """
    default = each.default
    try:
        if "low" in each.metadata:
            return _parse_number(each, raw)
        if isinstance(default, bool):
            return _parse_bool(each.name, raw)
        if isinstance(default, Enum):
            return _parse_enum(each.name, type(default), raw)
        if isinstance(default, tuple):
            parse = _LISTS[each.name]
            kind = each.metadata["of"]
            texts = _texts(each.name, raw, (kind, Name) if kind is str else (kind,))
            return tuple(parse(one, nicknames or {}) if isinstance(one, str) else one for one in texts)
        if each.name == "state_dir" and isinstance(raw, (Path, type(None))):
            return raw
        if isinstance(default, Proxy) and isinstance(raw, Proxy):
            return raw
        if not isinstance(raw, str):
            raise ConfigurationError(each.name, f"{raw!r} is not a text")
        if isinstance(default, Proxy):
            return Proxy.from_text(raw)
        return _parse_path(each.name, raw) if each.name == "state_dir" else raw
    except (InvalidEndpoint, InvalidName, InvalidPairing) as error:
        raise ConfigurationError(each.name, str(error)) from None


def read_toml(path: Path, settings: Fields) -> dict[str, object]:
    """
    Read the settings of a TOML file, as L{read_file} does, without the L{DAEMON_KEYS}.

    @raise ConfigurationError: as L{read_file} does.
    """
    return {name: value for name, value in read_file(path, settings).items() if name not in DAEMON_KEYS}


def read_file(path: Path, settings: Fields) -> dict[str, object]:
    """
    Read a TOML file of settings: one flat list of C{name = value}, each optional. The value of a setting that
    pairs things, such as C{nicknames}, may be a table.

    @return: the values as the file holds them; each key is a setting's name, or one of L{DAEMON_KEYS}.
    @raise ConfigurationError: the file cannot be read, is not TOML, or has a key that is no setting.
    """
    try:
        with path.open("rb") as file:
            # one byte more than is allowed tells a file that is too long
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigurationError("config", f"the file {path} cannot be read: {error.strerror}") from None
    if len(data) > MAX_FILE_BYTES:
        raise ConfigurationError("config", f"the file {path} is longer than {MAX_FILE_BYTES} bytes")
    try:
        text = data.decode("utf-8")
        values = tomllib.loads(text)
    except UnicodeDecodeError:
        raise ConfigurationError("config", f"the file {path} is not UTF-8 text") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        # the most frequent one: a line was added, and the commented one above it had been made one, too
        problem = str(error).replace("Cannot overwrite a value", "a setting stands there for the second time")
        raise ConfigurationError("config", f"the file {path} is not TOML: {problem}") from None
    for name in values:
        if name not in settings and name not in DAEMON_KEYS:
            problem = unknown_setting(name, settings)
            raise ConfigurationError(name, f"{problem} (in {path}{line_in(text, name)})")
    return values


def parse_toml(text: str) -> dict[str, object]:
    """
    The values of a TOML text.

    @raise ValueError: it is not TOML.
    """
    return tomllib.loads(text)


def line_in(text: str, key: str, problem: str = "") -> str:
    """
    Where a value stands in a TOML file, as C{, line 7}; empty if it is not found.

    @param problem: what is wrong with it; an entry of a list that it quotes has a line of its own.
    """
    lines = text.splitlines()
    name = re.escape(key)
    begins = re.compile(rf"""\s*(\[\s*)?["']?{name}["']?\s*[=.\]]""")
    begin = next((number for number, line in enumerate(lines) if begins.match(line)), None)
    if begin is None:
        return ""
    for quoted in re.findall(r"'([^']+)'", problem):
        # a table has its parts on both sides of an equals sign
        parts = [quoted, quoted.rpartition("=")[2]]
        for number, line in enumerate(lines[begin:], begin):
            if any(part and part in line for part in parts):
                return f", line {number + 1}"
    return f", line {begin + 1}"


def unknown_setting(name: str, settings: Fields) -> str:
    """The error text for a name that no setting has, with the nearest that exists."""
    near = get_close_matches(name.replace("-", "_").lower(), settings, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else "'--help-settings' lists them all"
    return f"there is no such setting; {hint}"


def valid_range(each: Field[Any]) -> str:
    """The valid range of a field, in words: C{0.5 to 120 s}; empty if it is no number."""
    meta = each.metadata
    if "low" not in meta:
        return ""
    return f"{number_text(meta['low'])} to {number_text(meta['high'])} {meta['unit']}".strip()


def parse_listen(text: str) -> Place:
    """
    Read where to listen: C{address:port}, C{interface:port}, C{port}, or Twisted's
    C{tcp:4001:interface=127.0.0.1}.

    @raise InvalidEndpoint: with what is wrong.
    """
    text = text.strip()
    kind, colon, rest = text.partition(":")
    everywhere = {"tcp": "0.0.0.0", "tcp4": "0.0.0.0", "tcp6": "::"}
    if kind in everywhere and colon:
        port, _, option = rest.partition(":")
        key, _, interface = option.partition("=")
        if not _is_port(port) or (option and (key != "interface" or not interface)):
            raise InvalidEndpoint(
                f"{text!r} cannot be listened on: write address:port, or tcp:PORT:interface=ADDRESS"
            )
        address = interface.replace("\\:", ":") or everywhere[kind]
        if not is_like_address(address):
            raise InvalidEndpoint(
                f"{text!r} cannot be listened on: interface= takes an address of this machine; for a network "
                f"interface write its name before the port, as in eth0:{port}"
            )
        return Endpoint.of(address, int(port))
    if _is_port(text):
        return Endpoint.of("0.0.0.0", int(text))
    host, colon, port = text.rpartition(":")
    if host in _OTHER_TRANSPORTS:
        raise InvalidEndpoint(
            f"{text!r} cannot be listened on: nodes listen for TCP, and links have TLS of their own: write "
            "address:port or interface:port"
        )
    if colon and _is_port(port) and host and not is_like_address(host):
        return InterfacePort.of(host, int(port))
    return Endpoint.from_text(text)


def _is_port(text: str) -> bool:
    # The length as well: int() refuses thousands of digits with an error of its own.
    return text.isascii() and text.isdigit() and len(text) <= 5


def _parse_path(setting: str, raw: str) -> Path:
    if not raw.strip() or "\0" in raw:
        raise ConfigurationError(setting, f"{raw!r} is not a path")
    try:
        return Path(raw).expanduser()
    except RuntimeError:
        raise ConfigurationError(setting, f"{raw!r}: there is no such user") from None


def _parse_number(each: Field[Any], raw: Any) -> Any:
    if not isinstance(raw, str):
        return raw
    try:
        return int(raw) if each.type == "int" else float(raw)
    except ValueError:
        kind = "a whole number" if each.type == "int" else "a number"
        raise ConfigurationError(each.name, f"{raw!r} is not {kind}; valid is {valid_range(each)}") from None


def _parse_bool(setting: str, raw: Any) -> bool:
    if isinstance(raw, bool):
        return raw
    word = raw.lower() if isinstance(raw, str) else ""
    if word in ("yes", "true", "on", "no", "false", "off"):
        return word in ("yes", "true", "on")
    raise ConfigurationError(setting, f"{raw!r} is neither true nor false")


def _parse_enum(setting: str, kind: type[Enum], raw: Any) -> Enum:
    try:
        return kind(raw)
    except ValueError:
        choices = ", ".join(str(each.value) for each in kind)
        raise ConfigurationError(setting, f"{raw!r} is not one of {choices}") from None


def _contact(text: str, nicknames: Nicknames) -> AnyContact:
    who, at, where = text.strip().partition("@")
    return contact_from_text(f"{nicknames[who]}@{where}" if at and who in nicknames else text)


def _rule(text: str, nicknames: Nicknames) -> str:
    return str(nicknames[text]) if text in nicknames else text


_LISTS: Mapping[str, Callable[[str, Mapping[str, Name]], object]] = {
    "listen": lambda text, _: parse_listen(text),
    "external": lambda text, _: Endpoint.from_text(text),
    "contacts": _contact,
    "allow": _rule,
    "deny": _rule,
    "nicknames": lambda text, _: Nickname.from_text(text),
    "expose": lambda text, _: Exposure.from_text(text),
    "allow_peer": Permission.from_text,
    "forward": Forward.from_text,
}
_TABLES = ("nicknames", "expose", "allow_peer", "forward")
"""Lists of texts with an equals sign, which may be tables as well."""


def _rows(setting: str, table: Mapping[str, Any]) -> list[Any]:
    """The texts that a table stands for: a list there is one for each entry."""
    return [f"{key}={value}" for key, values in table.items() for value in _texts(setting, values, ())]


def _texts(setting: str, raw: Any, kinds: tuple[type, ...]) -> list[Any]:
    """
    The entries of a list.

    @param kinds: what may stand there besides texts.
    """
    if setting in _TABLES and isinstance(raw, Mapping):
        return _rows(setting, raw)
    # One entry is a list of one: a command line cannot tell them apart.
    values = [raw] if isinstance(raw, (str, *kinds)) else raw
    if not isinstance(values, (list, tuple)) or not all(isinstance(each, (str, *kinds)) for each in values):
        raise ConfigurationError(setting, f"{raw!r} is not a list of texts")
    return [str(each) if isinstance(each, Name) else each for each in values]

"""
Parse the settings of a command line or a TOML file into values of L{routing_crust.config.Settings}.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import Field
from enum import Enum
from pathlib import Path
from typing import Any

from .config import valid_range
from .endpoints import Contact, Endpoint
from .forwarding_rules import Exposure, Forward, Nickname, Nicknames, Permission
from .names import Name
from .plain_errors import ConfigurationError, InvalidEndpoint, InvalidName, InvalidPairing


def parse_setting(each: Field[Any], raw: Any, nicknames: Nicknames | None = None) -> Any:
    """
    Parse the value of one setting.

    @param raw: text, number, boolean, list or table.
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
            return tuple(parse(text, nicknames or {}) for text in _texts(each.name, raw))
        if not isinstance(raw, str):
            raise ConfigurationError(each.name, f"{raw!r} is not a text")
        return _parse_path(each.name, raw) if each.name == "state_dir" else raw
    except (InvalidEndpoint, InvalidName, InvalidPairing) as error:
        raise ConfigurationError(each.name, str(error)) from None


def parse_listen(text: str) -> Endpoint:
    """
    Read where to listen: C{address:port}, C{port}, or Twisted's C{tcp:4001:interface=127.0.0.1}.

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
        return Endpoint.of(interface.replace("\\:", ":") or everywhere[kind], int(port))
    if _is_port(text):
        return Endpoint.of("0.0.0.0", int(text))
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


def _contact(text: str, nicknames: Nicknames) -> Contact:
    who, at, where = text.strip().partition("@")
    return Contact.from_text(f"{nicknames[who]}@{where}" if at and who in nicknames else text)


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


def _rows(setting: str, table: Mapping[str, Any]) -> list[str]:
    """The texts that a table stands for: a list there is one for each entry."""
    return [f"{key}={value}" for key, values in table.items() for value in _texts(setting, values)]


def _texts(setting: str, raw: Any) -> list[str]:
    if setting in _TABLES and isinstance(raw, Mapping):
        return _rows(setting, raw)
    # One text is a list of one: a command line cannot tell them apart.
    values = [raw] if isinstance(raw, str) else raw
    if not isinstance(values, (list, tuple)) or not all(isinstance(each, str) for each in values):
        raise ConfigurationError(setting, f"{raw!r} is not a list of texts")
    return list(values)

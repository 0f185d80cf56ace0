"""
Merges the settings of a TOML file and the command line. The command line takes precedence over the file, and
both over the defaults. A list replaces a list; they are not joined.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import Field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from ..config import Settings, setting_fields
from ..forwarding_rules import known
from ..parsing import parse_setting
from ..plain_errors import ConfigurationError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MAX_FILE_BYTES: Final = 1024 * 1024
"""A device or a log that is given by mistake is not read to its end."""

SETTINGS: Final[dict[str, Field[Any]]] = {each.name: each for each in setting_fields()}


def read_settings_file(path: Path) -> dict[str, object]:
    """
    Read a TOML file of settings: one flat list of C{name = value}, each optional. The value of a setting that
    pairs things, such as C{nicknames}, may be a table.

    @return: the values as the file holds them; each key is a setting's name.
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
        values = tomllib.loads(data.decode("utf-8"))
    except UnicodeDecodeError:
        raise ConfigurationError("config", f"the file {path} is not UTF-8 text") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigurationError("config", f"the file {path} is not TOML: {error}") from None
    for name in values:
        if name not in SETTINGS:
            raise ConfigurationError(name, f"{unknown_setting(name)} (in {path})")
    return values


def unknown_setting(name: str) -> str:
    """The error text for a name that no setting has, with the nearest that exists."""
    near = get_close_matches(name.replace("-", "_").lower(), SETTINGS, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else "'--help-settings' lists them all"
    return f"there is no such setting; {hint}"


def merge_settings(
    command_line: Mapping[str, object],
    in_file: Mapping[str, object],
    path: Path | None,
) -> Settings:
    """
    Make the settings of a process.

    @param command_line: raw values by setting.
    @param in_file: raw values by setting, as L{read_settings_file} gives them.
    @param path: the file that an error names.
    @raise ConfigurationError: a value cannot be used; the error says where it came from.
    """
    # the later one counts: so the command line
    raw = {**in_file, **command_line}
    try:
        # first, since the names of other settings may be nicknames
        given = raw.pop("nicknames", ())
        nicknames = parse_setting(SETTINGS["nicknames"], given)
        names = known(nicknames)
        parsed = {name: parse_setting(SETTINGS[name], value, names) for name, value in raw.items()}
        return Settings(nicknames=nicknames, **parsed)
    except ConfigurationError as error:
        name = error.setting
        if name in in_file and name not in command_line:
            problem = str(error).removeprefix(f"{name}: ")
            raise ConfigurationError(name, f"{problem} (in {path})") from None
        raise

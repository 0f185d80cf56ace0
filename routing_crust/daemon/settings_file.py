"""
Merges the settings of a TOML file and the command line. The command line takes precedence over the file, and
both over the defaults. A list replaces a list; they are not joined.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field
from pathlib import Path
from typing import Any, Final

from ..config import Settings, setting_fields
from ..parsing import read_toml
from ..plain_errors import ConfigurationError

STATUS_PAGE: Final = "status_page"
"""A key of the file that is the daemon's affair, and none of the node's."""
SETTINGS: Final[dict[str, Field[Any]]] = {each.name: each for each in setting_fields()}
_KEYS: Final = {**SETTINGS, STATUS_PAGE: SETTINGS["network"]}


def read_settings_file(path: Path) -> dict[str, object]:
    """
    Read a TOML file of settings, as L{read_toml<routing_crust.parsing.read_toml>} does.

    @return: the values as the file holds them; each key is a setting's name.
    @raise ConfigurationError: the file cannot be read, is not TOML, or has a key that is no setting.
    """
    found = read_toml(path, _KEYS)
    return {name: value for name, value in found.items() if name in SETTINGS}


def status_page_in(path: Path) -> str:
    """
    Where the file wants a status page; empty if it wants none.

    @raise ConfigurationError: as L{read_settings_file}, or this is no text.
    """
    found = read_toml(path, _KEYS).get(STATUS_PAGE, "")
    if not isinstance(found, str):
        raise ConfigurationError(STATUS_PAGE, f"{found!r} is not a text, such as 'tcp:8053' (in {path})")
    return found


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
        return Settings.from_text(**raw)
    except ConfigurationError as error:
        name = error.setting
        if name in in_file and name not in command_line:
            problem = str(error).removeprefix(f"{name}: ")
            raise ConfigurationError(name, f"{problem} (in {path})") from None
        raise

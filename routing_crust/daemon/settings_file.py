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
from ..parsing import line_in, read_toml
from ..plain_errors import ConfigurationError

SETTINGS: Final[dict[str, Field[Any]]] = {each.name: each for each in setting_fields()}


def read_settings_file(path: Path) -> dict[str, object]:
    """
    Read a TOML file of settings, as L{read_toml<routing_crust.parsing.read_toml>} does.

    @return: the values as the file holds them; each key is a setting's name.
    @raise ConfigurationError: the file cannot be read, is not TOML, or has a key that is no setting.
    """
    return read_toml(path, SETTINGS)


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
        if error.setting in in_file and error.setting not in command_line:
            raise located(error, path) from None
        raise


def located(error: ConfigurationError, path: Path | None) -> ConfigurationError:
    """The error, with the file and the line that it is about."""
    name = error.setting
    problem = str(error).removeprefix(f"{name}: ")
    return ConfigurationError(name, f"{problem} (in {path}{_line(path, name, problem)})")


def _line(path: Path | None, name: str, problem: str) -> str:
    try:
        return "" if path is None else line_in(path.read_text("utf-8"), name, problem)
    except (OSError, UnicodeDecodeError):  # it has changed since it was read
        return ""

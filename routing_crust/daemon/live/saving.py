"""
Writes what was added or removed into the settings file, and leaves everything else there as it stands:
comments, order, and how it is written.

What was edited is read again before it is written, and has to say what is wanted and nothing else. So a file
that is written in a way that the editing does not know is left alone.
"""

from __future__ import annotations

import os
import stat
from collections.abc import MutableMapping, MutableSequence, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from ...config import Settings
from ...errors import ConfigurationError
from ...files import write_atomically
from ...forwarding_rules import Nicknames, known
from ...parsing import DAEMON_KEYS, parse_setting, parse_settings, parse_toml
from ..members.networks_here import CONFIG_NAME
from ..settings_file import SETTINGS
from .source import SettingsSource

_TOUCHED: Final = {
    "expose": ("expose", "allow_peer"),
    "forward": ("forward",),
    "contacts": ("contacts",),
}
"""The settings that belong together."""


def can_save(source: SettingsSource, setting: str) -> Path:
    """
    Check whether changes of a setting can be saved.

    @return: the file. It need not be there yet.
    @raise ConfigurationError: they cannot; the text says what to do.
    """
    for name in _TOUCHED[setting]:
        if name in source.given:
            raise _problem(
                f"--save is of no use: the daemon's command line gives {name}, and goes before the file. "
                "Move that into the file and restart, or leave --save out"
            )
    _editor()
    path = source.file
    if path is not None:
        return path.resolve()
    if "state_dir" in source.given:
        return Path(str(source.given["state_dir"])).expanduser() / CONFIG_NAME
    raise _problem(
        "--save: this daemon has no settings file: start it with --config, or with --state-dir, where "
        f"{CONFIG_NAME} is its file"
    )


def save(source: SettingsSource, settings: Settings, setting: str) -> Path:
    """
    Write the entries of a setting that are in force into the file.

    @return: the file.
    @raise ConfigurationError: it cannot be written, or not be edited; it is as it was.
    """
    path = can_save(source, setting)
    try:
        text = path.read_text("utf-8")
        mode = stat.S_IMODE(path.stat().st_mode)
        owner = path.stat()
    except FileNotFoundError:
        text, mode, owner = "", 0o600, None
    except (OSError, UnicodeDecodeError) as error:
        raise _problem(f"the file {path} cannot be read: {error}") from None
    edited = edit(text, settings, setting)
    try:
        write_atomically(path, edited.encode(), mode)
        if owner is not None:
            # of a file that is another's, where this user may give it back
            with suppress(PermissionError):
                os.chown(path, owner.st_uid, owner.st_gid)
    except OSError as error:
        raise _problem(f"the file {path} cannot be written: {error.strerror}") from None
    return path


def edit(text: str, settings: Settings, setting: str) -> str:
    """
    The text of a settings file with the entries of a setting that are in force.

    @raise ConfigurationError: it is written in a way that cannot be edited.
    """
    tomlkit = _editor()
    try:
        document = tomlkit.parse(text)
        nicknames = known(parse_setting(SETTINGS["nicknames"], document.unwrap().get("nicknames", ())))
        for name in _TOUCHED[setting]:
            _edit(tomlkit, document, name, getattr(settings, name), nicknames)
        edited: str = tomlkit.dumps(document)
        check_edit(edited, text, settings, _TOUCHED[setting])
    except ConfigurationError:
        raise
    except Exception as error:  # whatever the editor makes of a file that people have written
        raise _problem(
            f"it is written in a way that is not edited here ({error}): change it by hand"
        ) from None
    return edited


def _edit(tomlkit: Any, document: Any, name: str, wanted: Sequence[Any], nicknames: Nicknames) -> None:
    present = document.get(name)
    if isinstance(present, str):
        # one entry is a list of one
        only, present = str(present), tomlkit.array()
        present.append(only)
        document[name] = present
    if isinstance(present, MutableMapping):
        left = _keep_in_table(present, name, list(wanted), nicknames)
        for each in left:
            key, value = _pair(name, _written(each, nicknames))
            _add_to_table(tomlkit, present, key, value)
    elif isinstance(present, MutableSequence):
        left = _keep_in_list(present, name, list(wanted), nicknames)
        for each in left:
            present.append(_written(each, nicknames))
    elif wanted:
        array = tomlkit.array()
        for each in wanted:
            array.append(_written(each, nicknames))
        document.add(name, array)


def _keep_in_list(present: Any, name: str, wanted: list[Any], nicknames: Nicknames) -> list[Any]:
    """
    Remove what is not wanted.

    @return: what is wanted and not there.
    """
    for index in reversed(range(len(present))):
        if not _take(wanted, _parsed(name, str(present[index]), nicknames)):
            del present[index]
    return wanted


def _keep_in_table(present: Any, name: str, wanted: list[Any], nicknames: Nicknames) -> list[Any]:
    """As L{_keep_in_list}, for a table, in which an entry may be a list of its own."""
    for key in list(present):
        values = present[key]
        if isinstance(values, str):
            if not _take(wanted, _parsed(name, f"{key}={values}", nicknames)):
                del present[key]
            continue
        for index in reversed(range(len(values))):
            if not _take(wanted, _parsed(name, f"{key}={values[index]}", nicknames)):
                del values[index]
        if not values:
            del present[key]
    return wanted


def _add_to_table(tomlkit: Any, present: Any, key: str, value: str) -> None:
    there = present.get(key)
    if there is None:
        present[key] = value
    elif isinstance(there, str):
        both = tomlkit.array()
        both.extend([str(there), value])
        present[key] = both
    else:
        there.append(value)


def _take(wanted: list[Any], entry: object) -> bool:
    if entry not in wanted:
        return False
    wanted.remove(entry)
    return True


def _parsed(name: str, text: str, nicknames: Nicknames) -> object:
    (entry,) = parse_setting(SETTINGS[name], [text], nicknames)
    return entry


def _written(entry: Any, nicknames: Nicknames) -> str:
    """An entry as people write it: with the nickname that the file gives a node."""
    names = {name: nickname for nickname, name in nicknames.items()}
    text = str(entry)
    name = getattr(entry, "name", None)
    return text.replace(str(name), names[name]) if name in names else text


def _pair(name: str, text: str) -> tuple[str, str]:
    key, _, value = text.rpartition("=") if name == "forward" else text.partition("=")
    return key, value


def check_edit(edited: str, before: str, settings: Settings, touched: Sequence[str]) -> None:
    """
    Check that the edited text says what is wanted, and otherwise what it said before.

    @raise ValueError: it does not.
    """
    values, old = parse_toml(edited), parse_toml(before)
    rest = {key: each for key, each in values.items() if key not in touched}
    if rest != {key: each for key, each in old.items() if key not in touched}:
        raise ValueError("something else would change")
    parsed = parse_settings({key: each for key, each in values.items() if key not in DAEMON_KEYS}, SETTINGS)
    for name in touched:
        if sorted(map(str, parsed.get(name, ()))) != sorted(map(str, getattr(settings, name))):
            raise ValueError(f"{name} would not be what it is here")


def _editor() -> Any:
    # by name: a daemon loads it when something is saved
    return import_module("tomlkit")


def _problem(text: str) -> ConfigurationError:
    return ConfigurationError("config", text)

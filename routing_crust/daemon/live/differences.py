"""
What is different between two sets of settings, in words.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from enum import Enum
from typing import Any

from ...config import CHANGEABLE, Settings
from ...errors import ConfigurationError
from ...plain_errors import number_text


@dataclass(frozen=True, slots=True)
class ChangeOutcome:
    """
    What a change came to.

    @ivar changed: what is in force now and was not before, a line for each.
    @ivar stayed: the settings that were given and are as they were.
    @ivar restart: what is in force only after a restart, a line for each.
    @ivar ended: how many connections of local programs were ended.
    """

    changed: tuple[str, ...] = ()
    stayed: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()
    ended: int = 0


def in_force(running: Settings, wanted: Settings) -> tuple[Settings, tuple[str, ...]]:
    """
    The settings that can be in force without a restart.

    @return: these, and the names of the settings that differ and need a restart.
    """
    differ = [
        each.name for each in fields(Settings) if getattr(running, each.name) != getattr(wanted, each.name)
    ]
    at_once = [name for name in differ if name in CHANGEABLE]
    settings = _together(running, wanted, at_once)
    while settings is None:
        settings = _together(running, wanted, at_once)
    return settings, tuple(name for name in differ if name not in at_once)


def _together(running: Settings, wanted: Settings, at_once: list[str]) -> Settings | None:
    try:
        return replace(running, **{name: getattr(wanted, name) for name in at_once})
    except ConfigurationError as error:
        # it goes together with another setting, which needs a restart
        if error.setting not in at_once:
            raise
        at_once.remove(error.setting)
        return None


def describe(name: str, old: Any, new: Any) -> Iterator[str]:
    """Lines that say how a setting has changed."""
    if not isinstance(new, tuple):
        yield f"{name}: {_text(old)} -> {_text(new)}"
        return
    keys = {key_of(each): each for each in old}
    for each in new:
        before = keys.pop(key_of(each), None)
        if before is None:
            yield f"{name}: {each} added"
        elif before != each:
            yield f"{name}: {before} -> {each}"
    for each in keys.values():
        yield f"{name}: {each} removed"


def key_of(entry: Any) -> object:
    """What tells an entry of a list from the others there."""
    for part in ("listen", "nickname"):
        if hasattr(entry, part):
            return getattr(entry, part)
    # an exposed protocol has one program, and many that may have it
    return entry.protocol if hasattr(entry, "target") else entry


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Enum):
        return str(value.value)
    return number_text(value) if isinstance(value, (int, float)) else str(value)

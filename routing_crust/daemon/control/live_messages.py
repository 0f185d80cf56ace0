"""
Commands that change a daemon while it runs, and their replies: one for each. A daemon answers those that it
has a handler for (L{routing_crust.daemon.control.server.ControlServer.handle}).
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from .line import ControlLine

Kind: TypeAlias = Literal["expose", "forward", "contacts"]
"""The settings whose entries can be added and removed one by one."""


class ReloadCommand(ControlLine, frozen=True, tag="reload"):
    """Read the settings file again, and apply it."""


class AddCommand(ControlLine, frozen=True, tag="add"):
    """
    Add an entry to a setting.

    @ivar entry: the entry, as the settings file has it.
    @ivar allow: who may have an exposed protocol, as names, nicknames, C{tag:TAG} or C{*}.
    @ivar save: whether to write it into the settings file as well.
    """

    setting: Kind
    entry: str
    allow: tuple[str, ...] = ()
    save: bool = False


class RemoveCommand(ControlLine, frozen=True, tag="remove"):
    """
    Remove an entry from a setting.

    @ivar entry: what tells it from the others: the protocol, the endpoint, or the address or name.
    @ivar save: as in L{AddCommand}.
    """

    setting: Kind
    entry: str
    save: bool = False


class ListCommand(ControlLine, frozen=True, tag="list"):
    """Ask for the entries of a setting that are in force."""

    setting: Kind


class ChangedReply(ControlLine, frozen=True, tag="changed"):
    """
    A change is in force.

    @ivar changed: what is different now, a line for each.
    @ivar stayed: the settings that are given and are as they were.
    @ivar restart: what is in force only after a restart, a line for each.
    @ivar ended: how many connections of local programs were ended.
    @ivar notes: what the operator should know besides.
    """

    changed: tuple[str, ...]
    stayed: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()
    ended: int = 0
    notes: tuple[str, ...] = ()


class ListedReply(ControlLine, frozen=True, tag="listed"):
    """
    The entries of a setting.

    @ivar entries: a table for each: C{entry}, C{origin} (C{settings}, C{added} or C{program}), and C{allow}
        or C{open} where that says something.
    """

    entries: tuple[dict[str, object], ...]


LiveCommand: TypeAlias = ReloadCommand | AddCommand | RemoveCommand | ListCommand
"""Commands that are answered by handlers of the daemon."""
LiveReply: TypeAlias = ChangedReply | ListedReply

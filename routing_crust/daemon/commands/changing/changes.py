"""C{reload}, and C{add}, C{remove} and C{list} of what a daemon exposes, forwards and knows as contacts."""

from __future__ import annotations

import argparse
import json
from typing import Final

from ...control.live_messages import (
    AddCommand,
    ChangedReply,
    Kind,
    ListCommand,
    ListedReply,
    ReloadCommand,
    RemoveCommand,
)
from ...text import printable
from .. import EXIT_OK
from ..here import connect, print_line, print_notes

CHANGE_TIMEOUT_SECONDS: Final = 60.0
"""A change may have to wait for others, and for ports to be closed."""
_SETTINGS: Final[dict[str, Kind]] = {"expose": "expose", "forward": "forward", "contact": "contacts"}
_NONE: Final[dict[Kind, str]] = {
    "expose": "nothing is exposed",
    "forward": "nothing is forwarded",
    "contacts": "there are no contacts",
}
_ORIGINS: Final = {
    "settings": "in the settings",
    "added": "added, not saved",
    "program": "by a program in the foreground",
}


def reload(options: argparse.Namespace) -> int:
    """Have the settings file read again."""
    with connect(options) as client:
        reply = client.ask(ReloadCommand(), ChangedReply, CHANGE_TIMEOUT_SECONDS)
    if options.json:
        print_line(
            json.dumps(
                {
                    "changed": reply.changed,
                    "stayed": reply.stayed,
                    "restart": reply.restart,
                    "connections_ended": reply.ended,
                },
                indent=2,
            )
        )
        return EXIT_OK
    for line in reply.changed:
        _print("changed", line)
    if reply.ended:
        _print("ended", f"{reply.ended} connections that are not allowed any more")
    if not reply.changed:
        _print("changed", "nothing")
    if reply.stayed:
        _print("stayed", ", ".join(reply.stayed))
    for line in reply.restart:
        _print("restart", f"{line}: restart the daemon for it")
    return EXIT_OK


def add(options: argparse.Namespace) -> int:
    """Add an entry."""
    keep = getattr(options, "keep", None)
    command = AddCommand(
        setting=_setting(options),
        entry=options.what if keep is None else f"{options.what} keep {keep}",
        allow=tuple(getattr(options, "allow", ())),
        save=options.save,
    )
    with connect(options) as client:
        _tell(client.ask(command, ChangedReply, CHANGE_TIMEOUT_SECONDS))
    return EXIT_OK


def remove(options: argparse.Namespace) -> int:
    """Remove an entry."""
    command = RemoveCommand(setting=_setting(options), entry=options.what, save=options.save)
    with connect(options) as client:
        _tell(client.ask(command, ChangedReply, CHANGE_TIMEOUT_SECONDS))
    return EXIT_OK


def entries(options: argparse.Namespace) -> int:
    """List the entries."""
    with connect(options) as client:
        reply = client.ask(ListCommand(setting=_setting(options)), ListedReply, CHANGE_TIMEOUT_SECONDS)
    if options.json:
        print_line(json.dumps(reply.entries, indent=2))
        return EXIT_OK
    if not reply.entries:
        # on the standard error: a script that counts lines gets 0
        print_notes([_NONE[_setting(options)]])
    for each in reply.entries:
        whom = each.get("allow")
        allowed = "" if not isinstance(whom, list) else f" to {', '.join(map(str, whom)) or 'nobody'}"
        origin = _ORIGINS.get(str(each["origin"]), str(each["origin"]))
        print_line(printable(f"{each['entry']}{allowed}, {origin}".encode()))
    return EXIT_OK


def _setting(options: argparse.Namespace) -> Kind:
    return _SETTINGS[options.command.partition(" ")[0]]


def _tell(reply: ChangedReply) -> None:
    for line in reply.changed:
        print_line(printable(line.encode()))
    if reply.ended:
        print_line(f"ended: {reply.ended} connections")
    print_notes(reply.notes)


def _print(what: str, line: str) -> None:
    print_line(f"{what:<8}{printable(line.encode())}")

"""C{completion}: a script for a shell, made from the parser; and the names of nodes that it completes."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from typing import Any, Final

from ...forwarding_rules import is_nickname
from ...plain_errors import RoutingCrustError
from ..commands import EXIT_OK
from ..commands.arguments import COMPLETE_NAMES, make_parser
from ..commands.changing.arguments import VERBS
from ..commands.here import connect, print_line
from ..control.client import ClientError
from ..control.member_messages import MembersCommand, MembersReply
from ..control.messages import StatusCommand, StatusReply
from .parsers import subparsers

TIMEOUT_SECONDS: Final = 1.0
"""How long the daemon may take to answer: somebody has pressed the Tab key, and waits."""
_NAMES_OF_NODES: Final = ("NAME", "MEMBER")
_NAMES_COMMAND: Final = f"routing-crust completion {COMPLETE_NAMES} 2>/dev/null"


class NoCompletion(RoutingCrustError):
    """The package that makes the scripts is not installed."""


def completion(options: argparse.Namespace) -> int:
    """Print the script, or the names."""
    if options.shell == COMPLETE_NAMES:
        for each in _names(options):
            print_line(each)
    else:
        print_line(script(options.shell))
    return EXIT_OK


def _nest(parser: argparse.ArgumentParser) -> None:
    """Make the commands of two words commands of the first one: a shell completes one word after another."""
    (commands,) = (each for each in parser._actions if isinstance(each, argparse._SubParsersAction))
    pairs = {name: each for name, each in commands.choices.items() if " " in name}
    helps = {each.dest: each.help for each in commands._choices_actions}
    for name in pairs:
        del commands.choices[name]
    commands._choices_actions = [each for each in commands._choices_actions if each.dest not in pairs]
    for first in dict.fromkeys(name.partition(" ")[0] for name in pairs):
        if first not in commands.choices:
            commands.add_parser(first, help=f"{', '.join(VERBS)}")
        verbs = commands.choices[first].add_subparsers()
        for name, each in pairs.items():
            if name.startswith(f"{first} "):
                verbs.add_parser(name.partition(" ")[2], parents=[each], add_help=False, help=helps[name])


def script(shell: str) -> str:
    """
    The script for a shell.

    @raise NoCompletion: C{shtab} is not installed.
    """
    try:
        import shtab
    except ImportError:
        raise NoCompletion(
            "this takes the package shtab: run 'pip install \"routing-crust[completion]\"'"
        ) from None
    parser = make_parser()
    kinds = {"FILE": shtab.FILE, "FOLDER": shtab.DIRECTORY}
    for command in subparsers(parser).values():
        for action in command._actions:
            completed = kinds.get(str(action.metavar))
            # init gives a name, and must not suggest one that is taken
            if completed is None and action.metavar in _NAMES_OF_NODES and command.prog.split()[-1] != "init":
                completed = shtab.cmd(_NAMES_COMMAND)
            if completed is not None:
                action.complete = completed  # type: ignore[attr-defined]
    _nest(parser)
    return str(shtab.complete(parser, shell))


def _names(options: argparse.Namespace) -> list[str]:
    try:
        with connect(options) as client:
            status = client.ask(StatusCommand(), StatusReply, TIMEOUT_SECONDS).status
            try:
                members = client.ask(MembersCommand(), MembersReply, TIMEOUT_SECONDS).members
            except ClientError:
                # an open network has none
                members = ()
    except RoutingCrustError:
        return []
    return completed_names(status.get("links", []), members)


def completed_names(links: Iterable[Mapping[str, Any]], members: Iterable[Mapping[str, Any]]) -> list[str]:
    """
    The names of the nodes that a daemon knows: the nickname of each, or its name where it has none.

    @return: in order. C{bash} expands such a list once more, so there is nothing in it but letters, digits
        and C{.}, C{_} and C{-}.
    """
    known = [(each.get("nickname"), each.get("peer")) for each in links]
    known += [(each.get("nickname"), each.get("name")) for each in members]
    texts = {str(nickname or name) for nickname, name in known if nickname or name}
    return sorted(each for each in texts if is_nickname(each) or each.isalnum())

"""
The console script C{routing-crust}: makes keys, and talks to the daemon on this machine.

Exit codes: 0 when all went well, 1 when it did not, 2 when the command line cannot be used.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Final, NoReturn

from ..plain_errors import RoutingCrustError
from .commands import EXIT_FAILED, EXIT_OK, EXIT_USAGE
from .commands.arguments import make_parser
from .commands.changing.arguments import PAIRS, VERBS, joined

COMMAND_MODULES: Final = {
    "init": "founding",
    "invite": "inviting",
    "join": "joining",
    "keygen": "keys",
    "name": "keys",
    "send": "messages",
    "request": "messages",
    "listen": "messages",
    "forward": "programs",
    "expose": "programs",
    "pipe": "commands.piping.pipe",
    "ssh-config": "commands.piping.ssh",
    "send-file": "commands.transferring.send_file",
    "receive": "commands.transferring.receive",
    "expose add": "commands.changing.changes",
    "expose remove": "commands.changing.changes",
    "expose list": "commands.changing.changes",
    "forward add": "commands.changing.changes",
    "forward remove": "commands.changing.changes",
    "forward list": "commands.changing.changes",
    "contact add": "commands.changing.changes",
    "contact remove": "commands.changing.changes",
    "contact list": "commands.changing.changes",
    "start": "commands.changing.running",
    "stop": "commands.changing.running",
    "reload": "commands.changing.changes",
    "status": "reports",
    "explain": "reports",
    "doctor": "doctor",
    "members": "administration",
    "ban": "administration",
    "renew": "administration",
    "tag": "administration",
    "role": "administration",
    "authority": "authority",
    "completion": "manual.completion",
    "manual": "manual.pages",
}
"""
For each command the module with its function, imported when it is called: in C{commands}, or from
this folder on.
"""
_UNTIL_INTERRUPTED: Final = ("listen", "forward", "expose")
"""Commands whose ordinary end is an interrupt."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the script with these arguments, by default those of the process, and exit."""
    words = joined(sys.argv[1:] if arguments is None else arguments)
    if len(words) == 2 and words[0] not in COMMAND_MODULES and words[1] in ("-h", "--help"):
        _help_of_pair(words[0])
    if words and not words[0].startswith("-") and words[0] not in COMMAND_MODULES:
        sys.stderr.write(f"routing-crust: error: {_no_command(words[0])}\n")
        sys.exit(EXIT_USAGE)
    verb = _meant_verb(words)
    if verb:
        sys.stderr.write(f"routing-crust: error: '{words[0]} {words[1]}' is no command; there is {verb!r}\n")
        sys.exit(EXIT_USAGE)
    options = make_parser().parse_args(words)
    try:
        code = _run(options)
        sys.stdout.flush()
    except RoutingCrustError as error:
        sys.stderr.write(f"routing-crust: {error}\n")
        code = EXIT_FAILED
    except KeyboardInterrupt:
        code = EXIT_OK if options.command in _UNTIL_INTERRUPTED else EXIT_FAILED
    except BrokenPipeError:
        # the reader of our output has seen enough; the interpreter must not try to flush it again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = EXIT_FAILED
    sys.exit(code)


def function_name(command: str) -> str:
    """The function of a command: it has its name, or that of the second word."""
    verb = command.rpartition(" ")[2].replace("-", "_")
    # a function called list would hide the class
    return "entries" if verb == "list" else verb


def _help_of_pair(first: str) -> None:
    """Print the commands that begin with this word, and exit. One that begins none is no error here."""
    if first in PAIRS:
        usages = [f"  routing-crust {first} {verb} --help\n" for verb in VERBS]
        sys.stdout.write(
            f"Change or list the {PAIRS[first]} of the daemon. Each command explains itself:\n\n"
        )
        sys.stdout.write("".join(usages))
        sys.exit(EXIT_OK)


def _no_command(word: str) -> str:
    """What to type in place of a first word that is no command."""
    longer = [each for each in COMMAND_MODULES if each.startswith(f"{word} ")]
    # only a mistake pays for loading it
    near: list[str] = longer or import_module("difflib").get_close_matches(word, COMMAND_MODULES)
    meant = f"; there is {', '.join(map(repr, near))}" if near else ""
    return f"{word!r} is no command{meant}: 'routing-crust --help' lists them all"


def _meant_verb(words: Sequence[str]) -> str:
    """The command of two words that a mistyped second word stands for; empty if it is none."""
    first, second = (*words, "", "")[:2]
    if first not in PAIRS or not second.isalpha():
        return ""
    near: list[str] = import_module("difflib").get_close_matches(second, VERBS, n=1)
    return f"{first} {near[0]}" if near else ""


def _run(options: argparse.Namespace) -> int:
    if not getattr(options, "start", False):
        return _function(options.command)(options)
    # C{init} and C{join} take as long to load as the daemon that they start, so that is loaded beside them
    from .members.starting import Starter

    with Starter() as starter:
        starter.prepare()
        return _function(options.command)(options, starter)


def _function(command: str) -> Callable[..., int]:
    name = COMMAND_MODULES[command]
    module = import_module(f".{name}" if "." in name else f".commands.{name}", __package__)
    function: Callable[..., int] = getattr(module, function_name(command))
    return function

"""
The command line of the console script C{routing-crust}: its commands, their options and their help.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Final

from ... import __version__
from ..state_directory import default_state_dir
from .administration_arguments import add_administration_commands
from .changing.arguments import add_changing_commands
from .member_arguments import add_member_commands
from .piping.arguments import add_pipe_commands
from .transferring.arguments import add_transfer_commands

DEFAULT_TIMEOUT_SECONDS: Final = 180.0
"""Longer than a message is tried for with the default settings."""

SHELLS: Final = ("bash", "zsh", "fish")
COMPLETE_NAMES: Final = "names"
"""What the scripts say in place of a shell, to complete the names of nodes."""

WATCH_SECONDS: Final = 1.0
"""Between two looks of C{status --watch}."""

_EPILOGUE: Final = """\
a first hour:
  routing-crust init home --start    here
  routing-crust invite laptop        here, which prints the command for there:
  routing-crust join --start LINE    there

exit codes: 0 done, 1 failed, 2 the command line cannot be used

'routing-crust COMMAND --help' explains a command. The daemon is started with
'twistd routing-node'; 'twistd routing-node --help' explains its options.
"""


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="routing-crust",
        description="Found or join a private network, and talk to the routing-node daemon on this machine.",
        epilog=_EPILOGUE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"routing-crust {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add(name: str, help: str, more: str = "") -> argparse.ArgumentParser:
        each = commands.add_parser(
            name,
            help=help,
            description=f"{help[0].upper()}{help[1:]}. {more}".strip(),
        )
        each.set_defaults(command=name)
        return each

    add_member_commands(add, _add_where)
    keygen = add("keygen", "make a new key and print the name that it gives", "It never replaces a key.")
    _add_key_file(keygen)
    name = add("name", "print the name of the node", "The daemon need not run, since the key gives the name.")
    _add_key_file(name)
    send = add("send", "send a message and wait until it is acknowledged")
    _add_message(send)
    request = add(
        "request",
        "send a request and print the answer",
        "The daemon at the other end answers 'ping' with 'pong'; its listeners answer other requests.",
    )
    _add_message(request)
    listen = add(
        "listen",
        "print the messages that come, until interrupted",
        "Each is a line: the name of its sender, a space and the text, with control characters written as "
        "escapes. A message that comes while no program listens is lost.",
    )
    listen.add_argument("--count", type=_later("count"), metavar="N", help="end after N messages")
    listen.add_argument(
        "--answer",
        metavar="TEXT",
        help="answer requests with this, and print them too (default: refuse them)",
    )
    _add_where(listen)
    forward = add(
        "forward",
        "forward a local port to a program that a peer exposes, until interrupted",
        "The daemon opens the port, on 127.0.0.1 unless the endpoint has an interface. When this command "
        "ends, the port is closed and open connections are cut. 'forward add' leaves it with the daemon.",
    )
    forward.add_argument(
        "what",
        type=_later("forward_text"),
        metavar="ENDPOINT=NAME/PROTOCOL",
        help="the port, the peer and its protocol, such as tcp:2222=backup/ssh or udp:5353=home/dns",
    )
    _add_keep(forward, "for how long connections may wait for another link when theirs is lost")
    _add_where(forward)
    expose = add(
        "expose",
        "let peers connect to a local program, until interrupted",
        "The daemon connects to the program for each of them. When this command ends, open connections are "
        "cut. 'expose add' leaves it with the daemon.",
    )
    expose.add_argument(
        "what",
        type=_later("exposure"),
        metavar="PROTOCOL=ENDPOINT",
        help="the name for peers, and the program's address, such as ssh=tcp:localhost:22 or "
        "dns=udp:127.0.0.1:53",
    )
    expose.add_argument(
        "--allow",
        action="append",
        default=[],
        type=_later("allowed"),
        metavar="NAME",
        help="a peer that may connect: its name or nickname, tag:TAG, or '*' for every node of the network; "
        "may be repeated (default: no peer)",
    )
    _add_keep(expose, "the longest that peers may have connections wait for another link")
    _add_where(expose)
    for each in add_pipe_commands(add, _later):
        _add_keep(each, "for how long the stream may wait for another link when its own is lost")
        _add_where(each)
    for each in add_transfer_commands(add, _later):
        _add_keep(each, "for how long a transfer may wait for another link when its own is lost")
        _add_where(each)
    add_changing_commands(add, _add_where, _later)
    doctor = add(
        "doctor",
        "look for what is wrong, and say what to do",
        "Each line is 'ok', 'warn' or 'fail'; the exit code is 1 if one of them is 'fail'. Contacts of the "
        "settings file are dialled.",
    )
    doctor.add_argument("--json", action="store_true", help="as JSON, for programs")
    _add_where(doctor)
    status = add("status", "show the state of the node, its links and its routing table")
    status.add_argument("--json", action="store_true", help="as JSON, for programs")
    status.add_argument(
        "--watch",
        nargs="?",
        const=WATCH_SECONDS,
        type=_later("seconds"),
        metavar="SECONDS",
        help="show it again every SECONDS seconds (default: %(const)g), until interrupted; with "
        "--json a line each",
    )
    _add_where(status)
    explain = add(
        "explain",
        "say why there is a link with a node, or none",
        "It shows the addresses of the node and where they are from, the attempts within the last hour with "
        "their results, and what happens next.",
    )
    explain.add_argument(
        "name",
        type=_later("node_name"),
        metavar="NAME",
        help="the node: its name, the first 8 or more characters of it, or a nickname",
    )
    explain.add_argument("--json", action="store_true", help="as JSON, for programs")
    _add_where(explain)
    add_administration_commands(add, _add_where)
    _add_manual(add)
    return parser


def _add_manual(add: Callable[..., argparse.ArgumentParser]) -> None:
    completion = add(
        "completion",
        "print a script that has a shell complete these commands",
        "Say 'source <(routing-crust completion bash)' in ~/.bashrc, or 'eval \"$(routing-crust completion "
        "zsh)\"' in ~/.zshrc after compinit; for fish, save it as "
        "~/.config/fish/completions/routing-crust.fish.",
    )
    completion.add_argument(
        "shell",
        choices=(*SHELLS, COMPLETE_NAMES),
        metavar="SHELL",
        help=f"{', '.join(SHELLS)}; or '{COMPLETE_NAMES}', the names that the scripts complete",
    )
    _add_where(completion)
    manual = add(
        "manual",
        "write the manual pages of these commands and of the daemon",
        "They are written into FOLDER/man1; 'man -l FOLDER/man1/routing-crust.1' shows the first.",
    )
    manual.add_argument("folder", type=Path, metavar="FOLDER", help="such as ~/.local/share/man")
    _add_where(manual)


def _add_key_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file",
        nargs="?",
        type=Path,
        metavar="FILE",
        help="the key file (default: key.pem in the state directory)",
    )
    _add_where(parser)


def _add_message(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "name",
        type=_later("node_name"),
        metavar="NAME",
        help="the node: its name, the first 8 or more characters of it, or a nickname",
    )
    parser.add_argument("text", metavar="TEXT", help="what to send; '-' is the standard input")
    parser.add_argument(
        "--timeout",
        type=_later("seconds"),
        default=DEFAULT_TIMEOUT_SECONDS,
        metavar="SECONDS",
        help="give up waiting after so long (default: %(default)g)",
    )
    _add_where(parser)


def _add_keep(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument(
        "--keep",
        type=_later("keep"),
        metavar="TIME",
        help=f"{what}, such as 90s, 10m, 1h or 2d; 0 for no time (default: as the daemon is set)",
    )


def _add_where(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("which daemon")
    group.add_argument(
        "--state-dir",
        type=Path,
        metavar="FOLDER",
        help=f"its state directory (default: {default_state_dir('ID')}, with ID the network's)".replace(
            "%", "%%"
        ),
    )
    group.add_argument(
        "--network", metavar="ID", help="the network that it is in (default: the one of this machine)"
    )
    group.add_argument("--config", type=Path, metavar="FILE", help="read both from the daemon's TOML file")


def _later(function: str) -> Callable[[str], object]:
    """A function of L{routing_crust.daemon.commands.values}, loaded with what it needs when it is called."""

    def value(text: str) -> object:
        found: Callable[[str], object] = getattr(import_module(".values", __package__), function)
        return found(text)

    return value

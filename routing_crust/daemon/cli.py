"""
The console script C{routing-crust}: it makes keys, and talks to the daemon that runs on this machine.

Exit codes: 0 when all went well, 1 when it did not, 2 when the command line cannot be used.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NoReturn

from .._version import __version__
from ..config import Settings
from ..errors import InvalidName, InvalidPairing, RoutingCrustError
from ..forwarding_rules import EVERYONE, Exposure, is_nickname, split_forward
from ..identity import create_identity, load_identity
from ..names import Name
from .control.client import ControlClient
from .control.messages import (
    Answer,
    Done,
    Dropped,
    ExplainCommand,
    ExplainReply,
    ExposeCommand,
    Exposing,
    ForwardCommand,
    Forwarding,
    ListenCommand,
    Listening,
    Received,
    RequestCommand,
    SendCommand,
    StatusCommand,
    StatusReply,
)
from .settings_file import merge_settings, read_settings_file
from .state_directory import default_state_dir, key_path, prepare_state_dir, socket_path
from .text import explanation_text, printable, status_text

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
STATUS_TIMEOUT: Final = 10.0
"""In seconds: the daemon answers at once, if it answers."""
DEFAULT_TIMEOUT: Final = 180.0
"""In seconds: longer than a message is tried for, with the default settings."""

_EPILOGUE: Final = """\
exit codes: 0 done, 1 failed, 2 the command line cannot be used

'routing-crust COMMAND --help' explains a command. The daemon is started with
'twistd routing-node'; 'twistd routing-node --help' explains its options.
"""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the script with these arguments, C{None} for those of the process, and exit."""
    options = make_parser().parse_args(arguments)
    try:
        code = options.run(options)
        sys.stdout.flush()
    except RoutingCrustError as error:
        sys.stderr.write(f"routing-crust: {error}\n")
        code = EXIT_FAILED
    except KeyboardInterrupt:
        code = EXIT_OK if options.run in (_listen, _forward, _expose) else EXIT_FAILED
    except BrokenPipeError:
        # whoever read our output has seen enough; the interpreter must not try to flush it again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = EXIT_FAILED
    sys.exit(code)


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="routing-crust",
        description="Make keys for nodes, and talk to the routing-node daemon on this machine.",
        epilog=_EPILOGUE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"routing-crust {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add(
        name: str, run: Callable[[argparse.Namespace], int], help: str, more: str = ""
    ) -> argparse.ArgumentParser:
        each = commands.add_parser(
            name,
            help=help,
            description=f"{help[0].upper()}{help[1:]}. {more}".strip(),
        )
        each.set_defaults(run=run)
        return each

    keygen = add(
        "keygen", _keygen, "make a new key and print the name that it gives", "An old key is never replaced."
    )
    _add_key_file(keygen)
    name = add("name", _name, "print the name of the node", "The daemon need not run: it is in the key.")
    _add_key_file(name)
    send = add("send", _send, "send a message and wait until it is acknowledged")
    _add_message(send)
    request = add(
        "request",
        _request,
        "send a request and print the answer",
        "The daemon at the other end answers 'ping' with 'pong'; the rest is up to its listeners.",
    )
    _add_message(request)
    listen = add(
        "listen",
        _listen,
        "print the messages that come, until interrupted",
        "Each is a line: the name of its source, a space and the text, in which control characters are "
        "written as escapes. What comes while nobody listens is lost.",
    )
    listen.add_argument("--count", type=_count, metavar="N", help="end after N messages")
    listen.add_argument(
        "--answer",
        metavar="TEXT",
        help="answer requests with this, and print them too (default: refuse them)",
    )
    _add_where(listen)
    forward = add(
        "forward",
        _forward,
        "carry what connects to a local port to what a peer exposes, until interrupted",
        "The daemon listens, on 127.0.0.1 unless the endpoint has an interface; the port is closed, and what "
        "is open is cut, when this command ends.",
    )
    forward.add_argument(
        "what",
        type=_forward_text,
        metavar="ENDPOINT=NAME/PROTOCOL",
        help="where to listen, and what to carry it to; such as tcp:2222=backup/ssh",
    )
    _add_where(forward)
    expose = add(
        "expose",
        _expose,
        "let peers connect to a local program, until interrupted",
        "The daemon connects to the program. When this command ends, what is open is cut.",
    )
    expose.add_argument(
        "what",
        type=_exposure,
        metavar="PROTOCOL=ENDPOINT",
        help="what peers call it, and where the program is; such as ssh=tcp:localhost:22",
    )
    expose.add_argument(
        "--allow",
        action="append",
        default=[],
        type=_allowed,
        metavar="NAME",
        help="who may: a name or nickname, or '*' for every node of the network; may be repeated (default: "
        "nobody)",
    )
    _add_where(expose)
    status = add("status", _status, "show the state of the node, its links and its routing table")
    status.add_argument("--json", action="store_true", help="as JSON, for programs")
    _add_where(status)
    explain = add(
        "explain",
        _explain,
        "say why there is a link with a node, or none",
        "It shows where the node may be found and who has said so, what was tried within the last hour and "
        "what came of it, and what happens next.",
    )
    explain.add_argument("name", type=_node_name, metavar="NAME", help="the node: its name, or a nickname")
    explain.add_argument("--json", action="store_true", help="as JSON, for programs")
    _add_where(explain)
    return parser


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
    parser.add_argument("name", type=_node_name, metavar="NAME", help="the node: its name, or a nickname")
    parser.add_argument("text", metavar="TEXT", help="what to send")
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=DEFAULT_TIMEOUT,
        metavar="SECONDS",
        help="give up waiting after so long (default: %(default)g)",
    )
    _add_where(parser)


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
    group.add_argument("--network", metavar="ID", help="the network that it is in (default: default)")
    group.add_argument(
        "--config", type=Path, metavar="FILE", help="read both from the TOML file of the daemon"
    )


def _forward_text(text: str) -> tuple[str, str, str]:
    try:
        listen, who, protocol = split_forward(text)
    except InvalidPairing as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return listen, _node_name(who), protocol


def _exposure(text: str) -> Exposure:
    try:
        return Exposure.from_text(text)
    except InvalidPairing as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _allowed(text: str) -> str:
    return text if text == EVERYONE else _node_name(text)


def _node_name(text: str) -> str:
    if is_nickname(text):
        return text  # the daemon knows them
    try:
        return str(Name.from_text(text))
    except InvalidName as error:
        raise argparse.ArgumentTypeError(f"{error}; 'routing-crust name' prints that of a node") from None


def _count(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a count: write 1 or more")
    return number


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 86400:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time: write 0.1 to 86400 seconds")
    return seconds


def _settings(options: argparse.Namespace) -> Settings:
    given = {
        name: str(value)
        for name, value in (("state_dir", options.state_dir), ("network", options.network))
        if value is not None
    }
    in_file = {} if options.config is None else read_settings_file(options.config)
    return merge_settings(given, in_file, options.config)


def _state_dir(options: argparse.Namespace) -> Path:
    settings = _settings(options)
    return (settings.state_dir or default_state_dir(settings.network)).absolute()


def _connect(options: argparse.Namespace) -> ControlClient:
    command = ["twistd routing-node"]
    for option in ("config", "network", "state_dir"):
        value = getattr(options, option)
        if value is not None:
            command.append(f"--{option.replace('_', '-')}={value}")
    return ControlClient(socket_path(_state_dir(options)), " ".join(command))


def _keygen(options: argparse.Namespace) -> int:
    if options.file is None:
        state_dir = _state_dir(options)
        prepare_state_dir(state_dir)
        path = key_path(state_dir)
    else:
        path = options.file
    _print(str(create_identity(path).name))
    return EXIT_OK


def _name(options: argparse.Namespace) -> int:
    path = key_path(_state_dir(options)) if options.file is None else options.file
    _print(str(load_identity(path).name))
    return EXIT_OK


def _send(options: argparse.Namespace) -> int:
    with _connect(options) as client:
        client.ask(SendCommand(name=str(options.name), body=_body(options.text)), Done, options.timeout)
    return EXIT_OK


def _request(options: argparse.Namespace) -> int:
    command = RequestCommand(name=str(options.name), body=_body(options.text))
    with _connect(options) as client:
        _print(printable(client.ask(command, Answer, options.timeout).body))
    return EXIT_OK


def _listen(options: argparse.Namespace) -> int:
    answer = None if options.answer is None else _body(options.answer)
    left = options.count
    with _connect(options) as client:
        client.ask(ListenCommand(answer=answer), Listening, STATUS_TIMEOUT)
        for reply in client.replies():
            if isinstance(reply, Received):
                _print(f"{reply.source} {printable(reply.body)}")
                left = None if left is None else left - 1
                if left == 0:
                    break
            elif isinstance(reply, Dropped):
                sys.stderr.write(f"routing-crust: {reply.count} messages came too fast and are left out\n")
    return EXIT_OK


def _forward(options: argparse.Namespace) -> int:
    listen, who, protocol = options.what
    command = ForwardCommand(listen=listen, name=who, protocol=protocol)
    with _connect(options) as client:
        forwarding = client.ask(command, Forwarding, STATUS_TIMEOUT)
        _print(f"forwarding {forwarding.listen} to {protocol} of {who}")
        client.wait_for_the_end()


def _expose(options: argparse.Namespace) -> int:
    protocol, target = options.what.protocol, options.what.target
    command = ExposeCommand(protocol=protocol, target=target, allow=tuple(options.allow))
    with _connect(options) as client:
        client.ask(command, Exposing, STATUS_TIMEOUT)
        _print(f"exposing {target} as {protocol} to {', '.join(options.allow) or 'nobody'}")
        client.wait_for_the_end()


def _status(options: argparse.Namespace) -> int:
    with _connect(options) as client:
        status = client.ask(StatusCommand(), StatusReply, STATUS_TIMEOUT).status
    _print(json.dumps(status, indent=2) if options.json else status_text(status))
    return EXIT_OK


def _explain(options: argparse.Namespace) -> int:
    command = ExplainCommand(name=str(options.name))
    with _connect(options) as client:
        explanation = client.ask(command, ExplainReply, STATUS_TIMEOUT).explanation
    _print(json.dumps(explanation, indent=2) if options.json else explanation_text(explanation))
    return EXIT_OK


def _body(text: str) -> bytes:
    # what was not UTF-8 on the command line goes out as the bytes that it was
    return text.encode("utf-8", "surrogateescape")


def _print(line: str) -> None:
    # at once: listeners are often read by other programs
    sys.stdout.write(line + "\n")
    sys.stdout.flush()

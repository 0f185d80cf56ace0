"""
The console script C{routing-crust}: makes keys, and talks to the daemon on this machine.

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

from ..config import Settings
from ..errors import RoutingCrustError
from ..identity import create_identity, load_identity
from .arguments import make_parser
from .control.client import ControlClient
from .control.messages import (
    AnswerReply,
    DoneReply,
    DroppedReply,
    ExplainCommand,
    ExplainReply,
    ExposeCommand,
    ExposingReply,
    ForwardCommand,
    ForwardingReply,
    ListenCommand,
    ListeningReply,
    ReceivedReply,
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
STATUS_TIMEOUT_SECONDS: Final = 10.0
"""The daemon answers these commands at once, if it answers."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the script with these arguments, by default those of the process, and exit."""
    options = make_parser().parse_args(arguments)
    try:
        code = _COMMANDS[options.command](options)
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
        client.ask(SendCommand(name=str(options.name), body=_body(options.text)), DoneReply, options.timeout)
    return EXIT_OK


def _request(options: argparse.Namespace) -> int:
    command = RequestCommand(name=str(options.name), body=_body(options.text))
    with _connect(options) as client:
        _print(printable(client.ask(command, AnswerReply, options.timeout).body))
    return EXIT_OK


def _listen(options: argparse.Namespace) -> int:
    answer = None if options.answer is None else _body(options.answer)
    left = options.count
    with _connect(options) as client:
        client.ask(ListenCommand(answer=answer), ListeningReply, STATUS_TIMEOUT_SECONDS)
        for reply in client.replies():
            if isinstance(reply, ReceivedReply):
                _print(f"{reply.source} {printable(reply.body)}")
                left = None if left is None else left - 1
                if left == 0:
                    break
            elif isinstance(reply, DroppedReply):
                sys.stderr.write(f"routing-crust: {reply.count} messages came too fast and are left out\n")
    return EXIT_OK


def _forward(options: argparse.Namespace) -> int:
    listen, who, protocol = options.what
    command = ForwardCommand(listen=listen, name=who, protocol=protocol)
    with _connect(options) as client:
        forwarding = client.ask(command, ForwardingReply, STATUS_TIMEOUT_SECONDS)
        _print(f"forwarding {forwarding.listen} to {protocol} of {who}")
        client.wait_for_the_end()


def _expose(options: argparse.Namespace) -> int:
    protocol, target = options.what.protocol, options.what.target
    command = ExposeCommand(protocol=protocol, target=target, allow=tuple(options.allow))
    with _connect(options) as client:
        client.ask(command, ExposingReply, STATUS_TIMEOUT_SECONDS)
        _print(f"exposing {target} as {protocol} to {', '.join(options.allow) or 'nobody'}")
        client.wait_for_the_end()


def _status(options: argparse.Namespace) -> int:
    with _connect(options) as client:
        status = client.ask(StatusCommand(), StatusReply, STATUS_TIMEOUT_SECONDS).status
    _print(json.dumps(status, indent=2) if options.json else status_text(status))
    return EXIT_OK


def _explain(options: argparse.Namespace) -> int:
    command = ExplainCommand(name=str(options.name))
    with _connect(options) as client:
        explanation = client.ask(command, ExplainReply, STATUS_TIMEOUT_SECONDS).explanation
    _print(json.dumps(explanation, indent=2) if options.json else explanation_text(explanation))
    return EXIT_OK


def _body(text: str) -> bytes:
    # bytes of the command line that are no UTF-8 go out as they came
    return text.encode("utf-8", "surrogateescape")


def _print(line: str) -> None:
    # flushed line by line: programs read this through a pipe
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


_COMMANDS: Final[dict[str, Callable[[argparse.Namespace], int]]] = {
    "keygen": _keygen,
    "name": _name,
    "send": _send,
    "request": _request,
    "listen": _listen,
    "forward": _forward,
    "expose": _expose,
    "status": _status,
    "explain": _explain,
}
_UNTIL_INTERRUPTED: Final = ("listen", "forward", "expose")
"""Commands whose ordinary end is an interrupt."""

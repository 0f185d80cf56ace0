"""C{pipe}: connects the standard input and output to a program that a peer exposes."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack, nullcontext
from typing import Final

from ...control.client import ClientError, ControlClient, NoDaemon
from ...control.session_messages import OpenCommand, OpenedReply
from ...text import one_line
from .. import EXIT_OK
from ..here import connect
from .carrying import PipeCarrier
from .hints import explained
from .progress import CarriedLine

OPEN_TIMEOUT_SECONDS: Final = 180.0
"""Longer than the daemon looks for a peer."""


def pipe(options: argparse.Namespace) -> int:
    """Carry the standard input and output until the stream is over."""
    who, protocol = options.what
    command = OpenCommand(name=who, protocol=protocol, keep=options.keep)
    with ExitStack() as stack:
        client = _connected(options, stack)
        _open(client, command)
        carrier = PipeCarrier(*client.becomes_a_stream(), sys.stdin.fileno(), sys.stdout.fileno())
        with CarriedLine(carrier) if options.progress else nullcontext():
            carrier.run()
    return EXIT_OK


def _connected(options: argparse.Namespace, stack: ExitStack) -> ControlClient:
    try:
        return stack.enter_context(connect(options))
    except NoDaemon as problem:
        # what it takes is loaded where it is needed: a pipe starts as fast as it can
        from .own_client import own_client

        return own_client(options, stack, problem)


def _open(client: ControlClient, command: OpenCommand) -> None:
    try:
        client.ask(command, OpenedReply, OPEN_TIMEOUT_SECONDS)
    except ClientError as error:
        said = ClientError(one_line(explained(error, command.name, command.protocol)))
        said.kind = error.kind
        raise said from None

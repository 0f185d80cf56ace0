"""C{send}, C{request} and C{listen}: messages by name."""

from __future__ import annotations

import argparse
import sys

from ..control.messages import (
    AnswerReply,
    DoneReply,
    DroppedReply,
    ListenCommand,
    ListeningReply,
    ReceivedReply,
    RequestCommand,
    SendCommand,
)
from ..text import printable
from . import EXIT_OK
from .here import STATUS_TIMEOUT_SECONDS, body_of, connect, print_line


def send(options: argparse.Namespace) -> int:
    """Send a message, and wait until it is acknowledged."""
    command = SendCommand(name=str(options.name), body=body_of(options.text))
    with connect(options) as client:
        client.ask(command, DoneReply, options.timeout)
    return EXIT_OK


def request(options: argparse.Namespace) -> int:
    """Send a request, and print the answer."""
    command = RequestCommand(name=str(options.name), body=body_of(options.text))
    with connect(options) as client:
        print_line(printable(client.ask(command, AnswerReply, options.timeout).body))
    return EXIT_OK


def listen(options: argparse.Namespace) -> int:
    """Print the messages that come."""
    answer = None if options.answer is None else body_of(options.answer)
    left = options.count
    with connect(options) as client:
        client.ask(ListenCommand(answer=answer), ListeningReply, STATUS_TIMEOUT_SECONDS)
        for reply in client.replies():
            if isinstance(reply, ReceivedReply):
                print_line(f"{reply.source} {printable(reply.body)}")
                left = None if left is None else left - 1
                if left == 0:
                    break
            elif isinstance(reply, DroppedReply):
                sys.stderr.write(f"routing-crust: {reply.count} messages came too fast and are left out\n")
    return EXIT_OK

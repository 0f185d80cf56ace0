"""C{send}, C{request} and C{listen}: messages by name."""

from __future__ import annotations

import argparse
import sys
from types import TracebackType

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
from ..text import done_text, printable, size_text
from ..watching.progress_line import ERASE, write_error
from . import EXIT_OK
from .here import STATUS_TIMEOUT_SECONDS, body_of, connect, print_line


def send(options: argparse.Namespace) -> int:
    """Send a message, and wait until it is acknowledged."""
    command = SendCommand(name=str(options.name), body=body_of(options.text))
    with connect(options) as client, Progress(options.name, len(command.body)) as progress:
        done = client.ask(command, DoneReply, options.timeout, progress.waiting)
    print_line(done_text(options.name, done.name, done.way, done.seconds))
    return EXIT_OK


def request(options: argparse.Namespace) -> int:
    """Send a request, and print the answer."""
    command = RequestCommand(name=str(options.name), body=body_of(options.text))
    with connect(options) as client, Progress(options.name, len(command.body)) as progress:
        answer = client.ask(command, AnswerReply, options.timeout, progress.waiting)
    print_line(printable(answer.body))
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


class Progress:
    """
    What a terminal shows while a command waits for one message: a line, which is gone when there is a result.
    A context manager. Where the standard error is no terminal nothing is shown.
    """

    def __init__(self, who: str, size: int) -> None:
        """
        @param who: what the operator calls the peer.
        @param size: the number of bytes that it is sent.
        """
        self._what = f"{size_text(size)} for {who}"
        self._shown = False

    def waiting(self, seconds: float) -> None:
        """Show for how long the message has been under way."""
        if sys.stderr.isatty():
            write_error(f"{ERASE}waiting for {self._what}: {seconds:.0f} s")
            self._shown = True

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._shown:
            write_error(ERASE)

"""C{send-file}: sends files and folders to a node where C{receive} runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from ...control.client import ClientError, ControlClient
from ...control.session_messages import OpenCommand, OpenedReply
from ...text import one_line
from ...transfer.channel import Channel, ChannelLost
from ...transfer.messages import PROTOCOL
from ...transfer.sender import Sender
from ...transfer.source import Source
from .. import EXIT_OK
from ..here import connect
from ..piping.hints import NOT_ALLOWED, NOT_OFFERED, explained
from ..piping.pipe import OPEN_TIMEOUT_SECONDS
from .progress import TransferLine
from .reporting import finished_text, offer_text, print_digests, print_json, sums_fields


def send_file(options: argparse.Namespace) -> int:
    """Send files and folders."""
    who: str = options.name
    source = Source.of(options.paths, _left_out)
    offer = source.offer()
    with connect(options) as client:
        _open(client, OpenCommand(name=who, protocol=PROTOCOL, keep=options.keep))
        sender = Sender(Channel(*client.becomes_a_stream()), source)
        if options.json:
            print_json("offered", files=offer.files, folders=offer.folders, bytes=offer.size)
        else:
            _say(f"offering {who} {offer_text(offer)}")
        began: list[float] = []

        def accepted() -> None:
            began.append(monotonic())
            if options.json:
                print_json("accepted")

        try:
            with TransferLine(sender.sums), _told_if_it_fails(options, sender):
                sender.run(offer, accepted)
        except ChannelLost as error:
            raise ClientError(
                f"{error}; send it again, and what has arrived at {who} is not sent twice"
            ) from None
    seconds = monotonic() - began[0]
    if options.json:
        print_json("sent", **sums_fields(sender.sums, sender.digests, seconds))
    else:
        _say(finished_text("sent to", who, sender.sums, seconds))
        print_digests(sender.digests)
    return EXIT_OK


@contextmanager
def _told_if_it_fails(options: argparse.Namespace, sender: Sender) -> Iterator[None]:
    """Say for JSON what was sent, also after an interrupt."""
    try:
        yield
    except BaseException as error:
        if options.json:
            print_json("failed", problem=str(error), moved=sender.sums.moved)
        raise


def _open(client: ControlClient, command: OpenCommand) -> None:
    try:
        client.ask(command, OpenedReply, OPEN_TIMEOUT_SECONDS)
    except ClientError as error:
        who, text = command.name, str(error)
        if text.startswith(NOT_OFFERED):
            text = f"{who} does not receive: run 'routing-crust receive' there, and this again"
        elif text.startswith(NOT_ALLOWED):
            text = (
                f"{who} takes no files from this node: name it there with 'routing-crust receive "
                "--accept-from NAME'; 'routing-crust name' here prints the name"
            )
        else:
            text = explained(error, who, PROTOCOL)
        raise ClientError(one_line(text)) from None


def _left_out(text: str) -> None:
    sys.stderr.write(f"routing-crust: {text}\n")


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")

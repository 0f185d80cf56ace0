"""C{expose} and C{forward}: local programs for peers, and programs of peers at local ports."""

from __future__ import annotations

import argparse
from functools import partial

from ..control.messages import Reply
from ..control.session_messages import (
    ExposeCommand,
    ExposingReply,
    ForwardCommand,
    ForwardingReply,
    ReportReply,
    SuspensionReply,
)
from ..text import printable, suspension_text
from .here import STATUS_TIMEOUT_SECONDS, connect, print_line, print_notes


def forward(options: argparse.Namespace) -> int:
    """Open a local port until interrupted."""
    listen, who, protocol = options.what
    command = ForwardCommand(listen=listen, name=who, protocol=protocol, keep=options.keep)
    with connect(options) as client:
        forwarding = client.ask(command, ForwardingReply, STATUS_TIMEOUT_SECONDS)
        print_line(f"forwarding {forwarding.listen} to {protocol} of {who}")
        client.wait_for_the_end(partial(_report, who=who))


def expose(options: argparse.Namespace) -> int:
    """Let peers connect to a local program until interrupted."""
    protocol, target = options.what.protocol, options.what.target
    keep = options.what.keep if options.keep is None else options.keep
    command = ExposeCommand(protocol=protocol, target=target, allow=tuple(options.allow), keep=keep)
    with connect(options) as client:
        exposing = client.ask(command, ExposingReply, STATUS_TIMEOUT_SECONDS)
        print_line(f"exposing {target} as {protocol} to {', '.join(options.allow) or 'nobody'}")
        print_notes(exposing.notes)
        client.wait_for_the_end(_report)


def _report(reply: Reply, who: str | None = None) -> None:
    """
    Print what becomes of peers, and of connections whose link is lost.

    @param who: what the operator calls the one peer, if there is only one.
    """
    if isinstance(reply, ReportReply):
        print_line(printable(f"{who or reply.peer}: {reply.text}".encode()))
    elif isinstance(reply, SuspensionReply):
        print_line(
            suspension_text(who or reply.peer, reply.change, reply.count, reply.seconds, reply.because)
        )

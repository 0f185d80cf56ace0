"""C{expose} and C{forward}: local programs for peers, and programs of peers at local ports."""

from __future__ import annotations

import argparse

from ..control.messages import ExposeCommand, ExposingReply, ForwardCommand, ForwardingReply
from .here import STATUS_TIMEOUT_SECONDS, connect, print_line


def forward(options: argparse.Namespace) -> int:
    """Open a local port until interrupted."""
    listen, who, protocol = options.what
    command = ForwardCommand(listen=listen, name=who, protocol=protocol)
    with connect(options) as client:
        forwarding = client.ask(command, ForwardingReply, STATUS_TIMEOUT_SECONDS)
        print_line(f"forwarding {forwarding.listen} to {protocol} of {who}")
        client.wait_for_the_end()


def expose(options: argparse.Namespace) -> int:
    """Let peers connect to a local program until interrupted."""
    protocol, target = options.what.protocol, options.what.target
    command = ExposeCommand(protocol=protocol, target=target, allow=tuple(options.allow))
    with connect(options) as client:
        client.ask(command, ExposingReply, STATUS_TIMEOUT_SECONDS)
        print_line(f"exposing {target} as {protocol} to {', '.join(options.allow) or 'nobody'}")
        client.wait_for_the_end()

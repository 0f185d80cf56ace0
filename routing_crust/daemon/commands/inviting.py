"""C{invite}: invitations to the private network of the daemon on this machine."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import Final

from ...plain_errors import RoutingCrustError
from ..control.member_messages import (
    ROUTERS_SECONDS,
    InvitationsCommand,
    InvitationsReply,
    InviteCommand,
    InvitedReply,
)
from ..text import invitations_text
from . import EXIT_OK
from .here import STATUS_TIMEOUT_SECONDS, connect, print_line

INVITE_TIMEOUT_SECONDS: Final = STATUS_TIMEOUT_SECONDS + ROUTERS_SECONDS


class NoQrCodes(RoutingCrustError):
    """The package that draws QR codes is not installed."""


def invite(options: argparse.Namespace) -> int:
    """Print the command that lets another machine in."""
    if options.list or options.void:
        return _invitations(options)
    # before anything is done that would have to be undone
    draw = _drawing() if options.qr else None
    command = InviteCommand(
        nickname=options.nickname,
        roles=tuple(options.role),
        tags=tuple(options.tag),
        uses=options.uses,
        lifetime=options.expires,
        allow=tuple(options.allow),
        at=tuple(options.at),
        addresses=tuple(options.address),
        short=options.short,
    )
    with connect(options) as client:
        invited = client.ask(
            command, InvitedReply, INVITE_TIMEOUT_SECONDS, None if options.json else _WaitNotice().tell
        )
    line = f"routing-crust join {invited.line}"
    if options.json:
        facts = {
            "command": line,
            "invitation": invited.line,
            "expires": invited.expires,
            "uses": options.uses,
            "endpoints": invited.endpoints,
            "warning": invited.warning,
            "not_exposed": invited.not_exposed,
        }
        print_line(json.dumps(facts, indent=2))
    else:
        # beside the line, so that the line alone goes through a pipe
        sys.stderr.write(_explanation(options, invited))
        print_line(line)
    if draw is not None:
        draw(invited.line)
    return EXIT_OK


class _WaitNotice:
    """Says once what is waited for."""

    def __init__(self) -> None:
        self._said = False

    def tell(self, _: float) -> None:
        """Another second has gone by."""
        if not self._said:
            self._said = True
            sys.stderr.write("asking the router here for a port that the other machine can dial ...\n")


def _invitations(options: argparse.Namespace) -> int:
    with connect(options) as client:
        reply = client.ask(InvitationsCommand(options.void), InvitationsReply, STATUS_TIMEOUT_SECONDS)
    if options.json:
        print_line(json.dumps({"invitations": reply.invitations}, indent=2))
    elif options.void:
        which = reply.invitations[0]["id"]
        print_line(f"the invitation {which} is taken back: nobody can redeem it any more")
    else:
        print_line(invitations_text(reply.invitations))
    return EXIT_OK


def _explanation(options: argparse.Namespace, invited: InvitedReply) -> str:
    who = options.nickname or "the other machine"
    often = "once" if options.uses == 1 else f"{options.uses} times"
    until = time.strftime("%Y-%m-%d %H:%M", time.localtime(invited.expires))
    daemons = "this daemon" if options.short else "this daemon or an admin's"
    text = f"Type this on {who}; it works {often}, until {until}, while {daemons} runs:\n"
    if invited.warning:
        text = f"Note: {invited.warning}.\n{text}"
    for each in invited.not_exposed:
        text = (
            f"Note: nothing is exposed here as {each} so far: 'routing-crust expose add "
            f"{each}=tcp:localhost:PORT' does it.\n{text}"
        )
    return text


def _drawing() -> Callable[[str], None]:
    try:
        import segno
    except ImportError:
        raise NoQrCodes(
            "QR codes need the package segno: run 'pip install routing-crust[qr]', or leave --qr out"
        ) from None

    def draw(line: str) -> None:
        # upper case takes less room in a code, and means the same
        segno.make(line.upper()).terminal(out=sys.stderr, compact=True)

    return draw

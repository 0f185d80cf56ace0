"""C{members}, C{ban}, C{renew}, C{tag} and C{role}: the members of a private network."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from ..control.member_messages import (
    BanCommand,
    BannedReply,
    CertifiedReply,
    MembersCommand,
    MembersReply,
    RenewCommand,
    RoleCommand,
    TagCommand,
)
from ..text import members_text
from . import EXIT_OK
from .here import STATUS_TIMEOUT_SECONDS, connect, print_line


def members(options: argparse.Namespace) -> int:
    """List the members."""
    with connect(options) as client:
        reply = client.ask(MembersCommand(), MembersReply, STATUS_TIMEOUT_SECONDS)
    if options.json:
        _print_json(reply)
    else:
        print_line(members_text(reply.label or reply.network, reply.authority, reply.members))
    return EXIT_OK


def ban(options: argparse.Namespace) -> int:
    """Ban a member, or lift its bans."""
    command = BanCommand(member=options.member, note=options.note, lift=options.lift)
    with connect(options) as client:
        reply = client.ask(command, BannedReply, STATUS_TIMEOUT_SECONDS)
    if options.json:
        _print_json(reply)
        return EXIT_OK
    if not reply.by:
        print_line(f"the bans of {reply.member} are lifted; {_reach(reply.linked)}")
        return EXIT_OK
    if reply.before:
        print_line(f"{reply.member} is banned already, {reply.before}")
        return EXIT_OK
    print_line(f"{reply.member} is banned by {reply.by}; {_reach(reply.linked)}")
    if reply.unbanned:
        print_line(f"its own bans do not count any more: {', '.join(reply.unbanned)}")
    if reply.uncertified:
        print_line(
            f"it has issued the certificates of {', '.join(reply.uncertified)}: they are refused until"
        )
        print_line(f"you have run: routing-crust renew {' '.join(_nicknames(reply.uncertified))}")
    if reply.warning:
        print_line(reply.warning)
    return EXIT_OK


def renew(options: argparse.Namespace) -> int:
    """Issue new certificates."""
    return _certify(options, RenewCommand(members=tuple(options.members)))


def tag(options: argparse.Namespace) -> int:
    """Change the tags of a member."""
    command = TagCommand(member=options.member, add=tuple(options.tags), remove=tuple(options.remove))
    return _certify(options, command)


def role(options: argparse.Namespace) -> int:
    """Change what a member may do."""
    return _certify(options, RoleCommand(member=options.member, roles=tuple(options.roles)))


def _certify(options: argparse.Namespace, command: RenewCommand | TagCommand | RoleCommand) -> int:
    with connect(options) as client:
        reply = client.ask(command, CertifiedReply, STATUS_TIMEOUT_SECONDS)
    if options.json:
        _print_json(reply)
        return EXIT_OK
    for each in reply.members:
        print_line(_certified_text(each))
    if reply.warning:
        print_line(reply.warning)
    return EXIT_OK


def _certified_text(member: Mapping[str, Any]) -> str:
    tags = f", tags {', '.join(member['tags'])}" if member["tags"] else ""
    has = "it has the certificate" if member["delivered"] else "it gets the certificate when it comes"
    roles = ",".join(member["roles"])
    who = f"{member['nickname']} ({member['name'][:8]})"
    return f"{who} is certified as {roles} until {member['until']}{tags}; {has}"


def _reach(linked: int) -> str:
    if not linked:
        return "no member is linked at the moment, so they hear of it when one is"
    return "1 linked member tells the others" if linked == 1 else f"{linked} linked members tell the others"


def _nicknames(texts: Iterable[str]) -> list[str]:
    # the texts are 'nickname (name)', and a nickname has no spaces
    return [each.partition(" ")[0] for each in texts]


def _print_json(reply: msgspec.Struct) -> None:
    fields = msgspec.to_builtins(reply)
    print_line(json.dumps({key: fields[key] for key in fields if key not in ("id", "type")}, indent=2))

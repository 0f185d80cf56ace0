"""The arguments of the commands about members, their bans and certificates, and the authority's key."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Final

from .member_arguments import ROLES

Add = Callable[..., argparse.ArgumentParser]

MAX_NOTE_CHARACTERS: Final = 60
_WHO: Final = "the member: its nickname, its name, or the first 8 characters of its name or more"


def add_administration_commands(add: Add, add_where: Callable[[argparse.ArgumentParser], None]) -> None:
    """
    Add the commands.

    @param add: adds one: its name, its help, and more of its description.
    @param add_where: adds the options that say which daemon is meant.
    """
    members = add(
        "members",
        "list the members of the private network that the daemon knows of",
        "It knows of all members whose certificates have not ended, and of those who are banned.",
    )
    ban = add(
        "ban",
        "ban a member from the private network",
        "All members cut their links with it within seconds, and refuse it from then on. The daemon must be "
        "that of an admin; where the authority key is, it is the authority that bans admins and inviters.",
    )
    ban.add_argument("member", metavar="MEMBER", help=_WHO)
    ban.add_argument(
        "--note", type=_note, default="", metavar="TEXT", help="why: all members and their logs show it"
    )
    ban.add_argument(
        "--lift", action="store_true", help="lift its bans instead: only where the authority key is"
    )
    renew = add(
        "renew",
        "issue new certificates that say what the old ones say",
        "Certificates are renewed without this, while an admin or inviter is linked. It is for members whose "
        "certificate comes from somebody who is banned; and where the authority key is, for admins and "
        "inviters.",
    )
    renew.add_argument(
        "members", nargs="*", metavar="MEMBER", help=f"{_WHO} (default: the daemon's own certificate)"
    )
    tag = add(
        "tag",
        "give tags to a member of the private network, or take them away",
        'Permissions name tags, as in allow_peer = { ssh = "tag:admins" }.',
    )
    tag.add_argument("member", metavar="MEMBER", help=_WHO)
    tag.add_argument("tags", nargs="*", metavar="TAG", help="a tag that it gets")
    tag.add_argument(
        "--remove", action="append", default=[], metavar="TAG", help="a tag that it loses; may be repeated"
    )
    role = add(
        "role",
        "change what a member of the private network may do",
        "A greater role includes the smaller ones: node, relay, invite, admin. Only where the authority key "
        "is, members are made inviters or admins, or lose that. A member that loses a role cannot show "
        "its old certificate any more.",
    )
    role.add_argument("member", metavar="MEMBER", help=_WHO)
    role.add_argument("roles", nargs="+", choices=ROLES, metavar="ROLE", help=f"one of {', '.join(ROLES)}")
    for each in (members, ban, renew, tag, role):
        _add_json(each)
        add_where(each)
    _add_authority(add, add_where)


def _add_authority(add: Add, add_where: Callable[[argparse.ArgumentParser], None]) -> None:
    authority = add(
        "authority",
        "copy the authority key of the private network to a file, or from one",
        "Anyone who has this key decides who is a member. It makes admins and inviters, bans them, and lifts "
        "bans; for all else it is not needed, so it may be kept offline. The daemon need not run.",
    )
    authority.add_argument("action", choices=("export", "import"), metavar="export|import", help="which way")
    authority.add_argument("file", type=Path, metavar="FILE", help="the file; it is never replaced")
    authority.add_argument(
        "--remove", action="store_true", help="with export: remove the key from this machine after that"
    )
    _add_json(authority)
    add_where(authority)


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="as JSON, for programs")


def _note(text: str) -> str:
    if len(text) > MAX_NOTE_CHARACTERS or not text.isprintable():
        raise argparse.ArgumentTypeError(f"{text!r} is no note: write up to {MAX_NOTE_CHARACTERS} characters")
    return text

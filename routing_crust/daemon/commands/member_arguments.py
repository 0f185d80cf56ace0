"""The arguments of the commands that make a private network and let others into it."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Final

ROLES: Final = ("client", "node", "relay", "invite", "admin")
MAX_LIFETIME_SECONDS: Final = 366 * 86400
MAX_USES: Final = 10_000
_UNITS: Final = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}

Add = Callable[..., argparse.ArgumentParser]


def add_member_commands(add: Add, add_where: Callable[[argparse.ArgumentParser], None]) -> None:
    """
    Add the commands.

    @param add: adds one: its name, its help, and more of its description.
    @param add_where: adds the options that say which daemon is meant.
    """
    _add_init(add)
    _add_invite(add, add_where)
    _add_join(add)


def _add_init(add: Add) -> None:
    init = add(
        "init",
        "found a private network, with this machine as its first member",
        "It makes a state directory with the network's authority key, this machine's key and certificate, "
        "and a settings file with comments. Anyone who has the authority key owns the network: keep a copy "
        "of it where nobody else can read it.",
    )
    init.add_argument("label", type=_nickname, metavar="NAME", help="what to call the network, such as home")
    _add_new(init)


def _add_invite(add: Add, add_where: Callable[[argparse.ArgumentParser], None]) -> None:
    invite = add(
        "invite",
        "print the command that lets another machine into this network",
        "The daemon must run now, and when the invitation is redeemed, or an admin's that it had a link with "
        "meanwhile. Anyone who has the line can redeem it: give it to nobody else.",
    )
    invite.add_argument(
        "nickname",
        nargs="?",
        default="",
        type=_nickname,
        metavar="NICKNAME",
        help="what to call the other machine (default: it chooses)",
    )
    invite.add_argument(
        "--role",
        action="append",
        choices=ROLES,
        default=[],
        help="what it may do; may be repeated (default: node and relay)",
    )
    invite.add_argument(
        "--tag",
        action="append",
        default=[],
        metavar="TAG",
        help="a group that permissions can name, as tag:TAG; may be repeated",
    )
    invite.add_argument(
        "--uses", type=_uses, default=1, metavar="N", help="how many machines may redeem it (default: 1)"
    )
    invite.add_argument(
        "--expires",
        type=_lifetime,
        default="1d",
        metavar="TIME",
        help="for how long it may be redeemed, such as 30m, 12h, 7d (default: 1d)",
    )
    invite.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="PROTOCOL",
        help="let it connect to this program that the daemon here exposes; may be repeated",
    )
    invite.add_argument(
        "--at",
        action="append",
        default=[],
        metavar="ADDRESS:PORT",
        help="where the other machine can be dialled, if it cannot dial this one: the daemon dials it there",
    )
    invite.add_argument(
        "--address",
        action="append",
        default=[],
        metavar="HOST:PORT",
        help="where this daemon can be dialled, as a host name or an address that it does not know itself, "
        "as in home.example.org:5483; may be repeated",
    )
    invite.add_argument(
        "--short",
        action="store_true",
        help="make it one of 18 characters, to be read out and typed; it names one address of this daemon, "
        "and no member that passes it on",
    )
    invite.add_argument(
        "--list", action="store_true", help="list the invitations that this daemon can honour instead"
    )
    invite.add_argument(
        "--void", metavar="ID", default="", help="take one of them back instead, by the id in that list"
    )
    invite.add_argument("--qr", action="store_true", help="draw it as a QR code as well")
    invite.add_argument("--json", action="store_true", help="as JSON, for programs")
    add_where(invite)


def _add_join(add: Add) -> None:
    join = add(
        "join",
        "join a private network with an invitation",
        "It makes a state directory with this machine's key and certificate, and a settings file with "
        "comments. When it fails, nothing is left behind.",
    )
    join.add_argument(
        "line",
        nargs="+",
        metavar="LINE",
        help="what 'routing-crust invite' has printed there; '-' reads it from the standard input",
    )
    join.add_argument(
        "--proxy",
        default="",
        metavar="URL",
        help="the proxy to go out through: http://, socks5:// or socks5h:// and HOST:PORT; or 'environment' "
        "for the one that HTTPS_PROXY names, where others do not see its password",
    )
    _add_new(join, "; what the invitation says goes before")


def _add_new(parser: argparse.ArgumentParser, nickname_note: str = "") -> None:
    parser.add_argument("--start", action="store_true", help="start the daemon as well, in the background")
    parser.add_argument(
        "--nickname",
        type=_nickname,
        default="",
        metavar="NICKNAME",
        help=f"what to call this machine (default: its host name{nickname_note})",
    )
    parser.add_argument(
        "--listen",
        action="append",
        default=[],
        metavar="ADDRESS:PORT|INTERFACE:PORT",
        help="where its node listens; may be repeated (default: port 5483 everywhere)",
    )
    parser.add_argument(
        "--external",
        action="append",
        default=[],
        metavar="ADDRESS:PORT",
        help="where others can dial it from outside, if a port is forwarded to it; may be repeated",
    )
    parser.add_argument(
        "--state-dir",
        type=Path,
        metavar="FOLDER",
        help="the folder to make (default: one with the name of the network, in the usual place)",
    )
    parser.add_argument("--json", action="store_true", help="as JSON, for programs")


def _nickname(text: str) -> str:
    from ...forwarding_rules import is_nickname

    if text and not is_nickname(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} cannot be a nickname: write up to 32 letters, digits and . _ - and begin with a "
            "letter or digit"
        )
    return text


def _uses(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    if not 1 <= number <= MAX_USES:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of uses: write 1 to {MAX_USES}")
    return number


def _lifetime(text: str) -> float:
    number, unit = text[:-1], text[-1:]
    plain = number.isascii() and number.isdigit() and len(number) < 7 and unit in _UNITS
    seconds = int(number) * _UNITS[unit] if plain else 0
    if not 60 <= seconds <= MAX_LIFETIME_SECONDS:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a time: write a number with m, h, d or w, from 1m to 366d"
        )
    return float(seconds)

"""The command lines of C{send-file} and C{receive}."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path


def add_transfer_commands(
    add: Callable[..., argparse.ArgumentParser],
    later: Callable[[str], Callable[[str], object]],
) -> tuple[argparse.ArgumentParser, ...]:
    """
    Add the commands.

    @param later: a function of C{values}, by its name.
    @return: their parsers, to which the caller adds what others have too.
    """
    send = add(
        "send-file",
        "send files and folders to a node where 'receive' runs",
        "After a break the same command goes on where it was: only what is missing is sent. Symbolic links, "
        "devices and pipes are left out. At the end it shows the SHA-256 of what has arrived.",
    )
    send.add_argument(
        "paths", nargs="+", type=Path, metavar="PATH", help="a file, or a folder with all in it"
    )
    send.add_argument(
        "name",
        type=later("host_name"),
        metavar="NAME",
        help="the node: its name, the first 8 or more characters of it, or a nickname",
    )
    receive = add(
        "receive",
        "receive files and folders that a node sends with 'send-file'",
        "It says who offers what, and asks on the terminal. What comes has its name when all of it is there, "
        "and takes the place of nothing. It ends after one transfer. After a break the same command, in the "
        "same folder, goes on where it was.",
    )
    receive.add_argument(
        "--into", type=Path, default=Path(), metavar="FOLDER", help="where to put them (default: here)"
    )
    receive.add_argument(
        "--accept-from",
        action="append",
        default=[],
        type=later("allowed"),
        metavar="NAME",
        help="take what this node offers, without asking, and nothing of others: its name or nickname, or "
        "tag:TAG; may be repeated",
    )
    receive.add_argument(
        "--yes", action="store_true", help="take what any node of the network offers, without asking"
    )
    receive.add_argument(
        "--keep-going", action="store_true", help="go on after a transfer, until interrupted"
    )
    receive.add_argument(
        "--overwrite", action="store_true", help="let a file take the place of one with its name"
    )
    receive.add_argument(
        "--preserve",
        action="store_true",
        help="give files the times and all permissions that they have at the sender (default: as scp does: "
        "the present time, and permissions without those of the umask)",
    )
    for each in (send, receive):
        each.add_argument("--json", action="store_true", help="print a line of JSON for each step")
    return send, receive

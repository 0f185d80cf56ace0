"""
The command lines of the commands that change the daemon while it runs.

Each of C{expose}, C{forward} and C{contact} has C{add}, C{remove} and C{list}. They are commands of two
words: argparse knows each by its name with the space in it, and L{joined} makes one word of the two. Parsers
inside of parsers would refuse C{expose ssh=tcp:22}, which has its entry where C{add} stands.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Final

AddCommand = Callable[..., argparse.ArgumentParser]

PAIRS: Final = {"expose": "exposed programs", "forward": "forwarded ports", "contact": "contacts"}
"""The first words, and what they are about."""
VERBS: Final = ("add", "remove", "list")
_ADD_HELP: Final = {
    "expose": "let peers connect to a local program, until it is removed or the daemon ends",
    "forward": "forward a local port to a peer, until it is removed or the daemon ends",
    "contact": "tell the daemon where to find a node",
}
_KEEP_HELP: Final = {
    "expose": "the longest that peers may have connections wait for another link",
    "forward": "for how long connections may wait for another link when theirs is lost",
}
_REMOVE_HELP: Final = {
    "expose": "expose a program no more; its connections end",
    "forward": "close a forwarded port; its connections end",
    "contact": "forget a contact of the settings; links stay",
}
_ADD_WHAT: Final = {
    "expose": (
        "PROTOCOL=ENDPOINT",
        "the name for peers, and the program, such as ssh=tcp:localhost:22 or dns=udp:127.0.0.1:53",
    ),
    "forward": (
        "ENDPOINT=NAME/PROTOCOL",
        "the port, the peer and its protocol, such as tcp:2222=backup/ssh or udp:5353=home/dns",
    ),
    "contact": (
        "NAME@HOST:PORT",
        "the node's contact, as its log shows it, or with a host name for the address; without a name, "
        "HOST:PORT; or dns:DOMAIN for the nodes that a domain names",
    ),
}
_REMOVE_WHAT: Final = {
    "expose": ("PROTOCOL", "the name for peers"),
    "forward": ("ENDPOINT", "the port, such as tcp:2222"),
    "contact": ("CONTACT", "the contact, or only its name, nickname or HOST:PORT"),
}
_SAVE: Final = (
    "write it into the daemon's settings file as well, whose comments and order stay; with it goes what was "
    "added or removed before without --save"
)


def joined(words: Sequence[str]) -> list[str]:
    """The words of a command line, with a command of two words as one."""
    first, second = (*words, "", "")[:2]
    return [f"{first} {second}", *words[2:]] if first in PAIRS and second in VERBS else list(words)


def add_changing_commands(
    add: AddCommand,
    add_where: Callable[[argparse.ArgumentParser], None],
    later: Callable[[str], Callable[[str], object]],
) -> None:
    """
    Add the commands.

    @param add: adds one.
    @param add_where: adds the options that say which daemon is meant.
    @param later: a function that reads a value, loaded when it is called.
    """
    for first, about in PAIRS.items():
        adding = add(f"{first} add", _ADD_HELP[first])
        _add_adding(adding, first, later)
        metavar, help = _REMOVE_WHAT[first]
        remove = add(f"{first} remove", _REMOVE_HELP[first])
        remove.add_argument("what", metavar=metavar, help=help)
        remove.add_argument("--save", action="store_true", help=_SAVE)
        listing = add(
            f"{first} list",
            f"list the {about}",
            "Each says where it is from: the settings, a command that has added it, or a program in the "
            "foreground.",
        )
        listing.add_argument("--json", action="store_true", help="as JSON, for programs")
        for each in (adding, remove, listing):
            add_where(each)
    start = add(
        "start",
        "start the daemon of a network that this machine is in, in the background",
        "It waits until the daemon is in its network. The log is node.log in the state directory. A service "
        "manager starts it with the machine: see docs/installing.rst.",
    )
    stop = add(
        "stop",
        "stop the daemon, and wait until it has",
        "It is the same as SIGTERM to its process: peers are told, and streams that are open may finish as "
        "long as the daemon's option --drain says.",
    )
    for each in (start, stop):
        add_where(each)
    reload = add(
        "reload",
        "have the daemon read its settings file again",
        "What can be applied is applied at once, and no link or stream that is still allowed notices. What "
        "needs a restart is named. A file with an error changes nothing. The signal SIGHUP does the same.",
    )
    reload.add_argument("--json", action="store_true", help="as JSON, for programs")
    add_where(reload)


def _add_adding(
    parser: argparse.ArgumentParser, first: str, later: Callable[[str], Callable[[str], object]]
) -> None:
    metavar, help = _ADD_WHAT[first]
    parser.add_argument("what", metavar=metavar, help=help)
    if first == "expose":
        parser.add_argument(
            "--allow",
            action="append",
            default=[],
            type=later("allowed"),
            metavar="NAME",
            help="a peer that may connect: its name or nickname, tag:TAG, or '*' for every node of the "
            "network; may be repeated (default: no peer)",
        )
    if first != "contact":
        parser.add_argument(
            "--keep",
            metavar="TIME",
            help=f"{_KEEP_HELP[first]}, such as 90s, 10m, 1h or 2d; 0 for no time (default: as the daemon is "
            "set)",
        )
    parser.add_argument("--save", action="store_true", help=_SAVE)

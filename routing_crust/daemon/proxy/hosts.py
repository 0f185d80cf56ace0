"""
Which protocol of which peer a host and a port stand for: C{home.crust}, C{web.home.crust}.

Only names of the network are looked at. No other is resolved or told to anybody.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_address
from typing import Final

from ...forwarding_rules import is_nickname, is_protocol
from ...names import Name
from ...routing.naming.directory import PeerDirectory

SUFFIX: Final = ".crust"
"""At the end of every host here; nobody has registered it, and nobody is asked for it."""
MAX_HOST_CHARACTERS: Final = 255
MAX_COMPARED: Final = 2
"""Nicknames in an unknown host that are compared with known ones, so that one can be suggested."""
PROTOCOLS: Final = {
    21: ("ftp",),
    22: ("ssh",),
    25: ("smtp",),
    80: ("web", "http"),
    110: ("pop3",),
    143: ("imap",),
    389: ("ldap",),
    443: ("https",),
    445: ("smb",),
    587: ("submission",),
    631: ("ipp",),
    993: ("imaps",),
    1883: ("mqtt",),
    3306: ("mysql",),
    3389: ("rdp",),
    5432: ("postgresql", "db"),
    5900: ("vnc",),
    6379: ("redis",),
    8080: ("web",),
}
"""What a port stands for, where the host does not say it; they are tried in this order."""


class HostProblem(Enum):
    """Why there is no connection."""

    FOREIGN = "foreign"
    """The host is not of the network."""
    UNKNOWN = "unknown"
    """Nobody is known by this name."""
    NOT_ALLOWED = "not allowed"
    NOT_OFFERED = "not offered"
    UNREACHABLE = "unreachable"
    FAILED = "failed"


class HostRefused(Exception):
    """
    There is no connection to this host.

    @ivar problem: why.
    """

    def __init__(self, problem: HostProblem, text: str) -> None:
        super().__init__(text)
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Destination:
    """
    What a host and a port stand for.

    @ivar who: the peer, as the host calls it.
    @ivar protocols: those of which it may offer one; the first is meant first.
    """

    peer: Name
    who: str
    protocols: tuple[str, ...]


def find_host(host: str, port: int, directory: PeerDirectory) -> Destination:
    """
    Look a host up among the peers that this node knows.

    @raise HostRefused: it is not of this network, or nobody is known by that name.
    """
    text = host.removesuffix(".").lower()
    if _is_address(text):
        raise HostRefused(
            HostProblem.FOREIGN, f"{host} is an address, and this proxy knows peers by name: use NAME{SUFFIX}"
        )
    if len(text) > MAX_HOST_CHARACTERS or not text.endswith(SUFFIX) or text == SUFFIX:
        raise HostRefused(
            HostProblem.FOREIGN,
            f"{host[:MAX_HOST_CHARACTERS]} is not of this network: this proxy leads to hosts that end with "
            f"{SUFFIX} alone; exclude others from it, or use /proxy.pac, which does so",
        )
    text = text.removesuffix(SUFFIX)
    peer = directory.find_host(text)
    if peer is not None:
        return Destination(peer, text, (*PROTOCOLS.get(port, ()), str(port)))
    texts = [text]
    # a nickname may have dots, and so may a protocol
    for at in [number for number, each in enumerate(text) if each == "."]:
        protocol, who = text[:at], text[at + 1 :]
        texts.append(who)
        peer = directory.find_host(who)
        if peer is not None and is_protocol(protocol):
            return Destination(peer, who, (protocol,))
    # few: each is compared with all nicknames, and a page of a browser may ask for any number of hosts
    asked = [each for each in texts if is_nickname(each)][:MAX_COMPARED]
    near = next(filter(None, map(directory.suggestion, asked)), ":")
    raise HostRefused(
        HostProblem.UNKNOWN,
        f"nobody is known as {text} here{near} 'routing-crust members' and 'routing-crust status' show who "
        "is, and the setting nicknames gives names of your own",
    )


def _is_address(text: str) -> bool:
    try:
        ip_address(text.strip("[]").partition("%")[0])
    except ValueError:
        # what C's inet_aton takes for one: 2130706433, 0x7f.1
        return text.replace(".", "").isdigit() or text.startswith("0x")
    return True

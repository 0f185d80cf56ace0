"""
The gateway: the router of our packets to the internet, read from the kernel's routing table.
"""

from __future__ import annotations

import socket
import struct
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

from .lease import Gateway

ROUTES: Final = Path("/proc/net/route")
"""The table of IPv4 routes, see C{proc_net(5)}. Other systems than Linux have no such file."""

_UP_AND_GATEWAY: Final = 0x3
_ANY_PORT: Final = 9  # discard; nothing is sent there


def default_gateway(table: str) -> IPv4Address | None:
    """
    @param table: the text of L{ROUTES}.
    @return: the gateway of the default route with the lowest metric; C{None} without one. A default route
        over a line that has no gateway, such as a tunnel, has no router to ask.
    """
    best: tuple[int, str] | None = None
    for line in table.splitlines()[1:]:
        words = line.split()
        try:
            destination, gateway, flags, metric, mask = (words[i] for i in (1, 2, 3, 6, 7))
            is_default = not int(destination, 16) and not int(mask, 16)
            if is_default and (best is None or int(metric) < best[0]):
                is_there = int(flags, 16) & _UP_AND_GATEWAY == _UP_AND_GATEWAY
                best = (int(metric), gateway if is_there else "")
        except (IndexError, ValueError):
            continue
    if best is None or not best[1]:
        return None
    # The kernel writes it as a number of the host's own byte order.
    return IPv4Address(struct.pack("=L", int(best[1], 16)))


def local_address_towards(address: IPv4Address) -> str | None:
    """Our own address in the network of another; C{None} if there is no way there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
        try:
            here.connect((str(address), _ANY_PORT))  # sends nothing
        except OSError:
            return None
        return str(here.getsockname()[0])


def find_gateway(routes: Path = ROUTES) -> Gateway | None:
    """The router of this host, if it has one."""
    try:
        address = default_gateway(routes.read_text(encoding="ascii"))
    except (OSError, UnicodeDecodeError):
        return None
    local = None if address is None else local_address_towards(address)
    return None if local is None else Gateway(str(address), local)

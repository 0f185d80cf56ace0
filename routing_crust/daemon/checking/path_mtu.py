"""The largest packets that pass to a host, as far as this system has been told by routers on the way."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Final

DISCARD_PORT: Final = 9
"""Nothing is sent there, but the system wants to know a port."""
_IP_MTU: Final = 14
_IPV6_MTU: Final = 24
"""Options of Linux (ip(7), ipv6(7)), for which the module C{socket} has no names."""


def path_mtus(hosts: Iterable[str]) -> dict[str, int]:
    """
    The path MTU to each of these addresses, in bytes. Those that cannot be reached, or of which this system
    says nothing, are left out.
    """
    found = {}
    for host in hosts:
        is_v6 = ":" in host
        level, option = (socket.IPPROTO_IPV6, _IPV6_MTU) if is_v6 else (socket.IPPROTO_IP, _IP_MTU)
        with socket.socket(socket.AF_INET6 if is_v6 else socket.AF_INET, socket.SOCK_DGRAM) as asking:
            try:
                # of UDP this chooses the way and sends nothing
                asking.connect((host, DISCARD_PORT))
                found[host] = asking.getsockopt(level, option)
            except OSError:
                continue
    return found

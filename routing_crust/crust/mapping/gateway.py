"""
The gateway: the router of our packets to the internet, read from the kernel's routing tables; and which of
our IPv6 addresses has which.
"""

from __future__ import annotations

import socket
import struct
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Final

from ...addresses import Kind, kind_of
from .lease import Gateway

ROUTES: Final = Path("/proc/net/route")
"""The table of IPv4 routes, see C{proc_net(5)}. Other systems than Linux have no such file."""
ROUTES_V6: Final = Path("/proc/net/ipv6_route")
"""The table of IPv6 routes, all numbers in it hexadecimal."""
ADDRESSES_V6: Final = Path("/proc/net/if_inet6")
"""Our own IPv6 addresses, each with the number, the flags and the name of its interface."""

_UP_AND_GATEWAY: Final = 0x3
_WORDS_OF_ROUTE: Final = 10
_WORDS_OF_ADDRESS: Final = 6
_TEMPORARY: Final = 0x01
_UNFIT: Final = 0x08 | 0x20 | 0x40
"""Addresses that another host has, that are going out of use, or that are not known to be ours alone."""
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
                # one without a gateway counts, too: packets take it before any route with a higher metric
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


def default_gateways_v6(table: str) -> dict[str, str]:
    """
    @param table: the text of L{ROUTES_V6}.
    @return: for each interface that has one the gateway of its default route with the lowest metric.
    """
    best: dict[str, tuple[int, str]] = {}
    for line in table.splitlines():
        words = line.split()
        if len(words) != _WORDS_OF_ROUTE:
            continue
        to, to_bits, source, _, gateway, metric, _, _, flags, device = words
        is_default = not any(int(each, 16) for each in (to, to_bits, source))
        if is_default and int(flags, 16) & _UP_AND_GATEWAY == _UP_AND_GATEWAY:
            found = (int(metric, 16), str(IPv6Address(bytes.fromhex(gateway))))
            best[device] = min(found, best.get(device, found))
    return {device: gateway for device, (_, gateway) in best.items()}


def global_addresses_v6(table: str) -> list[tuple[str, str]]:
    """
    @param table: the text of L{ADDRESSES_V6}.
    @return: the name of the interface and the address, for each that the internet can send to; those that
        last before those that the system changes every day.
    """
    found = []
    for line in table.splitlines():
        words = line.split()
        if len(words) != _WORDS_OF_ADDRESS:
            continue
        text, _, _, _, flags, device = words
        address, bits = IPv6Address(bytes.fromhex(text)), int(flags, 16)
        if kind_of(address) is Kind.GLOBAL and not bits & _UNFIT:
            found.append((bits & _TEMPORARY, device, str(address)))
    return [(device, address) for _, device, address in sorted(found)]


def find_gateways_v6(routes: Path = ROUTES_V6, addresses: Path = ADDRESSES_V6) -> tuple[Gateway, ...]:
    """The router of each of our global IPv6 addresses, if it has one."""
    try:
        gateways = default_gateways_v6(routes.read_text(encoding="ascii"))
        ours = global_addresses_v6(addresses.read_text(encoding="ascii"))
    except (OSError, ValueError):  # not there, or of another form
        return ()
    return tuple(
        Gateway(_with_zone(gateways[device], device), address)
        for device, address in ours
        if device in gateways
    )


def _with_zone(address: str, device: str) -> str:
    return f"{address}%{device}" if IPv6Address(address).is_link_local else address

"""
The uplinks of this host: interfaces by which it can reach the internet, of which the system uses one.

Where the one that the system has chosen loses everything without a word, as a cable into a dead router does,
dials may leave by another. The kernel tells which interfaces have a default route (rtnetlink, RFC 3549;
C{rtnetlink(7)}). A VPN is never gone around: there is another uplink only where the system's choice is an
ordinary interface, by a default route of the main table.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from struct import Struct
from typing import Final

from ...endpoints import Endpoint
from .host import HostAddress

MAX_UPLINKS: Final = 3
"""Other ways out that are tried for one address."""
MAX_DUMP_BYTES: Final = 4 * 1024 * 1024
"""The largest table of routes that is read; a host with a larger one is a router of the internet's."""
MAIN_TABLE: Final = 254

_LOCAL_TABLE: Final = 255
_HEADER: Final = Struct("=IHHII")  # length, type, flags, sequence number, port
_ROUTE: Final = Struct("=8BI")  # family, bits of the destination, of the source, TOS, table, ..., type, flags
_ATTRIBUTE: Final = Struct("=HH")
_NUMBER: Final = Struct("=I")
_ERROR, _DONE, _NEW_ROUTE, _GET_ROUTE = 2, 3, 24, 26
_DUMP: Final = 0x1 | 0x300
_UNICAST: Final = 1
_OUTWARDS, _PRIORITY = 4, 6
_V6: Final = 10
_ETHERNET: Final = "1"
_INTERFACES: Final = Path("/sys/class/net")
_DATAGRAM_BYTES: Final = 65536
_PATIENCE_SECONDS: Final = 0.2


@dataclass(frozen=True, slots=True)
class Uplink:
    """
    A way out.

    @ivar interface: its name, as C{wlan0}.
    @ivar address: our address there, without a zone.
    """

    interface: str
    address: str


@dataclass(frozen=True, slots=True)
class DefaultRoute:
    """
    A route to everywhere.

    @ivar table: the main one, or one of the host's own rules.
    @ivar metric: less is preferred.
    @ivar interface: its number.
    """

    is_v6: bool
    table: int
    metric: int
    interface: int


def routes_in(data: bytes) -> Iterator[DefaultRoute | None]:
    """
    The default routes in one datagram of a dump.

    @return: C{None} marks the end of the dump. What cannot be read is left out.
    """
    while len(data) >= _HEADER.size:
        length, kind, _, _, _ = _HEADER.unpack_from(data)
        # a length of 0 would be read for ever
        if length < _HEADER.size or length > len(data):
            return
        if kind in (_ERROR, _DONE):
            yield None
        elif kind == _NEW_ROUTE and length >= _HEADER.size + _ROUTE.size:
            route = _default_route(data[_HEADER.size : length])
            if route is not None:
                yield route
        data = data[length + 3 & ~3 :]


def _default_route(body: bytes) -> DefaultRoute | None:
    fields = _ROUTE.unpack_from(body)
    family, bits, table, kind = fields[0], fields[1], fields[4], fields[7]
    if bits or table == _LOCAL_TABLE or kind != _UNICAST:
        return None
    numbers = {_OUTWARDS: 0, _PRIORITY: 0}
    rest = body[_ROUTE.size :]
    while len(rest) >= _ATTRIBUTE.size:
        length, which = _ATTRIBUTE.unpack_from(rest)
        if length < _ATTRIBUTE.size or length > len(rest):
            break
        if which in numbers and length == _ATTRIBUTE.size + _NUMBER.size:
            (numbers[which],) = _NUMBER.unpack_from(rest, _ATTRIBUTE.size)
        rest = rest[length + 3 & ~3 :]
    # a route by several interfaces at once names none here, and is left out
    index = numbers[_OUTWARDS]
    return DefaultRoute(family == _V6, table, numbers[_PRIORITY], index) if index else None


def read_default_routes() -> tuple[DefaultRoute, ...]:
    """
    The default routes of this host, of all tables.

    @raise OSError: they cannot be read, as on systems other than Linux.
    """
    family = getattr(socket, "AF_NETLINK", None)
    if family is None:
        raise OSError("this system has no netlink")
    found: list[DefaultRoute] = []
    with socket.socket(family, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0) as asking:
        # the kernel answers within the call; this is for what it has not got
        asking.settimeout(_PATIENCE_SECONDS)
        request = _ROUTE.pack(*bytes(8), 0)
        asking.sendto(_HEADER.pack(_HEADER.size + len(request), _GET_ROUTE, _DUMP, 1, 0) + request, (0, 0))
        size = 0
        while size < MAX_DUMP_BYTES:
            data = asking.recv(_DATAGRAM_BYTES)
            size += len(data)
            for route in routes_in(data):
                if route is None:
                    return tuple(found)
                found.append(route)
    return tuple(found)


def source_for(remote: Endpoint) -> str:
    """
    The address from which the system would dial an endpoint. No packet is sent.

    @raise OSError: it has no way there.
    """
    family = socket.AF_INET6 if remote.is_v6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as asking:
        asking.connect((remote.host, remote.port))
        return str(asking.getsockname()[0]).partition("%")[0]


def is_ordinary(interface: str) -> bool:
    """Whether it is Ethernet or the like (a VPN's is not), as far as Linux tells."""
    try:
        return (_INTERFACES / interface / "type").read_text(encoding="ascii").strip() == _ETHERNET
    except OSError:
        return False


def other_uplinks(
    remote: Endpoint,
    addresses: Sequence[HostAddress],
    *,
    routes: Callable[[], Sequence[DefaultRoute]] = read_default_routes,
    source: Callable[[Endpoint], str] = source_for,
    ordinary: Callable[[str], bool] = is_ordinary,
) -> tuple[Uplink, ...]:
    """
    The uplinks by which an endpoint might be reached, beside the one that the system would use.

    @param addresses: those of this host's interfaces.
    @return: what the system would prefer first; at most L{MAX_UPLINKS}. None to hosts of our own networks.
    """
    address = remote.address
    if address.is_loopback or address.is_link_local or _is_near(remote, addresses):
        return ()
    chosen: HostAddress | None = None
    try:
        own = source(remote)
    except OSError:
        pass  # no route leads there, or that of an interface that is down: any other will do
    else:
        chosen = next((each for each in addresses if str(each.address) == own), None)
        if chosen is None or not ordinary(chosen.interface):
            return ()
    with suppress(OSError):
        known = [each for each in routes() if each.is_v6 == remote.is_v6]
        in_main = {each.interface for each in known if each.table == MAIN_TABLE}
        # the route is of another table: rules of this host, such as a VPN's, that nobody should go around
        if chosen is not None and chosen.index not in in_main:
            return ()
        known.sort(key=lambda each: (each.table != MAIN_TABLE, each.metric))
        without = chosen.index if chosen is not None else None
        indexes = dict.fromkeys(each.interface for each in known if each.interface != without)
        uplinks = (_uplink(each, remote, addresses) for each in indexes)
        return tuple(each for each in uplinks if each is not None)[:MAX_UPLINKS]
    return ()


def _uplink(index: int, remote: Endpoint, addresses: Sequence[HostAddress]) -> Uplink | None:
    for each in addresses:
        usable = not each.address.is_link_local and each.address.version == remote.address.version
        if each.index == index and usable:
            return Uplink(each.interface, str(each.address))
    return None


def _is_near(remote: Endpoint, addresses: Sequence[HostAddress]) -> bool:
    networks = (ip_network(each.network) for each in addresses)
    return any(remote.address in each for each in networks if each.version == remote.address.version)

"""
Multicast sockets: one for each interface and family, so that the interface of each datagram is known.

They share their port with other processes of the host, which receive each datagram too, but no router passes
it on: the scopes are organisation-local (RFC 2365) with a TTL of 1, and link-local (RFC 4291).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from ...endpoints import LOWEST_PORT_FROM_STRANGERS, Endpoint
from ..netstate.host import HostAddress

BEACON_PORT: Final = 5483
GROUP_V4: Final = "239.192.54.83"
GROUP_V6: Final = "ff12::5483:6263"
"""Link-local, and marked as transient since it is not registered."""

MAX_PLACES: Final = 32
"""Upper bound of sockets: some hosts have hundreds of interfaces."""

_IP_MULTICAST_ALL: Final = 49  # Linux: without it a socket also hears what others have joined


@dataclass(frozen=True, slots=True)
class Place:
    """
    Where the beacon is sent and heard: one family of one interface.

    @ivar interface: the interface's name.
    @ivar index: its number.
    @ivar address: what is sent comes from this address.
    @ivar network: the network that this address is in.
    @ivar port: the TCP port at which we can be dialled there; 0 if there is none.
    """

    interface: str
    index: int
    address: IPv4Address | IPv6Address
    network: str
    port: int

    @property
    def group(self) -> str:
        """The group's address in this family."""
        return GROUP_V4 if self.address.version == 4 else GROUP_V6

    def endpoint_of(self, host: str, port: int) -> Endpoint | None:
        """
        Where the sender of a datagram that was heard here can be dialled.

        @param host: the datagram's source address.
        @param port: what the sender says that it listens on.
        @return: C{None} if it must not be dialled: it is not in this network, or the port is one of those
            that are never dialled for strangers.
        """
        address = ip_address(host.partition("%")[0])
        if address not in ip_network(self.network) or port < LOWEST_PORT_FROM_STRANGERS:
            return None
        # A link-local address means something on one interface only.
        is_zoned = address.version == 6 and address.is_link_local
        return Endpoint(f"{address}%{self.interface}" if is_zoned else str(address), port)

    def __str__(self) -> str:
        return f"{self.interface} ({self.address})"


def choose_places(
    listening: Iterable[Endpoint], addresses: Sequence[HostAddress], dials_only: bool
) -> tuple[Place, ...]:
    """
    Where the beacon belongs: on the interfaces where we can be dialled, so that what it says is true.

    @param listening: where we listen, with the real ports.
    @param dials_only: we listen nowhere and only look for others: everywhere.
    @return: loopback only if there is nothing else, or if we only dial.
    """
    ports = {str(each.address): each.port for each in listening}
    chosen: dict[tuple[int, int], Place] = {}
    for each in addresses:
        # IPv6 datagrams to a link-local group always come from the link-local address; and there is no
        # multicast on ::1.
        if each.address.version == 6 and not each.address.is_link_local:
            continue
        # a link-local address that is listened on has a zone, and that of an interface has none
        names = (f"{each.address}%{each.interface}", str(each.address), _wildcard(each.address))
        port = next((ports[name] for name in names if name in ports), 0)
        if port or dials_only:
            place = Place(each.interface, each.index, each.address, each.network, port)
            chosen.setdefault((each.index, each.address.version), place)
    places = tuple(chosen.values())
    others = tuple(each for each in places if not each.address.is_loopback)
    return (places if dials_only or not others else others)[:MAX_PLACES]


def open_socket(place: Place, port: int) -> socket.socket:
    """
    A socket that hears and sends on one interface, bound to the group.

    @param port: the UDP port.
    @raise OSError: there is no multicast here.
    """
    is_v6 = place.address.version == 6
    here = socket.socket(socket.AF_INET6 if is_v6 else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        here.setblocking(False)
        here.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # other nodes of this host have the same port; each gets a copy of every multicast datagram
        here.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        (_set_up_v6 if is_v6 else _set_up_v4)(here, place, port)
    except BaseException:
        here.close()
        raise
    return here


def _set_up_v4(here: socket.socket, place: Place, port: int) -> None:
    # to the group, not to a wildcard: on Linux that keeps unicast datagrams to this port out
    here.bind((GROUP_V4, port))
    interface = place.address.packed + struct.pack("@i", place.index)
    here.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)
    here.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
    here.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
    here.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, IPv4Address(0).packed + interface)
    here.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, IPv4Address(GROUP_V4).packed + interface)


def _set_up_v6(here: socket.socket, place: Place, port: int) -> None:
    # The zone binds the socket to the interface.
    here.bind((GROUP_V6, port, 0, place.index))
    index = struct.pack("@I", place.index)
    here.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 1)
    here.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 1)
    here.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
    here.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, IPv6Address(GROUP_V6).packed + index)


def _wildcard(address: IPv4Address | IPv6Address) -> str:
    return "0.0.0.0" if address.version == 4 else "::"

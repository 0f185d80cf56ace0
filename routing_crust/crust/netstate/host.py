"""
The host: the addresses of its interfaces, and the endpoints at which others can dial us there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface

import ifaddr

from ...endpoints import Endpoint, is_local_only


@dataclass(frozen=True, slots=True)
class HostAddress:
    """
    An address of one of the host's interfaces.

    @ivar interface: the interface's name, as C{eth0}.
    @ivar index: the interface's number.
    @ivar address: without a zone.
    @ivar network: the network that it is in, as C{192.168.1.0/24}.
    """

    interface: str
    index: int
    address: IPv4Address | IPv6Address
    network: str


def read_host_addresses() -> tuple[HostAddress, ...]:
    """The addresses of all interfaces of this host, in the order of the system."""
    found = []
    for adapter in ifaddr.get_adapters():
        for each in adapter.ips:
            # ifaddr gives an IPv6 address as a tuple, with its flow and its scope
            text = each.ip if isinstance(each.ip, str) else each.ip[0]
            address = ip_address(text.partition("%")[0])
            network = str(ip_interface(f"{address}/{each.network_prefix}").network)
            found.append(HostAddress(adapter.name, adapter.index or 0, address, network))
    return tuple(found)


def on_link_networks(addresses: Iterable[HostAddress]) -> tuple[str, ...]:
    """The networks of the interfaces, without loopback and link-local ones, as texts."""
    networks = (
        each.network for each in addresses if not each.address.is_loopback and not each.address.is_link_local
    )
    return tuple(dict.fromkeys(networks))


def dialable_endpoints(
    listening: Iterable[Endpoint], addresses: Sequence[HostAddress], most: int
) -> tuple[Endpoint, ...]:
    """
    The endpoints at which others can dial us.

    @param listening: where we listen, with the real ports. A wildcard stands for all addresses of its
        family but the link-local ones, which mean nothing on another host.
    @param most: how many there may be.
    @return: global addresses before private ones before link-local ones; loopback, and addresses with a zone,
        only if there is nothing else.
    """
    concrete: list[Endpoint] = []
    for endpoint in listening:
        if not endpoint.address.is_unspecified:
            concrete.append(endpoint)
            continue
        concrete.extend(
            Endpoint(str(each.address), endpoint.port)
            for each in addresses
            if each.address.version == endpoint.address.version and not each.address.is_link_local
        )
    concrete = sorted(dict.fromkeys(concrete), key=_remoteness)
    # a zone is the name of an interface of ours, and without one nobody can dial such an address
    others = [each for each in concrete if not each.address.is_loopback and "%" not in each.host]
    return tuple((others or concrete)[:most])


def _remoteness(endpoint: Endpoint) -> int:
    if endpoint.address.is_link_local:
        return 2
    return 1 if is_local_only(endpoint) else 0

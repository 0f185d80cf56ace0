"""Values that the tests of dialling and accepting share."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface
from types import SimpleNamespace
from typing import cast

from routing_crust.crust.interfaces import ILink
from routing_crust.crust.netstate.host import HostAddress
from routing_crust.endpoints import Contact, Endpoint
from routing_crust.identity import Identity
from routing_crust.names import Name
from routing_crust.timing.shares import Account

at = Endpoint.from_text


def identity(seed: int) -> Identity:
    """The same identity for the same small number."""
    return Identity.from_seed(bytes([seed]) * 32)


def name(seed: int) -> Name:
    """The name of that identity."""
    return identity(seed).name


def contact(text: str, seed: int | None = None) -> Contact:
    """A contact at an endpoint."""
    return Contact(at(text), None if seed is None else name(seed))


def tunnel_to(peer: Name, seen_at: str) -> ILink:
    """As much of a tunnel as says who its relay is, and where that sees the peer."""
    relay = SimpleNamespace(peer=at("5.5.5.5:5483"))
    return cast(ILink, SimpleNamespace(peer=peer, seen_at=seen_at, connection=relay))


def host_address(interface: str, index: int, text: str) -> HostAddress:
    """An address such as C{192.168.1.5/24} of an interface."""
    parsed = ip_interface(text)
    return HostAddress(interface, index, ip_address(str(parsed.ip)), str(parsed.network))


HOST = (
    host_address("lo", 1, "127.0.0.1/8"),
    host_address("lo", 1, "::1/128"),
    host_address("eth0", 2, "192.168.1.5/24"),
    host_address("eth0", 2, "2606:4700::5/64"),
    host_address("eth0", 2, "fe80::5/64"),
    host_address("eth1", 3, "8.8.8.8/29"),
)

STRANGER: Account = ("8.8.4.0/24", "8.8.4.4", "a stranger")
"""Who asks us to dial, if it is not ourselves."""

"""
Kinds of IP addresses, by the IANA special-purpose address registries (RFC 6890).

The standard library classifies addresses too, but its answers differ between Python versions, and it calls
some addresses global that must not be dialled for a stranger. So there is this table.
"""

from __future__ import annotations

from enum import Enum
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Final


class Kind(Enum):
    """A kind of address. The value is the reason not to dial one for a stranger."""

    GLOBAL = "it is a global address"
    """An address of a host on the internet."""
    PRIVATE = "it is a private address"
    """An address for use inside one network, or for documentation and benchmarks."""
    LOOPBACK = "it is a loopback address"
    METADATA = "it is a link-local or metadata address"
    """Addresses, mostly link-local, at which cloud providers serve credentials to their machines."""
    NOBODY = "it is an unspecified, multicast or link-local address"
    HIDES_V4 = "an IPv4 address is hidden in it"
    """A translator or tunnel on the way may forward to the IPv4 address inside."""
    RESERVED = "it is a reserved address"


# The first match counts, so exceptions stand above the ranges that contain them.
_KINDS: Final = (
    (
        Kind.METADATA,
        "169.254.0.0/16 192.0.0.192/32 100.100.100.200/32 168.63.129.16/32 "
        "fd00:ec2::/32 fd20:ce::/32 fd00:42::42/128",
    ),
    (Kind.LOOPBACK, "127.0.0.0/8 ::1/128"),
    (Kind.NOBODY, "0.0.0.0/8 224.0.0.0/4 255.255.255.255/32 ::/128 fe80::/10 ff00::/8"),
    # in order: 6to4, Teredo, NAT64 twice, IPv4-mapped, IPv4-translated, IPv4-compatible
    (
        Kind.HIDES_V4,
        "2002::/16 2001::/32 64:ff9b::/96 64:ff9b:1::/48 ::ffff:0:0/96 ::ffff:0:0:0/96 ::/96",
    ),
    (Kind.PRIVATE, "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 100.64.0.0/10 fc00::/7"),
    (
        Kind.PRIVATE,
        "192.0.2.0/24 198.51.100.0/24 203.0.113.0/24 198.18.0.0/15 2001:db8::/32 3fff::/20 2001:2::/48",
    ),
    (Kind.RESERVED, "192.0.0.0/24 192.88.99.0/24 240.0.0.0/4 2001::/23"),
    (Kind.GLOBAL, "0.0.0.0/0 2000::/3"),
    (Kind.RESERVED, "::/0"),
)
_NETWORKS: Final[tuple[tuple[IPv4Network | IPv6Network, Kind], ...]] = tuple(
    (ip_network(text), kind) for kind, texts in _KINDS for text in texts.split()
)


@lru_cache(maxsize=4096)
def kind_of(address: IPv4Address | IPv6Address) -> Kind:
    """The kind of an address. A zone, as in C{fe80::1%eth0}, makes no difference."""
    return next(kind for network, kind in _NETWORKS if address in network)

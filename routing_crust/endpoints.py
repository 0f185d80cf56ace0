"""
Endpoints, contacts and connections, as plain values.

An L{Endpoint} is an IP address and a TCP port. A L{Contact} is an endpoint of a node, with the node's name
if it is known. A L{Connection} identifies a connection in crust's events. L{refusal_to_dial} decides whether
an endpoint that a stranger gave may be dialled.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from socket import AF_INET, inet_pton
from typing import Final

from .addresses import Kind, kind_of
from .names import Name
from .plain_errors import InvalidEndpoint, InvalidName

__all__ = [
    "Connection",
    "Contact",
    "Direction",
    "Endpoint",
    "PathKind",
    "PrivateDialling",
    "Protocol",
]

LOWEST_PORT_FROM_STRANGERS: Final = 1024
WEB_PORTS: Final = (80, 443)
"""The ports that networks let out which let out little else."""

# The name of an interface, after the % of a link-local address; Linux allows 15 characters.
_ZONE = re.compile(r"[A-Za-z0-9_.-]{1,15}")


class Protocol(str, Enum):
    """A transport protocol."""

    TCP = "tcp"
    TUNNEL = "tunnel"
    """TLS in the frames of a link to a relay, whose address then stands for the peer's."""


class Direction(Enum):
    """Which end opened a connection."""

    CONNECTED = "connected"
    """We dialled the peer."""
    ACCEPTED = "accepted"
    """The peer dialled us."""


class PathKind(str, Enum):
    """The connection type of a link, the best first."""

    MAPPED = "mapped"
    """Over a port that a router mapped for one of the two nodes."""
    DIRECT = "direct"
    """One end dialled the other's address."""
    PUNCHED = "punched"
    """Both ends dialled each other at the same time."""
    TUNNEL = "tunnel"
    """Through a third node, encrypted end to end."""

    @property
    def preference(self) -> int:
        """A number that is greater for a better kind of path."""
        return -_PATH_KINDS.index(self)


_PATH_KINDS: Final = tuple(PathKind)


@lru_cache(maxsize=1024)
def _parsed(host: str) -> IPv4Address | IPv6Address:
    # Rules and limits look at the same few addresses over and over.
    try:
        # a tenth of the time: a node reads 1,500 saved contacts at its start
        return IPv4Address(inet_pton(AF_INET, host))
    except OSError:
        return ip_address(host)


@lru_cache(maxsize=1024)
def _canonical(host: str) -> str:
    """
    An address in its canonical text form.

    @raise InvalidEndpoint: C{host} is not an IP address.
    """
    try:
        address = _parsed(host)
    except ValueError:
        raise InvalidEndpoint(f"{host!r} is not an IP address") from None
    zone = address.scope_id if isinstance(address, IPv6Address) else None
    if zone is not None and not (address.is_link_local and _ZONE.fullmatch(zone)):
        raise InvalidEndpoint(
            f"{host!r} is not an IP address: only a link-local one has a zone, which is the name of an "
            "interface"
        )
    return str(_plain(address))


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """
    An IP address and a TCP port.

    @ivar host: the address in its canonical text form; IPv4 addresses are never wrapped in IPv6.
    @ivar port: 1 to 65535; 0 only where a port is still to be chosen.
    """

    host: str
    port: int

    @classmethod
    def of(cls, host: str, port: int) -> Endpoint:
        """
        An endpoint from any spelling of an IP address.

        @raise InvalidEndpoint: C{host} is not an IP address, or the port is out of range.
        """
        canonical = _canonical(host)
        if not 0 <= port <= 65535:
            raise InvalidEndpoint(f"{port} is not a port: ports go from 1 to 65535")
        return cls(canonical, port)

    @classmethod
    def from_text(cls, text: str) -> Endpoint:
        """
        Read C{192.0.2.1:5483} or C{[2001:db8::1]:5483}.

        @raise InvalidEndpoint: with what is wrong.
        """
        host, colon, port = text.strip().rpartition(":")
        if not colon or not (port.isascii() and port.isdigit()) or len(port) > 5:
            raise InvalidEndpoint(
                f"{text!r} is not an endpoint: write address:port, as in 192.0.2.1:5483 or [2001:db8::1]:5483"
            )
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            raise InvalidEndpoint(f"{text!r} is not an endpoint: put the IPv6 address into [brackets]")
        return cls.of(host, int(port))

    @property
    def address(self) -> IPv4Address | IPv6Address:
        """The address, as a value of the standard library."""
        return _parsed(self.host)

    @property
    def is_v6(self) -> bool:
        """Whether this is an IPv6 endpoint."""
        return ":" in self.host

    @property
    def prefix(self) -> str:
        """The /24 or /48 of the address, as text: the key of limits per prefix."""
        return _network_text(self.host, 48 if self.is_v6 else 24)

    @property
    def origin(self) -> str:
        """The IPv4 address, or the IPv6 /56: what one party is likely to have all of."""
        return _network_text(self.host, 56) if self.is_v6 else self.host

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if self.is_v6 else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Contact:
    """
    An endpoint at which to find a node.

    @ivar endpoint: the endpoint to dial.
    @ivar name: the name that must answer; C{None} accepts any. The constructor takes the text of one too.
    @raise InvalidName: from the constructor, for a text that is not a name; a C{ValueError}.
    """

    endpoint: Endpoint
    name: Name | None = None

    def __post_init__(self) -> None:
        name: object = self.name
        if isinstance(name, str):
            object.__setattr__(self, "name", Name.from_text(name))
        elif not isinstance(name, Name | None):
            raise TypeError(
                f"the name of a contact is a Name, or its text, and this is {type(name).__name__}"
            )

    @classmethod
    def from_text(cls, text: str) -> Contact:
        """
        Read C{name@address:port}, or C{address:port} when the name is not known.

        @raise InvalidEndpoint: with what is wrong.
        """
        name, at, endpoint = text.strip().rpartition("@")
        try:
            contact = cls(Endpoint.from_text(endpoint), Name.from_text(name) if at else None)
        except (InvalidName, InvalidEndpoint) as error:
            raise InvalidEndpoint(f"{text!r} is not a contact (name@address:port): {error}") from None
        if contact.endpoint.port == 0:
            raise InvalidEndpoint(f"{text!r} is not a contact: port 0 cannot be dialled")
        if contact.endpoint.address.is_unspecified or contact.endpoint.address.is_multicast:
            raise InvalidEndpoint(f"{text!r} is not a contact: no single node is at that address")
        return contact

    def __str__(self) -> str:
        return f"{self.name}@{self.endpoint}" if self.name else str(self.endpoint)


@dataclass(frozen=True, slots=True)
class Connection:
    """
    A connection, as crust's events name it.

    @ivar protocol: the transport protocol.
    @ivar peer: the other end's address; of a tunnel, the address of the relay.
    @ivar local: this end's address.
    @ivar tunnel: the number of the tunnel on the link to the relay; 0 if it is no tunnel.
    """

    protocol: Protocol
    peer: Endpoint
    local: Endpoint
    tunnel: int = 0

    def __str__(self) -> str:
        number = f" #{self.tunnel}" if self.tunnel else ""
        return f"{self.protocol.value} {self.local} - {self.peer}{number}"


class PrivateDialling(str, Enum):
    """Which private addresses may be dialled when a stranger gave them."""

    ON_LINK = "on-link"
    """The endpoints in a network of one of our own interfaces."""
    ALWAYS = "always"
    NEVER = "never"


def is_local_only(endpoint: Endpoint) -> bool:
    """Whether an address cannot be reached from the internet: loopback, private, link-local."""
    return kind_of(endpoint.address) is not Kind.GLOBAL


def refusal_to_dial(
    endpoint: Endpoint,
    private: PrivateDialling,
    own: tuple[Endpoint, ...],
    on_link: tuple[str, ...] = (),
    own_hosts: Collection[str] = (),
    low_ports: Collection[int] = (),
) -> str | None:
    """
    Decide whether an endpoint that a stranger gave us may be dialled.

    @param own: our own listening endpoints. One of them is never dialled; and only a node that
        listens on nothing but loopback addresses dials loopback addresses.
    @param on_link: the networks of our own interfaces, as C{192.168.1.0/24}.
    @param own_hosts: the addresses of our own interfaces. They are not dialled on any port, unless private
        addresses always may be: other nodes on a machine with a network are rare, other services are not.
    @param low_ports: which ports below C{LOWEST_PORT_FROM_STRANGERS} may be dialled, since the peer that
        named them is no stranger in this.
    @return: C{None} if it may be dialled, else the reason in a few words.
    """
    address = endpoint.address
    # Well-known ports speak protocols (SMTP, DNS) in which even our first bytes could do harm.
    if endpoint.port < LOWEST_PORT_FROM_STRANGERS and endpoint.port not in low_ports:
        return f"ports below {LOWEST_PORT_FROM_STRANGERS} are never dialled for a stranger"
    if endpoint in own:
        return "it is our own address"
    kind = kind_of(address)
    # A network of nodes on one machine works; any other node must not probe the services of its own host.
    if kind is Kind.LOOPBACK:
        here = bool(own) and all(kind_of(each.address) is Kind.LOOPBACK for each in own)
        return None if here else kind.value
    if endpoint.host in own_hosts and private is not PrivateDialling.ALWAYS:
        return "it is another port of our own address"
    if kind is Kind.PRIVATE:
        return _refusal_of_private(address, private, on_link)
    return None if kind is Kind.GLOBAL else kind.value


def _refusal_of_private(
    address: IPv4Address | IPv6Address, private: PrivateDialling, on_link: tuple[str, ...]
) -> str | None:
    if private is PrivateDialling.ALWAYS:
        return None
    if private is PrivateDialling.NEVER:
        return "it is a private address, and private_dialling is never"
    if any(address in _network(each) for each in on_link):
        return None
    return "it is a private address of a network that we are not in"


def _plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


@lru_cache(maxsize=4096)
def _network_text(host: str, bits: int) -> str:
    """The network of an address, a zone left out, as text: each frame that others pay for asks for it."""
    return str(_network(f"{host.partition('%')[0]}/{bits}"))


@lru_cache(maxsize=1024)
def _network(text: str) -> IPv4Network | IPv6Network:
    """The network of an address with a prefix length."""
    return ip_network(text, strict=False)

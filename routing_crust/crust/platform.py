"""
The platform: everything that crust takes from the machine that it runs on.

This is the seam at which a simulation takes the machine's place. It lies at the connection: a platform
listens and connects by TCP, and gives the clock and the TLS of the links. All above it is the same code in
production and in a simulation: accepting, dialling, limits, contacts, bootstrap, hole punching, tunnels and
the links themselves. TLS is on the platform's side because its handshakes and its memory are too dear for a
thousand nodes in one process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from random import Random
from socket import socket
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConnector, IListeningPort, IProtocolFactory, IReactorTime

from ..config import KeyExchange, Settings
from ..endpoints import Contact, Endpoint
from ..identity import Identity
from ..names import Name
from ..timing.steadyclock import steady
from .accept.descriptors import descriptors_left
from .accept.ports import NOTHING_GIVEN, open_ports
from .discovery.beacon import LanBeacon
from .discovery.contacts import MAX_SAVED_CONTACTS, ContactBook
from .discovery.multicast import BEACON_PORT, Place
from .discovery.packet import BeaconScope
from .key_agreement import KeyAgreements
from .link.tls import LinkTls
from .mapping.portmapper import PortMapper, Told, router_access
from .netstate.connecting import connect_tcp
from .netstate.host import HostAddress, read_host_addresses
from .netstate.named_host import connect_to_host
from .netstate.netwatch import NetWatch
from .netstate.paths import SYSTEM_PATH, DialPath
from .netstate.uplinks import Uplink, other_uplinks
from .resolving.dns import Dns
from .resolving.name_servers import NameServers
from .session_tls import SessionTls


class Beacon(Protocol):
    """Finds nodes on the local network; a L{LanBeacon}, in production."""

    @property
    def active(self) -> bool:
        """Whether there is any place where nodes could be found."""

    def listen(self, places: Sequence[Place]) -> None:
        """Listen at these places and no others from now on."""

    def seek(self) -> None:
        """Look for nodes until L{stop_seeking}."""

    def stop_seeking(self) -> None:
        """Look no more. Idempotent."""

    def stop(self) -> Deferred[None]:
        """Close all sockets; fires when none is left."""


class Mapper(Protocol):
    """Has routers map our ports; a L{PortMapper}, in production."""

    @property
    def in_words(self) -> tuple[str, ...]:
        """For each port what is mapped to it, or why nothing is."""

    def maps(self, local_port: int) -> bool:
        """Whether the internet can dial this port of ours through a router."""

    def start(self, listening: Sequence[Endpoint]) -> None:
        """Begin, with where we listen."""

    def network_changed(self) -> None:
        """The host's addresses or routes have changed."""

    def when_asked(self) -> Deferred[None]:
        """Fires when each port is mapped, or it is known why it is not."""

    def stop(self) -> Deferred[None]:
        """Have all mappings removed; fires when nothing is left."""


class Platform(Protocol):
    """
    The machine under one L{CrustService<routing_crust.crust.service.CrustService>}.

    @ivar clock: its clock, whose time never goes back.
    """

    clock: IReactorTime

    def tls(self, identity: Identity, key_exchange: KeyExchange) -> LinkTls:
        """What secures the connections of this node."""

    def session_tls(self, identity: Identity, key_exchange: KeyExchange) -> KeyAgreements:
        """What agrees on keys with nodes that need not be linked."""

    def listen(self, factory: IProtocolFactory, endpoints: Sequence[Endpoint]) -> tuple[IListeningPort, ...]:
        """
        Listen.

        @raise CannotListen: one of them cannot be listened on; nothing is open.
        """

    def connect(
        self,
        remote: Endpoint,
        factory: IProtocolFactory,
        origin: Endpoint | None,
        path: DialPath = SYSTEM_PATH,
    ) -> IConnector:
        """
        Begin one TCP connection, without a time limit.

        @param factory: a C{ClientFactory}.
        @param origin: the local address and port, one that we listen on; C{None} leaves both to the system.
        @param path: by which interface, and with how large segments.
        @return: the connector. If C{origin} is to blame for its failure, C{is_local} of
            L{routing_crust.crust.dial.local_port} is true of the error.
        """

    def uplinks(self, remote: Endpoint) -> Sequence[Uplink]:
        """The interfaces by which an endpoint might be reached, beside the one that the system would use."""

    def connect_to_host(self, host: str, port: int, factory: IProtocolFactory) -> IConnector:
        """Begin one TCP connection to a host of which only the name may be known, likewise."""

    def addresses(self) -> Sequence[HostAddress]:
        """
        The addresses of the interfaces, now.

        @raise OSError: they cannot be read.
        """

    def contacts(self, settings: Settings, own: Name) -> ContactBook:
        """Where saved contacts are kept."""

    def name_servers(self) -> NameServers:
        """What resolves host names."""

    def beacon(
        self, identity: Identity, network: str, random: Random, found: Callable[[Contact], None]
    ) -> Beacon:
        """What finds nodes on the local network."""

    def mapper(
        self, settings: Settings, identity: Identity, random: Random, mapped: Told, unmapped: Told
    ) -> Mapper:
        """What has routers map our ports."""

    def net_watch(self, changed: Callable[[str], object]) -> NetWatch:
        """What tells of changes of the network."""

    def descriptors_left(self) -> int:
        """How many more connections the system lets us have, at least."""


class SystemPlatform:
    """
    This machine, by a reactor of Twisted's.
    """

    def __init__(
        self,
        reactor: Any,
        *,
        host_addresses: Callable[[], Sequence[HostAddress]] = read_host_addresses,
        beacon_port: int = BEACON_PORT,
        beacon_secret: bytes = b"",
        given: Mapping[Endpoint, socket] = NOTHING_GIVEN,
    ) -> None:
        """
        @param reactor: provides C{IReactorTime}, C{IReactorTCP}, C{IReactorUDP}, C{IReactorSocket} and
            C{IReactorFromThreads}.
        @param host_addresses: reads the addresses of this host.
        @param beacon_port: the UDP port at which nodes on the local network find each other.
        @param beacon_secret: what the members of a private network share for it.
        @param given: sockets that listen already, each with where.
        """
        self._reactor: Any = steady(reactor)  # for everything, the ports' and the mapper's timers too
        self.clock: IReactorTime = self._reactor
        self.addresses = host_addresses
        self._beacon_port = beacon_port
        self._beacon_secret = beacon_secret
        self._given = given

    def tls(self, identity: Identity, key_exchange: KeyExchange) -> LinkTls:
        return LinkTls(identity, key_exchange)

    def session_tls(self, identity: Identity, key_exchange: KeyExchange) -> KeyAgreements:
        return SessionTls(identity, key_exchange)

    def listen(self, factory: IProtocolFactory, endpoints: Sequence[Endpoint]) -> tuple[IListeningPort, ...]:
        return open_ports(self._reactor, factory, endpoints, self._given)

    def connect(
        self,
        remote: Endpoint,
        factory: IProtocolFactory,
        origin: Endpoint | None,
        path: DialPath = SYSTEM_PATH,
    ) -> IConnector:
        return connect_tcp(self._reactor, remote, factory, origin, path)

    def uplinks(self, remote: Endpoint) -> Sequence[Uplink]:
        """The uplinks that Linux tells of; none elsewhere."""
        try:
            return other_uplinks(remote, self.addresses())
        except OSError:
            return ()

    def connect_to_host(self, host: str, port: int, factory: IProtocolFactory) -> IConnector:
        """At the address that answers first, of all that the system knows for this name."""
        return connect_to_host(self._reactor, host, port, factory)

    def contacts(self, settings: Settings, own: Name) -> ContactBook:
        """In the folder that C{state_dir} names."""
        return ContactBook(settings.state_dir, MAX_SAVED_CONTACTS, own, self._reactor)

    def name_servers(self) -> NameServers:
        """The name servers that the system is set up to use."""
        return Dns(self._reactor)

    def beacon(
        self, identity: Identity, network: str, random: Random, found: Callable[[Contact], None]
    ) -> Beacon:
        """Multicast, on each interface."""
        return LanBeacon(
            identity,
            BeaconScope(network, self._beacon_secret),
            self._reactor,
            random,
            found,
            self._beacon_port,
        )

    def mapper(
        self, settings: Settings, identity: Identity, random: Random, mapped: Told, unmapped: Told
    ) -> Mapper:
        """PCP, NAT-PMP, then UPnP."""
        # an Ed25519 signature is always the same, and nobody else can make it
        nonces = partial(identity.sign, "port mapping", "")
        access = router_access(self._reactor, random, nonces)
        return PortMapper(settings, self._reactor, random, access, mapped, unmapped)

    def net_watch(self, changed: Callable[[str], object]) -> NetWatch:
        """The kernel's news by netlink, where there is that."""
        return NetWatch(self._reactor, changed)

    def descriptors_left(self) -> int:
        return descriptors_left()

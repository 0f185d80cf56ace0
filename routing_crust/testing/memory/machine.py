"""
A machine of the network in memory: the platform that a real crust stands on there.

It has an address, a clock and ports; no router that maps ports, no multicast, and no disk: saved contacts are
handed on from one process to the next by what starts them.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from random import Random

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IConnector, IListeningPort, IProtocolFactory, IReactorTime
from zope.interface import implementer

from ...config import KeyExchange, Settings
from ...crust.accept.descriptors import PLENTY
from ...crust.discovery.contacts import MAX_SAVED_CONTACTS, ContactBook
from ...crust.discovery.multicast import Place
from ...crust.mapping.portmapper import Told
from ...crust.netstate.host import HostAddress
from ...crust.netstate.netwatch import NetWatch
from ...crust.netstate.paths import SYSTEM_PATH, DialPath
from ...endpoints import Contact, Endpoint
from ...errors import CannotListen
from ...identity import Identity
from ...names import Name
from .connecting import MemoryConnector
from .key_agreement import SimulatedKeyAgreements
from .name_servers import MemoryNameServers
from .network import MemoryNetwork
from .tls import SimulatedTls
from .transport import MemoryTransport, address_of


class MemoryMachine:
    """
    One machine: L{Platform<routing_crust.crust.platform.Platform>} says what it offers.

    @ivar host: the IP address that its connections come from.
    @ivar listening: where it listens, if it is asked to listen anywhere.
    @ivar clock: its clock.
    """

    def __init__(
        self,
        network: MemoryNetwork,
        listening: Sequence[Endpoint],
        link_network: str,
        saved: Sequence[Contact],
        clock: IReactorTime,
    ) -> None:
        """
        @param listening: the first is at the address that its connections come from.
        @param link_network: the network that its interfaces are in, as a text.
        @param saved: saved contacts from an earlier start, most recently proven first.
        """
        self.network = network
        self.clock = clock
        self.host = listening[0].host
        self.listening = tuple(listening)
        self._link_network = link_network
        self._saved = tuple(saved)
        network.add(self)

    def __repr__(self) -> str:
        return f"<MemoryMachine {self.host}>"

    def tls(self, identity: Identity, key_exchange: KeyExchange) -> SimulatedTls:
        return SimulatedTls(identity, self.network.random)

    def session_tls(self, identity: Identity, key_exchange: KeyExchange) -> SimulatedKeyAgreements:
        return SimulatedKeyAgreements(identity, self.network.random)

    def listen(self, factory: IProtocolFactory, endpoints: Sequence[Endpoint]) -> tuple[IListeningPort, ...]:
        """It listens at addresses of its own, if it is to listen at all."""
        # the settings decide whether it listens, and the simulation where
        wanted = self.listening if endpoints else ()
        for endpoint in wanted:
            if self.network.listener(endpoint) is not None:
                raise CannotListen(f"{endpoint} is taken: stop what listens there, or choose another port")
        return tuple(MemoryPort(self, endpoint, factory) for endpoint in wanted)

    def connect(
        self,
        remote: Endpoint,
        factory: IProtocolFactory,
        origin: Endpoint | None,
        path: DialPath = SYSTEM_PATH,
    ) -> IConnector:
        """There is one way out, which carries packets of every size."""
        local = self.network.new_port(self.host) if origin is None else origin
        connector = MemoryConnector(self.network, self, local, remote, factory)
        connector.connect()
        return connector

    def uplinks(self, remote: Endpoint) -> tuple[()]:
        """No other."""
        return ()

    def connect_to_host(self, host: str, port: int, factory: IProtocolFactory) -> IConnector:
        """By its address alone: no machine of this network is looked for by its name."""
        return self.connect(Endpoint.of(host, port), factory, None)

    def addresses(self) -> Sequence[HostAddress]:
        hosts = dict.fromkeys(each.host for each in self.listening)
        return tuple(HostAddress("eth0", 1, ip_address(each), self._link_network) for each in hosts)

    def contacts(self, settings: Settings, own: Name) -> ContactBook:
        book = ContactBook(None, MAX_SAVED_CONTACTS, own, self.clock)
        # the last that the book is told of counts as the most recently proven
        for each in reversed(self._saved):
            book.remember(each)
        return book

    def name_servers(self) -> MemoryNameServers:
        return self.network.name_servers

    def beacon(
        self, identity: Identity, network: str, random: Random, found: Callable[[Contact], None]
    ) -> NoBeacon:
        """There is no multicast."""
        return NoBeacon()

    def mapper(
        self, settings: Settings, identity: Identity, random: Random, mapped: Told, unmapped: Told
    ) -> NoMapper:
        """No router maps ports."""
        return NoMapper()

    def net_watch(self, changed: Callable[[str], object]) -> NetWatch:
        """Nothing tells of changes, but a host that has slept finds out."""
        return NetWatch(self.clock, changed, open_socket=_no_socket, slept=lambda: 0.0)

    def descriptors_left(self) -> int:
        """Connections in memory take none."""
        return PLENTY


@implementer(IListeningPort)
class MemoryPort:
    """A port that is listened on."""

    def __init__(self, host: MemoryMachine, endpoint: Endpoint, factory: IProtocolFactory) -> None:
        self.host = host
        self._endpoint = endpoint
        self._factory = factory
        self.startListening()

    def startListening(self) -> None:
        self._factory.doStart()
        self.host.network.listen(self._endpoint, self)

    def stopListening(self) -> Deferred[None]:
        self.host.network.listen_no_more((self._endpoint,))
        self._factory.doStop()
        return succeed(None)

    def getHost(self) -> IPv4Address | IPv6Address:
        return address_of(self._endpoint)

    def accept(self, end: MemoryTransport) -> None:
        """A peer has connected."""
        end.connect(self._factory.buildProtocol(end.getPeer()))


class NoBeacon:
    """The beacon of a network without multicast: it finds no node."""

    active = False

    def listen(self, places: Sequence[Place]) -> None:
        """There is nothing to listen to."""

    def seek(self) -> None:
        """There is nothing to ask."""

    def stop_seeking(self) -> None:
        """It never seeks."""

    def stop(self) -> Deferred[None]:
        """Nothing is open."""
        return succeed(None)


class NoMapper:
    """The mapper of a network whose routers map no ports."""

    in_words: tuple[str, ...] = ()

    def maps(self, local_port: int) -> bool:
        """Nothing is mapped."""
        return False

    def start(self, listening: Sequence[Endpoint]) -> None:
        """There is no router to ask."""

    def network_changed(self) -> None:
        """It makes no difference."""

    def when_asked(self) -> Deferred[None]:
        """There is no router to ask."""
        return succeed(None)

    def stop(self) -> Deferred[None]:
        """Nothing has to be removed."""
        return succeed(None)


def _no_socket() -> socket.socket:
    raise OSError("there is no kernel to hear from")

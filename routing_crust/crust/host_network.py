"""
This host in its network: the addresses of its interfaces, and the ports that its routers map.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.logger import Logger

from ..config import Role, Settings
from ..endpoints import Direction
from .accept.listening import ListeningPorts
from .discovery.multicast import Place, choose_places
from .interfaces import ILink
from .netstate.external_addresses import ExternalAddresses
from .netstate.host import HostAddress
from .platform import Mapper, Platform


class HostNetwork:
    """
    Tells all that depends on the addresses of this host when they have changed. Made by a
    L{CrustService<routing_crust.crust.service.CrustService>}.
    """

    log = Logger()

    def __init__(
        self,
        settings: Settings,
        platform: Platform,
        ports: ListeningPorts,
        outside: ExternalAddresses,
        mapper: Mapper,
        discover: Callable[[Sequence[Place]], None],
    ) -> None:
        """
        @param ports: where we listen.
        @param discover: told at which places other nodes may be found.
        """
        self._settings = settings
        self._platform = platform
        self._ports = ports
        self._outside = outside
        self._mapper = mapper
        self._discover = discover
        self._addresses: tuple[HostAddress, ...] = ()

    def follow(self) -> frozenset[str]:
        """As L{look}, but first listen at addresses that have come, and no more at those that are gone."""
        if self._ports.follow():
            self._mapper.start(self._ports.endpoints)
        return self.look()

    def look(self) -> frozenset[str]:
        """
        Read the addresses, and pass on what has changed.

        @return: the addresses that this host has lost since they were last read.
        """
        listening = self._ports.endpoints
        before = self._addresses
        now = self._read()
        # even if they are as before: after a stop what was known of the host is forgotten
        self._outside.host(listening, now)
        if now != before:
            self._addresses = now
            self._mapper.network_changed()
        if self._settings.lan_discovery:
            self._discover(choose_places(listening, now, self._settings.role is Role.CLIENT))
        # Without any address the reading has failed more likely than the host has lost them all.
        return _hosts(before) - _hosts(now) if now else frozenset()

    def came_by_a_mapping(self, link: ILink) -> bool:
        """Whether a link from outside was accepted on a port that a router maps."""
        connection = link.connection
        return (
            link.direction is Direction.ACCEPTED
            and self._mapper.maps(connection.local.port)
            # a hole in a firewall of IPv6 leads to our own address, which is direct
            and not connection.peer.is_v6
            and self._outside.is_outside(connection.peer)
        )

    def _read(self) -> tuple[HostAddress, ...]:
        try:
            return tuple(self._platform.addresses())
        except OSError as error:
            self.log.warn("the addresses of this host cannot be read ({problem})", problem=str(error))
            return ()


def _hosts(addresses: Sequence[HostAddress]) -> frozenset[str]:
    return frozenset(str(each.address) for each in addresses)

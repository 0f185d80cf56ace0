"""
Where a node listens: at addresses, which it must have, and at interfaces, whose addresses come and go.

A fixed address that cannot be listened on keeps a node from starting. What an interface has is followed:
ports are opened at addresses that appear, and closed at those that disappear. An address that the system has
not yet found to be ours alone is tried again when that changes.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from ...config import Role, Settings
from ...endpoints import Endpoint
from ...errors import CannotListen
from ...hosts.interfaces import InterfacePort
from ..netstate.host import HostAddress
from .ports import real_endpoint, refuse_overlaps

Listen = Callable[[IProtocolFactory, Sequence[Endpoint]], tuple[IListeningPort, ...]]


class ListeningPorts:
    """Made by a L{CrustService<routing_crust.crust.service.CrustService>}."""

    log = Logger()

    def __init__(
        self, settings: Settings, listen: Listen, addresses: Callable[[], Sequence[HostAddress]]
    ) -> None:
        """
        @param listen: opens ports, all or none.
        @param addresses: reads the addresses of this host.
        """
        self._settings = settings
        self._listen = listen
        self._addresses = addresses
        self._factory: IProtocolFactory | None = None
        self._fixed: dict[Endpoint, IListeningPort] = {}
        self._at_interfaces: dict[Endpoint, IListeningPort] = {}
        self._closing: dict[Deferred[Any], None] = {}
        self._missing: frozenset[str] = frozenset()
        self._problems: dict[Endpoint, str] = {}

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Where we listen now, with the real ports."""
        return (*self._fixed, *self._at_interfaces)

    def open(self, factory: IProtocolFactory) -> None:
        """
        Listen.

        @raise CannotListen: at a fixed address, or at one of an interface that is there; nothing is open.
        """
        wanted = () if self._settings.role is Role.CLIENT else self._settings.listen
        fixed = [each for each in wanted if isinstance(each, Endpoint)]
        ports = self._listen(factory, fixed)
        self._fixed = {real_endpoint(each): each for each in ports}
        self._factory = factory
        try:
            self._follow(self._open_at_start)
        except CannotListen:
            # nobody waits for the ports of a node that has not started
            self.close()
            raise
        for endpoint in self.endpoints:
            self.log.info("listening on {endpoint}", endpoint=str(endpoint))

    def follow(self) -> bool:
        """
        Open and close what the present addresses of the interfaces ask for.

        @return: whether we listen elsewhere now.
        """
        before = self.endpoints
        if self._factory is not None:
            self._follow(self._open_later)
        for endpoint in self.endpoints:
            if endpoint not in before:
                self.log.info("listening on {endpoint}", endpoint=str(endpoint))
        return self.endpoints != before

    def close(self) -> list[Deferred[Any]]:
        """
        Listen no more.

        @return: each fires when a port is closed, in a later turn of the reactor; also of those whose address
            has gone just before. None fails.
        """
        for each in (*self._fixed.values(), *self._at_interfaces.values()):
            self._close(each)
        self._fixed, self._at_interfaces, self._factory = {}, {}, None
        self._missing, self._problems = frozenset(), {}
        return list(self._closing)

    def _close(self, port: IListeningPort) -> None:
        def is_closed(outcome: object) -> None:
            self._closing.pop(closed, None)
            if isinstance(outcome, Failure):
                self.log.failure("closing a listening port failed", outcome)

        closed = maybeDeferred(port.stopListening)
        self._closing[closed] = None
        closed.addBoth(is_closed)

    def _follow(self, open_one: Callable[[Endpoint], object]) -> None:
        interfaces = [] if self._factory is None else self._interfaces
        if not interfaces:
            return
        try:
            addresses = self._addresses()
        except OSError:
            return  # said where all else of the host is looked at
        self._say_what_is_missing(interfaces, addresses)
        wanted = endpoints_at(interfaces, addresses)
        for gone in [each for each in self._at_interfaces if each not in wanted]:
            self._close(self._at_interfaces.pop(gone))
            self.log.info("no longer listening on {endpoint}: the address is gone", endpoint=str(gone))
        self._problems = {each: why for each, why in self._problems.items() if each in wanted}
        for each in wanted:
            if each not in self._at_interfaces and each not in self._fixed:
                open_one(each)

    @property
    def _interfaces(self) -> list[InterfacePort]:
        wanted = () if self._settings.role is Role.CLIENT else self._settings.listen
        return [each for each in wanted if isinstance(each, InterfacePort)]

    def _open_at_start(self, endpoint: Endpoint) -> None:
        try:
            self._open(endpoint)
        except CannotListen as error:
            if not _is_not_ours_yet(error):
                raise
            self._problems[endpoint] = str(error)

    def _open_later(self, endpoint: Endpoint) -> None:
        try:
            self._open(endpoint)
        except CannotListen as error:
            if self._problems.get(endpoint) != str(error):
                self._problems[endpoint] = str(error)
                # new addresses of IPv6 are all refused at first, which is no news
                level = LogLevel.debug if _is_not_ours_yet(error) else LogLevel.warn
                text = "{problem}. It is tried again when the network changes"
                self.log.emit(level, text, problem=str(error))
        else:
            self._problems.pop(endpoint, None)

    def _open(self, endpoint: Endpoint) -> None:
        assert self._factory is not None
        refuse_overlaps([endpoint], self._fixed)
        (port,) = self._listen(self._factory, [endpoint])
        # not what the port says of itself, which leaves out the zone
        self._at_interfaces[endpoint] = port

    def _say_what_is_missing(
        self, interfaces: Sequence[InterfacePort], addresses: Sequence[HostAddress]
    ) -> None:
        there = dict.fromkeys(each.interface for each in addresses)
        missing = frozenset(each.interface for each in interfaces) - frozenset(there)
        for interface in sorted(missing - self._missing):
            self.log.warn(
                "no interface {interface} has an address: the node listens there as soon as it has one. "
                "With addresses are {there}",
                interface=interface,
                there=", ".join(there) or "none",
            )
        self._missing = missing


def _is_not_ours_yet(error: CannotListen) -> bool:
    """Whether it is an IPv6 address of which the system is still finding out whether another host has it."""
    return getattr(error.__cause__, "errno", None) == errno.EADDRNOTAVAIL


def endpoints_at(
    interfaces: Sequence[InterfacePort], addresses: Sequence[HostAddress]
) -> tuple[Endpoint, ...]:
    """All addresses of these interfaces, with their ports; link-local ones of IPv6 with their zone."""
    found: dict[Endpoint, None] = {}
    for place in interfaces:
        for each in addresses:
            if each.interface == place.interface:
                has_zone = each.address.version == 6 and each.address.is_link_local
                host = f"{each.address}%{each.interface}" if has_zone else str(each.address)
                found[Endpoint.of(host, place.port)] = None
    return tuple(found)

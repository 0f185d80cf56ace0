"""
Holes in the firewalls of routers for our IPv6 addresses, one for each address and port.

In IPv6 no port is mapped, since nothing is translated, but most routers of homes let nothing in that was not
sent for. The holes follow our addresses: a provider gives others, and the system makes new ones every day.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from twisted.internet.defer import Deferred, gatherResults

from ...endpoints import Endpoint
from .keeper import PortKeeper
from .lease import Gateway, RouterAccess

MAX_PINHOLES: Final = 4
"""Upper bound of holes that are asked for; further addresses and ports are left to the operator."""

MakeKeeper = Callable[[Endpoint, RouterAccess], PortKeeper]


class Pinholes:
    """Made by a L{PortMapper<routing_crust.crust.mapping.portmapper.PortMapper>}."""

    def __init__(self, access: RouterAccess, make: MakeKeeper, gone: Callable[[PortKeeper], object]) -> None:
        """
        @param make: makes a keeper, which is not started.
        @param gone: called with a keeper whose address this host has lost, before it is stopped.
        """
        self._access = access
        self._make = make
        self._gone = gone
        self._wanted: tuple[Endpoint, ...] = ()
        self._keepers: dict[Endpoint, PortKeeper] = {}
        self._ending: set[Deferred[None]] = set()

    @property
    def keepers(self) -> tuple[PortKeeper, ...]:
        """Those of the present addresses."""
        return tuple(self._keepers.values())

    def start(self, wanted: Sequence[Endpoint]) -> None:
        """
        Begin.

        @param wanted: of what we listen on, what is to be reached from outside.
        """
        self._wanted = tuple(wanted)
        self.follow()

    def follow(self) -> None:
        """Begin and end what the present addresses of this host ask for."""
        if not self._wanted:
            return
        now = pinholes_for(self._wanted, self._access.find_gateways_v6())
        for lost in [each for each in self._keepers if each not in now]:
            keeper = self._keepers.pop(lost)
            self._gone(keeper)
            self._end(keeper)
        for each in now:
            if each not in self._keepers:
                self._keepers[each] = self._make(each, self._access.of_address(each.host))
                self._keepers[each].start()

    def stop(self) -> Deferred[None]:
        """
        Have all holes closed. Idempotent.

        @return: fires when nothing is left, also of what an earlier change has ended; never fails.
        """
        self._wanted = ()
        for keeper in self._keepers.values():
            self._end(keeper)
        self._keepers.clear()
        return gatherResults(self._ending.copy()).addCallback(lambda _: None)

    def _end(self, keeper: PortKeeper) -> None:
        ended: Deferred[None] = Deferred()
        self._ending.add(ended)

        def forget(_: object) -> None:
            self._ending.discard(ended)
            ended.callback(None)

        keeper.stop().addCallback(forget)


def pinholes_for(wanted: Sequence[Endpoint], gateways: Sequence[Gateway]) -> tuple[Endpoint, ...]:
    """Where others could dial us if it were not for a firewall: each of our addresses that listens."""
    found: dict[Endpoint, None] = {}
    for listening in wanted:
        for gateway in gateways:
            if listening.address.is_unspecified or listening.host == gateway.local:
                found.setdefault(Endpoint(gateway.local, listening.port))
    return tuple(found)[:MAX_PINHOLES]

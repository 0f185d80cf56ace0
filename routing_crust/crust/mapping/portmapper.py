"""
The port mapper: it has routers map our listening ports, for as long as we listen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import Any, Final

from twisted.internet.defer import Deferred, gatherResults

from ...config import Role, Settings
from ...endpoints import Endpoint
from .gateway import find_gateway, find_gateways_v6
from .keeper import PortKeeper
from .keepers import PortKeepers
from .lease import Gateway, Lease, RouterAccess
from .natpmprouter import NatPmpRouter
from .pcprouter import Nonces, PcpRouter
from .upnp import UpnpRouter, in_daemon_thread

MAPPING_LIFETIME_SECONDS: Final = 7200
"""For how long a router is asked to map our port; it is asked again after half of that."""

MAX_MAPPED_PORTS: Final = 4
"""Upper bound of mapped ports; further ones are left to the operator."""
MAX_PINHOLES: Final = 4
"""Upper bound of holes that are asked for; further addresses and ports are left to the operator."""

Told = Callable[[Endpoint, int], object]


class PortMapper:
    """
    Made by L{CrustService<routing_crust.crust.service.CrustService>}, to which each mapping is reported.
    """

    def __init__(
        self,
        settings: Settings,
        reactor: Any,
        random: Random,
        access: RouterAccess,
        mapped: Told,
        unmapped: Told,
    ) -> None:
        """
        @param reactor: provides C{IReactorTime}.
        @param random: for waits and ports.
        @param access: finds the router, and what asks it.
        @param mapped: called with an external endpoint that others can dial and the port of ours that it
            leads to. Not called from within a call to this object.
        @param unmapped: called with the same when that is over; not by L{stop}.
        """
        self._settings = settings
        self._reactor = reactor
        self._random = random
        self._mapped = mapped
        self._unmapped = unmapped
        self._access = access
        self._listening: tuple[Endpoint, ...] = ()
        self._mapping = PortKeepers(self._keeper, self._gone)
        self._pinholes = PortKeepers(self._keeper, self._gone)

    @property
    def _keepers(self) -> tuple[PortKeeper, ...]:
        return (*self._mapping.present, *self._pinholes.present)

    @property
    def leases(self) -> tuple[Lease, ...]:
        """The current mappings, those that are not L{Lease.reachable} included."""
        return tuple(each.lease for each in self._keepers if each.lease is not None)

    @property
    def in_words(self) -> tuple[str, ...]:
        """For each port its mapping, or why there is none; a port of which neither is known is left out."""
        return tuple(
            f"{_name_of(each.listening)}: {each.problem or each.lease}"
            for each in self._keepers
            if each.problem or each.lease
        )

    def maps(self, local_port: int) -> bool:
        """Whether the internet can dial this port of ours through a router."""
        leases = [each for each in self.leases if not each.is_pinhole]
        return any(each.local_port == local_port and each.reachable for each in leases)

    def start(self, listening: Sequence[Endpoint]) -> None:
        """
        Begin, if there is anything to map: not for a client, and not when only loopback is listened on.
        Called again when we listen elsewhere; what was mapped and is still wanted stays.

        @param listening: where we listen, with the real ports.
        """
        self._listening = tuple(listening)
        self._mapping.follow(dict.fromkeys(ports_to_map(self._settings, listening), self._access))
        self._open_pinholes()

    def _open_pinholes(self) -> None:
        listening = ports_to_open(self._settings, self._listening)
        gateways = self._access.find_gateways_v6() if listening else ()
        holes = pinholes_for(listening, gateways)
        self._pinholes.follow({each: self._access.of_address(each.host) for each in holes})

    def _keeper(self, listening: Endpoint, access: RouterAccess) -> PortKeeper:
        return PortKeeper(
            listening, MAPPING_LIFETIME_SECONDS, self._reactor, self._random, access, self._tell
        )

    def _gone(self, keeper: PortKeeper) -> None:
        self._tell(keeper.lease, None)

    def network_changed(self) -> None:
        """The host's addresses or routes have changed: check the mappings soon."""
        for each in self._keepers:
            each.network_changed()
        self._open_pinholes()

    def when_asked(self) -> Deferred[None]:
        """
        @return: fires when each port that is to be mapped is mapped, or it is known why it is not: within
            some 12 s, which routers take that answer nothing. Never fails, unless it is cancelled.
        """
        return Deferred.fromCoroutine(self._all_asked())

    async def _all_asked(self) -> None:
        for each in self._keepers:
            await each.when_asked()

    def stop(self) -> Deferred[None]:
        """
        Have all mappings removed. Idempotent; L{start} begins again.

        @return: fires in L{STOP_SECONDS<routing_crust.crust.mapping.keeper.STOP_SECONDS>} seconds at most,
            with no delayed call or port left; never fails. A thread that waits for a router over UPnP is not
            waited for.
        """
        self._listening = ()
        stopping = [each.stop() for each in (self._mapping, self._pinholes)]
        return gatherResults(stopping).addCallback(lambda _: None)

    def _tell(self, old: Lease | None, new: Lease | None) -> None:
        # in this order, so that there is an address to dial at every moment
        if new is not None and (new.reachable or new.reaches_neighbours):
            self._mapped(new.external, new.local_port)
        if old is not None and (old.reachable or old.reaches_neighbours):
            self._unmapped(old.external, old.local_port)


def router_access(reactor: Any, random: Random, nonces: Nonces) -> RouterAccess:
    """
    The gateways of this host, which are asked by PCP, then NAT-PMP, then UPnP.

    @param reactor: provides C{IReactorTime}, C{IReactorUDP} and C{IReactorFromThreads}.
    @param nonces: for PCP; the same after a restart.
    """
    pcp = partial(PcpRouter, reactor, nonces)
    # by how long they take: milliseconds, UPnP a second, and several where no router answers
    ways = (
        pcp,
        partial(NatPmpRouter, reactor),
        partial(UpnpRouter, random=random, in_thread=partial(in_daemon_thread, reactor)),
    )
    # miniupnpc has no call for the holes that routers make over UPnP
    return RouterAccess(find_gateway, ways, find_gateways_v6, (pcp,))


def ports_to_map(settings: Settings, listening: Sequence[Endpoint]) -> tuple[Endpoint, ...]:
    """The endpoints that a router is asked to map, of those that we listen on: IPv4, once for each port."""
    if not settings.port_mapping or settings.role is Role.CLIENT:
        return ()
    wanted: dict[int, Endpoint] = {}
    for each in listening:
        # NAT-PMP and the IGD's port mappings know IPv4 only, where addresses are translated
        if not each.is_v6 and not each.address.is_loopback:
            # a router maps to a host and a port, so that two listening addresses need one mapping
            wanted.setdefault(each.port, each)
    return tuple(wanted.values())[:MAX_MAPPED_PORTS]


def ports_to_open(settings: Settings, listening: Sequence[Endpoint]) -> tuple[Endpoint, ...]:
    """The endpoints that a firewall is asked to let in, of those that we listen on: IPv6."""
    if not settings.port_mapping or settings.role is Role.CLIENT:
        return ()
    return tuple(each for each in listening if each.is_v6 and not each.address.is_loopback)


def pinholes_for(wanted: Sequence[Endpoint], gateways: Sequence[Gateway]) -> tuple[Endpoint, ...]:
    """Where others could dial us if it were not for a firewall: each of our addresses that listens."""
    found: dict[Endpoint, None] = {}
    for listening in wanted:
        for gateway in gateways:
            if listening.address.is_unspecified or listening.host == gateway.local:
                found.setdefault(Endpoint(gateway.local, listening.port))
    return tuple(found)[:MAX_PINHOLES]


def _name_of(listening: Endpoint) -> str:
    return str(listening) if listening.is_v6 else f"port {listening.port}"

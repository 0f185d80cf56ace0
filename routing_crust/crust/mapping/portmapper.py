"""
The port mapper: it has routers map our listening ports, for as long as we listen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from random import Random, SystemRandom
from typing import Any, Final

from twisted.internet.defer import Deferred, gatherResults

from ...config import Role, Settings
from ...endpoints import Endpoint
from .gateway import find_gateway
from .keeper import PortKeeper
from .lease import Lease, RouterAccess
from .natpmprouter import NatPmpRouter
from .upnp import UpnpRouter, in_daemon_thread

MAPPING_LIFETIME_SECONDS: Final = 7200
"""For how long a router is asked to map our port; it is asked again after half of that."""

MAX_MAPPED_PORTS: Final = 4
"""Upper bound of mapped ports; further ones are left to the operator."""

Told = Callable[[Endpoint, int], object]


class PortMapper:
    """
    Made by L{CrustService<routing_crust.crust.service.CrustService>}, to which each mapping is reported.
    """

    def __init__(
        self,
        settings: Settings,
        reactor: Any,
        random: Random | None = None,
        *,
        mapped: Told,
        unmapped: Told,
        access: RouterAccess | None = None,
    ) -> None:
        """
        @param reactor: provides C{IReactorTime}, C{IReactorUDP} and C{IReactorFromThreads}.
        @param random: for waits and ports; C{None} is the system's.
        @param mapped: called with an external endpoint that others can dial and the port of ours that it
            leads to. Not called from within a call to this object.
        @param unmapped: called with the same when that is over; not by L{stop}.
        @param access: finds the router, and what asks it; C{None} tries NAT-PMP, then UPnP.
        """
        self._settings = settings
        self._reactor = reactor
        self._random = random or SystemRandom()
        self._mapped = mapped
        self._unmapped = unmapped
        # NAT-PMP first: it takes milliseconds, UPnP a second, and several where no router answers
        ways = (
            partial(NatPmpRouter, reactor),
            partial(UpnpRouter, random=self._random, in_thread=partial(in_daemon_thread, reactor)),
        )
        self._access = access or RouterAccess(find_gateway, ways)
        self._keepers: tuple[PortKeeper, ...] = ()

    @property
    def leases(self) -> tuple[Lease, ...]:
        """The current mappings, those that are not L{Lease.reachable} included."""
        return tuple(each.lease for each in self._keepers if each.lease is not None)

    @property
    def in_words(self) -> tuple[str, ...]:
        """For each port its mapping, or why there is none; a port of which neither is known is left out."""
        return tuple(
            f"port {each.listening.port}: {each.problem or each.lease}"
            for each in self._keepers
            if each.problem or each.lease
        )

    def maps(self, local_port: int) -> bool:
        """Whether the internet can dial this port of ours through a router."""
        return any(each.local_port == local_port and each.reachable for each in self.leases)

    def start(self, listening: Sequence[Endpoint]) -> None:
        """
        Begin, if there is anything to map: not for a client, and not when only loopback is listened on.

        @param listening: where we listen, with the real ports.
        """
        wanted = ports_to_map(self._settings, listening)
        self._keepers = tuple(
            PortKeeper(
                each,
                MAPPING_LIFETIME_SECONDS,
                self._reactor,
                self._random,
                self._access,
                self._tell,
            )
            for each in wanted
        )
        for each in self._keepers:
            each.start()

    def network_changed(self) -> None:
        """The host's addresses or routes have changed: check the mappings soon."""
        for each in self._keepers:
            each.network_changed()

    def stop(self) -> Deferred[None]:
        """
        Have all mappings removed. Idempotent; L{start} begins again.

        @return: fires in L{STOP_SECONDS<routing_crust.crust.mapping.keeper.STOP_SECONDS>} seconds at most,
            with no delayed call or port left; never fails. A thread that waits for a router over UPnP is not
            waited for.
        """
        keepers, self._keepers = self._keepers, ()
        return gatherResults([each.stop() for each in keepers]).addCallback(lambda _: None)

    def _tell(self, old: Lease | None, new: Lease | None) -> None:
        # in this order, so that there is an address to dial at every moment
        if new is not None and (new.reachable or new.reaches_neighbours):
            self._mapped(new.external, new.local_port)
        if old is not None and (old.reachable or old.reaches_neighbours):
            self._unmapped(old.external, old.local_port)


def ports_to_map(settings: Settings, listening: Sequence[Endpoint]) -> tuple[Endpoint, ...]:
    """Of what we listen on, what a router is asked to map: IPv4, once for each port."""
    if not settings.port_mapping or settings.role is Role.CLIENT:
        return ()
    wanted: dict[int, Endpoint] = {}
    for each in listening:
        # NAT-PMP and the IGD's port mappings know IPv4 only, where addresses are translated
        if not each.is_v6 and not each.address.is_loopback:
            # a router maps to a host and a port, so that two listening addresses need one mapping
            wanted.setdefault(each.port, each)
    return tuple(wanted.values())[:MAX_MAPPED_PORTS]

"""
The lease of a mapped port, and the values and the interface that PCP, NAT-PMP and UPnP share.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Protocol

from ...addresses import Kind, kind_of
from ...endpoints import LOWEST_PORT_FROM_STRANGERS, Endpoint


class RouterProblem(Exception):
    """A router does not do what we requested. The text says why, for an operator."""


class UselessMapping(RouterProblem):
    """A router has made a mapping at which nobody can dial us."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """
    The router that our packets to the internet go through.

    @ivar address: its address; a link-local one with its zone.
    @ivar local: our own address in its network; of IPv6 the one that others dial.
    """

    address: str
    local: str

    @property
    def is_v6(self) -> bool:
        """Whether it is a firewall for one of our IPv6 addresses, and translates nothing."""
        return ":" in self.local


@dataclass(frozen=True, slots=True)
class Lease:
    """
    A mapped port.

    @ivar way: by which protocol: C{PCP}, C{NAT-PMP} or C{UPnP}.
    @ivar router: the router's address.
    @ivar external: where others can dial us.
    @ivar local_port: the port of ours that it leads to.
    @ivar lifetime: for how many seconds from now, or C{inf}.
    """

    way: str
    router: str
    external: Endpoint
    local_port: int
    lifetime: float

    @property
    def is_pinhole(self) -> bool:
        """Whether it is a hole in the firewall of IPv6."""
        return self.external.is_v6

    @property
    def effect(self) -> str:
        """What the router does, in words."""
        return f"lets connections to {self.external} in" if self.is_pinhole else f"maps {self.external} to us"

    @property
    def reachable(self) -> bool:
        """
        Whether the internet can dial it: not when the router has no global address itself, since it is
        behind another one then.
        """
        # peers never dial low ports that a stranger names, so such a mapping is useless
        is_dialled = self.external.port >= LOWEST_PORT_FROM_STRANGERS
        return is_dialled and kind_of(self.external.address) is Kind.GLOBAL

    @property
    def term(self) -> str:
        """For how long, in words."""
        if self.lifetime == inf:
            return "until it is removed"
        return f"for {in_words(self.lifetime)}"

    @property
    def reaches_neighbours(self) -> bool:
        """Whether others behind the same carrier's NAT can dial it, if not the internet."""
        is_dialled = self.external.port >= LOWEST_PORT_FROM_STRANGERS
        return is_dialled and not self.is_pinhole and kind_of(self.external.address) is Kind.PRIVATE

    @property
    def remark(self) -> str:
        """What is wrong with it, in words; empty if nothing is."""
        if self.reachable:
            return ""
        if kind_of(self.external.address) is Kind.GLOBAL:
            return f"ports below {LOWEST_PORT_FROM_STRANGERS} are never dialled for a stranger"
        return "only those behind the same router can dial it: this one is behind another itself"

    def __str__(self) -> str:
        told = f"{self.external}, by the router at {self.router} ({self.way}), {self.term}"
        return f"{told}; {self.remark}" if self.remark else told


class PortRouter(Protocol):
    """
    Maps one port by one protocol. Its coroutines are not run at the same time, and can be cancelled.

    @ivar way: the protocol's name.
    @ivar check_every: seconds between two checks that a mapping is still there.
    """

    way: str
    check_every: float

    async def map(self, local_port: int, external_port: int, lifetime: int) -> Lease:
        """
        Map a port of ours, or renew that. The router, or the protocol's side here, may choose another
        external port.

        @param external_port: the one that we would like.
        @param lifetime: in seconds.
        @raise UselessMapping: it is there, and is of no use.
        @raise RouterProblem: it cannot be had.
        """

    async def holds(self, lease: Lease) -> bool:
        """
        Whether a mapping is still there and still leads to us, with the same external address.

        @raise RouterProblem: the router does not say.
        """

    async def remove(self) -> None:
        """
        Undo what L{map} has done, even if that was cancelled halfway.

        @raise RouterProblem: the router does not confirm it.
        """


@dataclass(frozen=True, slots=True)
class RouterAccess:
    """
    How the router is found and asked.

    @ivar find_gateway: finds it; called again before anything is done.
    @ivar ways: make a L{PortRouter} for a gateway, in the order in which they are tried.
    @ivar find_gateways_v6: finds the router of each of our global IPv6 addresses.
    @ivar ways_v6: as C{ways}, for a hole in the firewall of such a router.
    """

    find_gateway: Callable[[], Gateway | None]
    ways: Sequence[Callable[[Gateway], PortRouter]]
    find_gateways_v6: Callable[[], Sequence[Gateway]] = tuple
    ways_v6: Sequence[Callable[[Gateway], PortRouter]] = ()

    def of_address(self, local: str) -> RouterAccess:
        """The access to the router of one of our IPv6 addresses, while this host has it."""
        # looked for each time: an address that this host has lost has no router any more
        find = self.find_gateways_v6
        return RouterAccess(
            lambda: next((each for each in find() if each.local == local), None), self.ways_v6
        )


def in_words(seconds: float) -> str:
    """A span of time in the largest unit that fits: C{2 h}, C{10 min}, C{45 s}."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"

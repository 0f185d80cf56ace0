"""
A NAT or firewall as a plain model: what it makes of the source of what goes out, and whether it lets in what
comes, by the terms of RFC 4787 (sections 4.1 and 5) and RFC 5382, which says the same of TCP.

A L{Nat} is a kind of box, a L{NatBox} is one of them with its table. It knows endpoints and the time, and
nothing of hosts; L{routing_crust.testing.memory.internet} puts boxes between these. Usage::

    box = NatBox(PORT_RESTRICTED, "1.0.5.1", clock.seconds)
    seen = box.outward(Endpoint("10.0.1.2", 5483), peer)  # the source that the peer sees
    box.inward(peer, seen)  # whom it is for; None if it is not let in
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from ...endpoints import Endpoint

FIRST_PORT: Final = 20_000
"""The first port that is given out where that of the host cannot be kept."""
PORTS: Final = 40_000
IDLE_MAPPING_SECONDS: Final = 240.0
"""Seconds: what RFC 5382 (requirement 5) grants to connections that are not, or no longer, established."""


class Depends(Enum):
    """On what of the far end a mapping or a filter depends."""

    NOTHING = "endpoint-independent"
    ADDRESS = "address-dependent"
    ADDRESS_AND_PORT = "address-and-port-dependent"

    def of(self, remote: Endpoint) -> str:
        """What of the far end makes a difference."""
        if self is Depends.NOTHING:
            return ""
        return remote.host if self is Depends.ADDRESS else str(remote)


@dataclass(frozen=True, slots=True)
class Nat:
    """
    How a kind of box behaves.

    @ivar name: what it is called.
    @ivar mapping: which destinations share an external port.
    @ivar filtering: who is let in to a port, once something went out from it.
    @ivar translates: whether it is a NAT; else it only filters.
    @ivar hairpin: whether hosts behind it reach each other by their external endpoints.
    @ivar lifetime: seconds after which what is not used is forgotten. What a connection uses is kept: its
        heartbeats come more often than that.
    """

    name: str
    mapping: Depends = Depends.NOTHING
    filtering: Depends = Depends.ADDRESS_AND_PORT
    translates: bool = True
    hairpin: bool = False
    lifetime: float = IDLE_MAPPING_SECONDS


# the names are those of RFC 3489 (section 5), which RFC 4787 replaces by the two kinds of dependence
FULL_CONE: Final = Nat("full cone", filtering=Depends.NOTHING)
RESTRICTED: Final = Nat("restricted", filtering=Depends.ADDRESS)
PORT_RESTRICTED: Final = Nat("port-restricted")
SYMMETRIC: Final = Nat("symmetric", mapping=Depends.ADDRESS_AND_PORT)
FIREWALL: Final = Nat("firewall", translates=False)
HAIRPIN: Final = Nat("port-restricted with hairpin", hairpin=True)
KINDS: Final = (FULL_CONE, RESTRICTED, PORT_RESTRICTED, SYMMETRIC, FIREWALL)
"""One of each, without hairpin."""


class _OpenHole:
    """One far end, or all that share what makes a difference, for which a port is open."""

    __slots__ = ("held", "used")

    def __init__(self, now: float) -> None:
        self.held = 0
        self.used = now


class Mapping:
    """
    A port of a host, and the external one that stands for it.

    @ivar inside: the port of the host.
    @ivar outside: what others see.
    """

    __slots__ = ("inside", "open", "outside")

    def __init__(self, inside: Endpoint, outside: Endpoint) -> None:
        self.inside = inside
        self.outside = outside
        self.open: dict[str, _OpenHole] = {}


class NatBox:
    """
    One box, with its table. Expired entries are dropped when the table is read.

    @ivar kind: how it behaves.
    @ivar address: its external address. A firewall has none of its own.
    @ivar flushed: how often it has forgotten everything.
    """

    def __init__(self, kind: Nat, address: str, seconds: Callable[[], float]) -> None:
        """
        @param seconds: the clock.
        """
        self.kind = kind
        self.address = address
        self.flushed = 0
        self._seconds = seconds
        self._by_inside: dict[tuple[Endpoint, str], Mapping] = {}
        self._by_outside: dict[Endpoint, Mapping] = {}
        self._next_port = 0

    def __repr__(self) -> str:
        return f"<NatBox {self.kind.name} {self.address}>"

    def __len__(self) -> int:
        """How many mappings there are now."""
        for mapping in list(self._by_outside.values()):
            self._forget_unused(mapping)
        return len(self._by_outside)

    def outward(self, inside: Endpoint, remote: Endpoint) -> Endpoint:
        """
        Something goes out, and opens the way for answers.

        @return: the source that it has from here on.
        """
        mapping = self._mapping(inside, remote)
        # what goes out must keep a mapping alive (RFC 4787, REQ-6)
        entry = mapping.open.setdefault(self.kind.filtering.of(remote), _OpenHole(self._seconds()))
        entry.used = self._seconds()
        return mapping.outside

    def inward(self, remote: Endpoint, outside: Endpoint) -> Endpoint | None:
        """
        Something comes from outside.

        @return: for whom it is; C{None} if it is not let in.
        """
        mapping = self._by_outside.get(outside)
        if mapping is None or self._forget_unused(mapping):
            return None
        entry = mapping.open.get(self.kind.filtering.of(remote))
        if entry is None:
            return None
        # what comes in may keep a mapping alive, too (RFC 4787, REQ-6)
        entry.used = self._seconds()
        return mapping.inside

    def hold(self, remote: Endpoint, outside: Endpoint) -> Callable[[], None]:
        """
        There is a connection: keep what it needs.

        @return: to be called when it is over.
        """
        mapping = self._by_outside[outside]
        entry = mapping.open[self.kind.filtering.of(remote)]
        entry.held += 1

        def release() -> None:
            # only from its end on does a connection count as idle (RFC 5382, REQ-5)
            entry.held -= 1
            entry.used = self._seconds()

        return release

    def flush(self) -> None:
        """Forget everything, as at a restart: no connection goes through any more."""
        self.flushed += 1
        self._by_inside.clear()
        self._by_outside.clear()

    def _mapping(self, inside: Endpoint, remote: Endpoint) -> Mapping:
        key = inside, self.kind.mapping.of(remote)
        mapping = self._by_inside.get(key)
        if mapping is None or self._forget_unused(mapping):
            mapping = self._by_inside[key] = Mapping(inside, self._outside_for(inside))
            self._by_outside[mapping.outside] = mapping
        return mapping

    def _outside_for(self, inside: Endpoint) -> Endpoint:
        if not self.kind.translates:
            return inside
        # a symmetric one that kept the port for the first destination would be none for that one
        kept = Endpoint(self.address, inside.port)
        # port preservation (RFC 4787, section 4.2.1), but never one port for two hosts (REQ-3)
        if self.kind.mapping is Depends.NOTHING and self._is_free(kept):
            return kept
        while True:
            self._next_port += 1
            outside = Endpoint(self.address, FIRST_PORT + self._next_port % PORTS)
            if self._is_free(outside):
                return outside

    def _is_free(self, outside: Endpoint) -> bool:
        mapping = self._by_outside.get(outside)
        return mapping is None or self._forget_unused(mapping)

    def _forget_unused(self, mapping: Mapping) -> bool:
        """Forget what has expired of a mapping. @return: whether nothing is left of it."""
        long_ago = self._seconds() - self.kind.lifetime
        mapping.open = {
            key: entry for key, entry in mapping.open.items() if entry.held or entry.used >= long_ago
        }
        if mapping.open:
            return False
        del self._by_outside[mapping.outside]
        self._by_inside = {key: each for key, each in self._by_inside.items() if each is not mapping}
        return True

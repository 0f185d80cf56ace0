"""
The internet in small: hosts with addresses of their own, and boxes that hosts stand behind.

It follows a packet: which source its receiver sees, which host that is, or that no host is reached.
Boxes may stand behind boxes. Public addresses are each in a /24 of their own, so that limits by network see
as many of these as there are boxes and public hosts; private ones differ from one network to the next, so
that none leads to a host of another by mistake.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ...config import DEFAULT_PORT
from ...endpoints import Endpoint
from .nat import Nat, NatBox

MAX_BOXES_ON_PATH: Final = 16
"""Boxes that a packet goes through before it is dropped."""

Step = tuple[NatBox, Endpoint, Endpoint]
"""A box on the way, the far end as it sees that, and the external endpoint of the near end."""


class Router:
    """
    A box, and what is behind it.

    @ivar box: what is done to packets.
    @ivar outer: the router that this one stands behind; C{None} on the internet.
    """

    def __init__(self, kind: Nat, outer: Router | None, number: int, box: NatBox) -> None:
        self.box = box
        self.outer = outer
        self.inner = Realm(self, f"10.{number >> 8}.{number & 255}")

    def __repr__(self) -> str:
        return repr(self.box)


class Realm:
    """
    A network in which packets are delivered as they are: the internet, or what is behind a router.

    @ivar router: by which one leaves it; C{None} on the internet.
    @ivar prefix: of private addresses in it.
    @ivar members: who has an address in it: a host, or a router, or what stands behind a firewall.
    """

    def __init__(self, router: Router | None, prefix: str) -> None:
        self.router = router
        self.prefix = prefix
        self.members: dict[str, Router | None] = {}
        self._given = 0

    def new_address(self) -> str:
        """A private address that no host has had."""
        self._given += 1
        return f"{self.prefix}.{self._given + 1}"


@dataclass(frozen=True, slots=True)
class Arrival:
    """
    A packet has come to a host.

    @ivar source: from where, as the host sees it.
    @ivar endpoint: its own address and port.
    @ivar steps: what it has gone through.
    """

    source: Endpoint
    endpoint: Endpoint
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class _Passage:
    """A connection, at one box: how often that had been flushed, and what lets go of it."""

    box: NatBox
    flushed: int
    release: Callable[[], None]


class PacketPath:
    """What a connection goes through. Made by L{Internet}, over with L{end}."""

    def __init__(self, steps: tuple[Step, ...]) -> None:
        # the count of flushes, since a box that was flushed may learn the same mapping again, and that
        # revives no connection
        self._passages = [
            _Passage(box, box.flushed, box.hold(remote, outside)) for box, remote, outside in steps
        ]

    @property
    def is_open(self) -> bool:
        """Whether every box still knows the connection."""
        return all(each.box.flushed == each.flushed for each in self._passages)

    def end(self) -> None:
        """The connection is over."""
        for each in self._passages:
            each.release()


class Internet:
    """
    Who is where. Made by a network whose hosts have real addresses.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        """
        @param seconds: the clock.
        """
        self._seconds = seconds
        self._outside = Realm(None, "")
        self._homes: dict[str, Realm] = {}
        self._routers = 0
        self._public = 0

    def router(self, kind: Nat, behind: Router | None = None) -> Router:
        """
        Set up a box.

        @param behind: the box that it stands behind itself.
        """
        self._routers += 1
        box = NatBox(kind, "", self._seconds)
        router = Router(kind, behind, self._routers, box)
        if kind.translates:
            box.address = self._new_address(behind)
            self._announce(box.address, behind, router)
        return router

    def new_host(self, behind: Router | None = None) -> Endpoint:
        """
        Where a new host listens.

        @param behind: the box that it stands behind; C{None} on the internet.
        """
        host = self._new_address(behind)
        self._homes[host] = self._realm(behind)
        self._announce(host, behind, None)
        return Endpoint(host, DEFAULT_PORT)

    def new_neighbour(self, of: str) -> Endpoint:
        """
        Where a new host listens that is in the same /24 as a public one.

        @param of: the address of that one.
        """
        prefix = of.rpartition(".")[0]
        number = sum(each.startswith(f"{prefix}.") for each in self._outside.members) + 1
        host = f"{prefix}.{number}"
        self._homes[host] = self._outside
        self._announce(host, None, None)
        return Endpoint(host, DEFAULT_PORT)

    def network_of(self, host: str) -> str:
        """The network that the interface of a host is in, as a text."""
        return f"{host.rpartition('.')[0]}.0/24"

    def seen_at(self, host: str) -> str:
        """The address that a host has for others on the internet."""
        router = self._homes[host].router
        while router is not None:
            if router.box.kind.translates:
                host = router.box.address
            router = router.outer
        return host

    def change_address(self, router: Router) -> None:
        """The outermost box before hosts gets another address, and forgets all connections."""
        while router.outer is not None:
            router = router.outer
        router.box.flush()
        if router.box.kind.translates:
            del self._outside.members[router.box.address]
            router.box.address = self._new_address(None)
            self._announce(router.box.address, None, router)

    def flush(self, router: Router) -> None:
        """The outermost box before hosts forgets all connections."""
        while router.outer is not None:
            router = router.outer
        router.box.flush()

    def send(self, source: Endpoint, remote: Endpoint) -> Arrival | None:
        """
        A packet goes out, and opens the way for answers.

        @param source: the host's own address and port.
        @return: where it arrives; C{None} if it is dropped.
        """
        realm, seen = self._homes[source.host], source
        steps: list[Step] = []
        while remote.host not in realm.members:
            router = realm.router
            if router is None or len(steps) > MAX_BOXES_ON_PATH:
                return None
            seen = router.box.outward(seen, remote)
            steps.append((router.box, remote, seen))
            if remote.host == router.box.address:
                return self._turned_back(router, seen, remote, steps)
            realm = self._realm(router.outer)
        return self._down(realm, seen, remote, steps)

    def _turned_back(
        self, router: Router, seen: Endpoint, remote: Endpoint, steps: list[Step]
    ) -> Arrival | None:
        """It was meant for the external address of the router that it has come to from inside."""
        inside = router.box.inward(seen, remote) if router.box.kind.hairpin else None
        if inside is None:
            return None
        # the external source, as RFC 4787 (section 6) has it: else the answer would go past the box
        return self._down(router.inner, seen, inside, [*steps, (router.box, seen, remote)])

    def _down(self, realm: Realm, seen: Endpoint, remote: Endpoint, steps: list[Step]) -> Arrival | None:
        while (router := realm.members[remote.host]) is not None:
            inside = router.box.inward(seen, remote)
            if inside is None:
                return None
            steps.append((router.box, seen, remote))
            realm, remote = router.inner, inside
        return Arrival(seen, remote, tuple(steps))

    def _realm(self, router: Router | None) -> Realm:
        return self._outside if router is None else router.inner

    def _new_address(self, behind: Router | None) -> str:
        """What a new member of the network behind this router is called."""
        # a firewall translates nothing: hosts behind it have addresses of the network outside
        while behind is not None and not behind.box.kind.translates:
            behind = behind.outer
        if behind is not None:
            return behind.inner.new_address()
        self._public += 1
        return f"{1 + (self._public >> 16)}.{self._public >> 8 & 255}.{self._public & 255}.1"

    def _announce(self, address: str, behind: Router | None, member: Router | None) -> None:
        """Give an address to a member; firewalls make it known outside as well."""
        self._realm(behind).members[address] = member
        if behind is not None and not behind.box.kind.translates:
            self._announce(address, behind.outer, behind)

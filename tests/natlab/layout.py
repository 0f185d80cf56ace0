"""
The addresses, wires and routes of a laboratory. Plain values: nothing is built here.

The internet is one router with a network of its own for each host and router that is attached to it::

    rendezvous  5.4.1.2 and 5.4.2.2      5.4.N.1 internet 5.5.N.1      5.5.N.2  a public host
                                                                        5.5.N.2  a router, its LAN 192.168.N
                                                                        5.5.N.2  a firewall, behind it 5.6.N
    carriers have 100.64.N inside

These are addresses of real networks, since nodes treat those for documentation and for laboratories as
private ones, and miniupnpd does too. Nothing gets out: no namespace is connected to the machine's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from .router import Router

INTERNET: Final = "internet"
RENDEZVOUS: Final = "rendezvous"
RENDEZVOUS_ADDRESSES: Final = ("5.4.1.2", "5.4.2.2")
"""Two, on different networks: two nodes there are two witnesses."""
DIALABLE: Final = "5.4.0.0/16"
"""All that hosts behind L{Nat.BLOCKED} may dial."""
_FIRST_HOST: Final = 10


@dataclass(slots=True)
class Node:
    """
    What is in one namespace.

    @ivar outwards: the device towards the internet.
    @ivar address: that device's own address.
    @ivar gateway: the router at the other end of that.
    @ivar router: what this node is, if it is a router.
    @ivar addresses: each as a device and an address with its prefix length.
    @ivar routes: each as C{ip route add} has it.
    """

    name: str
    outwards: str = "eth0"
    address: str = ""
    gateway: str = ""
    router: Router | None = None
    addresses: list[tuple[str, str]] = field(default_factory=list)
    routes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Wire:
    """
    From a node's device towards the internet to a port of another node.

    @ivar in_lan: whether the port is one of the LAN's; there is a bridge.
    @ivar access: whether it is an access to the internet, which has delay and loss.
    """

    node: str
    device: str
    upstream: str
    port: str
    in_lan: bool
    access: bool


class Layout:
    """
    @ivar nodes: by name. Routers are called C{r-1}, C{r-2} and so on.
    @ivar wires: by the name of the inner end.
    @ivar names: those of the routers.
    """

    def __init__(self, hosts: Mapping[str, Router | None]) -> None:
        """
        @param hosts: what each host is behind; C{None} is nothing, so that it has a public address.
        @raise ValueError: a name that cannot be one.
        """
        self.nodes: dict[str, Node] = {INTERNET: Node(INTERNET)}
        self.wires: dict[str, Wire] = {}
        self.names: dict[Router, str] = {}
        self._ports: dict[str, int] = {}
        self._lans: dict[str, str] = {}
        self._add_rendezvous()
        for name, router in hosts.items():
            if name in self.nodes or not name.isalnum() or len(name) > 20:
                raise ValueError(f"no host can be called {name!r}")
            self.nodes[name] = Node(name)
            self._attach(name, router)

    def public(self, name: str) -> str:
        """The address by which the internet knows a host or a router."""
        node = self.nodes[name]
        outer = self._upstream_router(name)
        while outer is not None:
            if outer.nat.translates:
                node = self.nodes[self.names[outer]]
            outer = outer.behind
        return node.address

    def lan_of(self, router: Router) -> str:
        """The first three numbers of the addresses behind a router, as C{192.168.1}."""
        return self._lans[self.names[router]]

    def another_address(self, name: str) -> str:
        """One that this host or router might have in place of the one that it has."""
        network, _, number = self.nodes[name].address.rpartition(".")
        # far from those that are given at the beginning
        return f"{network}.{int(number) + 100 if int(number) < 100 else int(number) + 1}"

    def _upstream_router(self, name: str) -> Router | None:
        return self.nodes[self.wires[name].upstream].router

    def _add_rendezvous(self) -> None:
        node = self.nodes[RENDEZVOUS] = Node(RENDEZVOUS)
        node.address, node.gateway = RENDEZVOUS_ADDRESSES[0], _first_of(RENDEZVOUS_ADDRESSES[0])
        for address in RENDEZVOUS_ADDRESSES:
            node.addresses.append((node.outwards, f"{address}/24"))
            self.nodes[INTERNET].addresses.append(("p0", f"{_first_of(address)}/24"))
        node.routes.append(f"default via {node.gateway}")
        self.wires[RENDEZVOUS] = Wire(RENDEZVOUS, node.outwards, INTERNET, "p0", in_lan=False, access=False)

    def _add_router(self, router: Router, home: str) -> str:
        """Add a router, and before it all that it is behind; C{home} begins the addresses on its LAN."""
        if router in self.names:
            return self.names[router]
        if router.behind is not None:
            self._add_router(router.behind, "100.64")
        number = len(self.names) + 1
        name = self.names[router] = f"r-{number}"
        node = self.nodes[name] = Node(name, outwards="wan0", router=router)
        self._attach(name, router.behind)
        if router.pool:
            node.addresses.append((node.outwards, f"{self.another_address(name)}/24"))
        if not router.nat.translates:
            home = "5.6" if router.behind is None else "100.65"
        lan = self._lans[name] = router.lan or f"{home}.{number}"
        node.addresses.append(("lan0", f"{lan}.1/24"))
        if not router.nat.translates:
            above = self.nodes[self.wires[name].upstream]
            above.routes.append(f"{lan}.0/24 via {node.address}")
        return name

    def _attach(self, name: str, router: Router | None) -> None:
        """Connect a node to the LAN of a router, or to the internet."""
        node = self.nodes[name]
        upstream = INTERNET if router is None else self._add_router(router, "192.168")
        number = self._ports[upstream] = self._ports.get(upstream, 0) + 1
        if router is None:
            network, own = f"5.5.{number}", 2
            self.nodes[INTERNET].addresses.append((f"p{number}", f"{network}.1/24"))
        else:
            network, own = self._lans[upstream], _FIRST_HOST + number - 1
        node.address, node.gateway = f"{network}.{own}", f"{network}.1"
        node.addresses.append((node.outwards, f"{node.address}/24"))
        node.routes.append(f"default via {node.gateway}")
        self.wires[name] = Wire(
            name, node.outwards, upstream, f"p{number}", in_lan=router is not None, access=router is None
        )


def _first_of(address: str) -> str:
    return f"{address.rpartition('.')[0]}.1"

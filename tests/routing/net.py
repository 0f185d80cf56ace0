"""
A network of real L{RoutingService}s in memory, on one fake clock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from twisted.internet.defer import Deferred

from routing_crust import Contact, Identity, Role, RoutingService, Settings, State
from routing_crust.crust.interfaces import ILink, Rendezvous
from routing_crust.endpoints import Endpoint
from routing_crust.names import Name
from routing_crust.testing.clock import SimulatedClock
from routing_crust.testing.memory.crust import MemoryCrust
from routing_crust.testing.memory.network import MemoryNetwork
from routing_crust.timing.shares import Account
from routing_crust.wire.messages import NatKind

START = 1_700_000_000.0


class RecordingCrust(MemoryCrust):
    """
    A crust that keeps what it is asked and told.

    @ivar expected: for which rendezvous connections are taken: the arguments of C{expect}.
    @ivar rendezvous: each that was dialled for, with its token.
    @ivar seen: where peers have said that they see it, by their names.
    @ivar denials: who has said that it cannot be dialled.
    @ivar tunnel_way: what C{carry_tunnels} was given.
    @ivar nat: what it finds out about its NAT, unless a test says what it is to believe.
    @ivar outside: where it finds out that it can be dialled from outside, likewise.
    """

    def __init__(self, *arguments: Any, **rest: Any) -> None:
        super().__init__(*arguments, **rest)
        self.expected: list[tuple[Name, bytes, bool]] = []
        self.rendezvous: list[tuple[bytes, Rendezvous]] = []
        self.seen: dict[Name, Endpoint] = {}
        self.denials: list[Name] = []
        self.tunnel_way: Callable[[ILink, Name], ILink | None] | None = None
        self._nat: NatKind | None = None
        self._seen_outside: tuple[Endpoint, ...] | None = None

    @property
    def nat(self) -> NatKind:
        return super().nat if self._nat is None else self._nat

    @nat.setter
    def nat(self, nat: NatKind) -> None:
        self._nat = nat

    @property
    def outside(self) -> tuple[Endpoint, ...]:
        return super().outside if self._seen_outside is None else self._seen_outside

    @outside.setter
    def outside(self, outside: tuple[Endpoint, ...]) -> None:
        self._seen_outside = outside

    def carry_tunnels(self, way: Callable[[ILink, Name], ILink | None]) -> None:
        self.tunnel_way = way
        super().carry_tunnels(way)

    def expect(self, peer: Name, token: bytes, requester: bool) -> Callable[[], None]:
        expected = (peer, token, requester)
        self.expected.append(expected)
        forget = super().expect(peer, token, requester)

        def undo() -> None:
            if expected in self.expected:
                self.expected.remove(expected)
            forget()

        return undo

    def connect(
        self,
        endpoints: Sequence[Endpoint],
        peer: Name | None,
        token: bytes,
        asked_by: Account,
        rendezvous: Rendezvous | None = None,
    ) -> Deferred[ILink]:
        if rendezvous is not None:
            self.rendezvous.append((token, rendezvous))
        return super().connect(endpoints, peer, token, asked_by, rendezvous)

    def observed(self, link: ILink, endpoint: Endpoint) -> None:
        self.seen[link.peer] = endpoint
        super().observed(link, endpoint)

    def not_reached(self, by: Name) -> None:
        self.denials.append(by)
        super().not_reached(by)


class Net:
    """
    Makes nodes and moves time. The first node has the role C{FIRST}; later ones get its contact.
    """

    def __init__(self, seed: int = 1) -> None:
        self.random = Random(seed)
        self.clock = SimulatedClock(START)
        self.network = MemoryNetwork(self.clock, random=self.random)
        self.nodes: list[RoutingService] = []

    def identity(self) -> Identity:
        return Identity.from_seed(self.random.randbytes(32))

    def node(
        self, role: Role | None = None, identity: Identity | None = None, **options: Any
    ) -> RoutingService:
        """Make and start a node."""
        if role is None:
            role = Role.NODE if self.nodes else Role.FIRST
        if role is not Role.FIRST and "contacts" not in options:
            options["contacts"] = (self.contact(self.nodes[0]),)
        node = self.make(identity or self.identity(), Settings(role=role, lan_discovery=False, **options))
        self.nodes.append(node)
        node.startService()
        return node

    def make(self, identity: Identity, settings: Settings, **crust_options: Any) -> RoutingService:
        crust = RecordingCrust(self.network, settings, identity, **crust_options)
        return RoutingService(
            settings, reactor=self.clock, identity=identity, crust=crust, random=Random(self.random.random())
        )

    def make_client(self) -> RoutingService:
        """A started client that is not among the nodes."""
        settings = Settings(role=Role.CLIENT, listen=(), contacts=(self.contact(self.nodes[0]),))
        client = self.make(self.identity(), settings)
        client.startService()
        return client

    def crash(self, node: RoutingService, silently: bool = False) -> None:
        """Kill a node's process. Nothing of what it still does goes out."""
        crust = self.crust(node)
        self.network.crash(crust, silently)
        node.stopService()

    def restart(self, node: RoutingService) -> RoutingService:
        """Start a node that has crashed again: the same key, place and saved contacts, nothing else."""
        crust = self.crust(node)
        again = self.make(
            node.identity,
            node.settings,
            endpoints=crust.machine.listening,
            saved=crust.saved_contacts(),
        )
        self.nodes[self.nodes.index(node)] = again
        again.startService()
        return again

    def crust(self, node: RoutingService) -> RecordingCrust:
        crust = node._crust
        assert isinstance(crust, RecordingCrust)
        return crust

    def grow(self, count: int, **options: Any) -> list[RoutingService]:
        """A network of this number of nodes, all in each other's neighbourhood."""
        for _ in range(count):
            self.node(**options)
            self.until_joined()
        self.settle(1)
        return list(self.nodes)

    def contact(self, node: RoutingService) -> Contact:
        contact = node.contact
        assert contact is not None
        return contact

    def until_joined(self, timeout: float = 60) -> None:
        """Every node that is not a client is group-connected, or is alone."""
        nodes = [each for each in self.nodes if each.settings.role is not Role.CLIENT and each.running]
        if len(nodes) > 1:
            self.run(lambda: all(each.group_connected for each in nodes), timeout)

    def run(self, predicate: Any, timeout: float = 60) -> None:
        self.network.run_until(predicate, timeout)

    def settle(self, seconds: float) -> None:
        self.network.settle(seconds)

    def result(self, deferred: Deferred[Any], timeout: float = 200) -> Any:
        """What a Deferred fires with; raises what it fails with."""
        results: list[Any] = []
        deferred.addBoth(results.append)
        self.run(lambda: results, timeout)
        if hasattr(results[0], "raiseException"):
            results[0].raiseException()
        return results[0]

    def stop(self) -> None:
        """Stop everything and see that nothing is left."""
        for node in self.nodes:
            if node.running:
                self.result(node.stopService())
        assert all(node.state is State.TERMINATED or not node.running for node in self.nodes)

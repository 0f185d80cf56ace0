"""
A simulated network for users: real nodes, on hosts that can crash, sleep and have a wrong clock.

Usage::

    network = SimulatedNetwork(seed=7)
    nodes = network.nodes(8)
    network.run_until(network.joined)
    network.result_of(nodes[0].service.send(nodes[5].name, b"hello"))

Nothing happens until the time is moved, and the same seed gives the same run, event for event.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from math import inf
from random import Random
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ..config import Role, Settings
from ..endpoints import Contact
from ..errors import RoutingCrustError
from ..identity import Identity
from ..routing.private.membership import Membership
from ..routing.service import RoutingService
from .clock import SimulatedClock
from .host import Disk, Home, SimulatedNode
from .identity import KeyRing, SimulatedIdentity
from .latency import Latency, Uniform
from .memory.internet import Internet, Router
from .memory.nat import Nat
from .memory.network import MemoryNetwork
from .private import Founder, nickname_of
from .trace import Trace

START: Final = 1_750_000_000.0
"""When it begins, in seconds since the epoch."""
MAX_CONTACTS_OF_A_NEW_NODE: Final = 3
"""Existing nodes that a new one has as its contacts."""
SHOWN: Final = 20
"""Nodes that an error tells of."""

_Result = TypeVar("_Result")


class SimulationStuck(AssertionError, RoutingCrustError):
    """What was waited for has not come about. The text says how all nodes are, and how to see it again."""


class SimulatedNetwork:
    """
    All nodes, the network between them and the time.

    @ivar seed: what everything is drawn from.
    @ivar clock: the time.
    @ivar random: for what the simulation itself draws.
    @ivar network: what joins the nodes; its faults are in L{MemoryNetwork}.
    @ivar trace: what happens.
    @ivar founder: who has founded the network, if it is private.
    @ivar after_each: called after each event; for checks.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        latency: float | Latency | None = None,
        keep_trace: bool = False,
        real_keys: bool = False,
        internet: bool = False,
        private: bool = False,
        **settings: Any,
    ) -> None:
        """
        @param internet: whether hosts have public addresses, each in a network of its own, and may stand
            behind NATs; by default they are all in one local network.
        @param latency: between any two hosts, in seconds; the default is 10 to 50 ms.
        @param keep_trace: whether C{trace.lines} holds all that happened.
        @param real_keys: whether the nodes have Ed25519 keys; by default they have cheap ones that are as
            hard to forge here, see L{routing_crust.testing.identity}.
        @param private: whether it is a private network, of which the first node is the founder.
        @param settings: fields of L{Settings}, for all nodes.
        """
        self.seed = seed
        self.random = Random(seed)
        self.clock = SimulatedClock(START)
        self.trace = Trace(self.clock.seconds, keep_trace)
        chosen = Uniform(0.01, 0.05) if latency is None else latency
        self.network = MemoryNetwork(
            self.clock,
            chosen,
            random=Random(self.random.random()),
            trace=self.trace,
            internet=Internet(self.clock.seconds) if internet else None,
        )
        self._ring = None if real_keys else KeyRing()
        self.after_each: list[Callable[[], object]] = []
        self._settings: dict[str, Any] = {"lan_discovery": False, **settings}
        self.founder = Founder(self.new_identity(), self.clock.seconds) if private else None
        if self.founder is not None:
            self._settings["network"] = self.founder.network
        self._nodes: list[SimulatedNode] = []

    def __iter__(self) -> Iterator[SimulatedNode]:
        return iter(self._nodes)

    def __len__(self) -> int:
        return len(self._nodes)

    @property
    def all(self) -> list[SimulatedNode]:
        """Every node that was ever made, in that order."""
        return list(self._nodes)

    @property
    def alive(self) -> list[SimulatedNode]:
        """The nodes that are running."""
        return [each for each in self._nodes if each.running]

    def node(
        self,
        *,
        role: Role | None = None,
        start: bool = True,
        setup: Callable[[RoutingService], object] | None = None,
        nat: Nat | Router | None = None,
        beside: SimulatedNode | None = None,
        identity: Identity | None = None,
        membership: Membership | None = None,
        **settings: Any,
    ) -> SimulatedNode:
        """
        Make a node.

        @param role: by default the first is the first node of the network, and the others are nodes.
        @param start: whether it is started.
        @param setup: called with the service before each start, a restart after a crash too: the place to
            set its handlers.
        @param nat: what it stands behind: a kind of NAT, for one of its own, or what L{nat} has made.
        @param beside: a public node, in whose /24 it stands; with C{internet=True}.
        @param identity: its key, one that L{new_identity} has made; by default another one.
        @param membership: its credentials, as L{Founder} makes them; in a private network by default those of
            a member, of the founder for the first node.
        @param settings: fields of L{Settings}, for this node; by default its contacts are up to three of
            the nodes that are there.
        """
        if role is None:
            role = Role.NODE if self._nodes else Role.FIRST
        chosen: dict[str, Any] = {"role": role, **self._settings}
        if role is not Role.FIRST:
            chosen["contacts"] = self._contacts()
        if role is Role.CLIENT:
            chosen["listen"] = ()
        own = identity or self.new_identity()
        if membership is None and self.founder is not None:
            membership = self.founder.membership(own, role, nickname_of(len(self._nodes)))
        node = SimulatedNode(
            self.network,
            self.clock.host_clock(),
            self._home(self.nat(nat) if isinstance(nat, Nat) else nat, beside),
            Disk(Settings(**{**chosen, **settings}), own, membership),
            self.random.random(),
            setup,
        )
        self._nodes.append(node)
        if start:
            node.start()
        return node

    def _home(self, nat: Router | None, beside: SimulatedNode | None) -> Home:
        internet = self.network.internet
        if beside is None:
            return Home(self.network.new_endpoint(nat), nat)
        if internet is None:
            raise ValueError("a local network is one network: make a SimulatedNetwork(internet=True)")
        return Home(internet.new_neighbour(beside.host))

    def new_identity(self) -> Identity:
        """Make an identity: a key that no node of this network has."""
        seed = self.random.randbytes(32)
        return Identity.from_seed(seed) if self._ring is None else SimulatedIdentity(self._ring, seed)

    def nat(self, kind: Nat, behind: Router | None = None) -> Router:
        """
        Set up a NAT or firewall, for one or more nodes.

        @param behind: another one that it stands behind itself.
        @raise ValueError: the hosts of this network are all in one local network.
        """
        if self.network.internet is None:
            raise ValueError("there are no NATs in a local network: make a SimulatedNetwork(internet=True)")
        return self.network.internet.router(kind, behind)

    def nodes(self, count: int, **options: Any) -> list[SimulatedNode]:
        """Make C{count} nodes, each as L{node} does, all at once."""
        return [self.node(**options) for _ in range(count)]

    def _contacts(self) -> tuple[Contact, ...]:
        known = [each.contact for each in self._nodes if each.contact is not None]
        return tuple(
            known
            if len(known) <= MAX_CONTACTS_OF_A_NEW_NODE
            else self.random.sample(known, MAX_CONTACTS_OF_A_NEW_NODE)
        )

    # Faults.

    def partition(self, *groups: Iterable[SimulatedNode]) -> None:
        """Let nothing pass between nodes of different groups; those in none are one more group together."""
        self.trace.note("fault", "partition")
        self.network.partition([[each.crust for each in group] for group in groups])

    def heal(self) -> None:
        """End every partition, of one direction too."""
        self.trace.note("fault", "heal")
        self.network.heal()

    # Time.

    def step(self) -> bool:
        """Let the next thing happen. Returns whether there was any."""
        return self._step_before(inf)

    def _step_before(self, end: float) -> bool:
        if not self.clock.step_before(end):
            return False
        for check in self.after_each:
            check()
        return True

    @property
    def began(self) -> float:
        """The time at which it began."""
        return START

    def run_for(self, seconds: float) -> None:
        """Let C{seconds} pass."""
        end = self.clock.now + seconds
        while self._step_before(end):
            continue
        self.clock.run_to(end)

    def run_until(self, predicate: Callable[[], object], timeout: float = 60.0, every: float = 0.0) -> None:
        """
        Let time pass until something holds.

        @param timeout: for how many seconds at most.
        @param every: how often to look, in seconds; 0 is after every event.
        @raise SimulationStuck: it does not hold then, or nothing is left that could happen.
        """
        end = self.clock.now + timeout
        while not predicate():
            due = self.clock.next_time()
            if due is None or due > end:
                left = "nothing more will happen" if due is None else f"{timeout:g} s are over"
                raise SimulationStuck(f"it does not hold, and {left}\n{self.report()}")
            if every:
                self.run_for(min(every, end - self.clock.now))
            else:
                self.step()

    def result_of(self, deferred: Deferred[_Result], timeout: float = 200.0) -> _Result:
        """
        Let time pass until a Deferred has fired.

        @return: what it fired with.
        @raise SimulationStuck: it has not fired.
        @raise Exception: what it failed with.
        """
        results: list[Any] = []
        deferred.addBoth(results.append)
        self.run_until(lambda: results, timeout)
        result = results[0]
        if isinstance(result, Failure):
            result.raiseException()
        return result  # type: ignore[no-any-return]

    # What to wait for.

    def connected(self) -> bool:
        """Whether every running node is in state C{CONNECTED}."""
        return all(each.connected for each in self._nodes if each.running)

    def joined(self) -> bool:
        """Whether every running node that is not a client has its close group."""
        return all(each.joined for each in self._nodes if each.running)

    def stop(self) -> None:
        """
        Stop every node.

        @raise SimulationStuck: one does not stop.
        """
        stopping = [each.stop() for each in self._nodes if each.running]
        for each in stopping:
            self.result_of(each)

    def report(self) -> str:
        """How everybody is, in words, for an error."""
        lines = [
            f"at {self.clock.now - START:.3f} s of the seed {self.seed}, links: {len(self.network.links)}"
        ]
        # a thousand lines would hide the one that matters
        lines += [f"  {each}" for each in self._nodes[:SHOWN]]
        if len(self._nodes) > SHOWN:
            lines.append(f"  and {len(self._nodes) - SHOWN} more")
        return "\n".join(lines)

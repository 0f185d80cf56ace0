"""
The simulated network: how much of it happens in a second of real time, in one process.
"""

from __future__ import annotations

from random import Random
from time import perf_counter
from typing import Any, Final

from twisted.internet.task import Clock

from routing_crust.testing.clock import SimulatedClock
from routing_crust.testing.simulation import SimulatedNetwork

from .subjects import Spawn, Subject

NODES: Final = 50
PENDING: Final = 10_000
WINDOW: Final = 64
_STEP: Final = 0.001


class SimulationActor:
    """A network of nodes that have joined."""

    def __init__(self, reactor: Any) -> None:
        self._network = SimulatedNetwork(1)

    def do_join(self, nodes: int) -> None:
        """Have this many nodes, all of them joined."""
        self._network.nodes(nodes)
        self._network.run_until(self._network.joined, 300, every=1.0)

    def do_messages(self, count: int) -> float:
        """Have messages sent between any two. Returns how many were acknowledged in a second."""
        network = self._network
        under_way = 0

        def done(_: object) -> None:
            nonlocal under_way
            under_way -= 1

        def few() -> bool:
            return under_way < WINDOW

        start = perf_counter()
        for _ in range(count):
            one, other = network.random.sample(network.all, 2)
            under_way += 1
            one.service.send(other.name, b"simulated").addBoth(done)
            network.run_until(few, 200)
        network.run_until(lambda: not under_way, 200)
        return count / (perf_counter() - start)

    def do_events(self, count: int) -> float:
        """Make single steps of the network. Returns how many were made in a second."""
        start = perf_counter()
        for _ in range(count):
            self._network.step()
        return count / (perf_counter() - start)


class ClockActor:
    """A clock with many calls pending, of which each that is made asks for another."""

    def __init__(self, reactor: Any) -> None:
        self._random = Random(1)

    def do_calls(self, ours: bool, pending: int, count: int) -> float:
        """
        Let this many calls be made.

        @param ours: on the simulation's clock, rather than Twisted's.
        @return: how many were in a second.
        """
        clock = SimulatedClock() if ours else Clock()
        random, made = self._random, 0

        def call() -> None:
            nonlocal made
            made += 1
            clock.callLater(random.random() * pending * _STEP, call)

        for _ in range(pending):
            call()
        made = 0
        start = perf_counter()
        while made < count:
            clock.advance(_STEP)
        return made / (perf_counter() - start)


class Simulation(Subject):
    """What happens in a simulated network, per second."""

    def __init__(self, spawn: Spawn, what: str) -> None:
        """
        @param what: C{messages} or C{events}.
        """
        super().__init__(spawn, "simulation")
        self._what = what

    def start(self) -> None:
        self._worker(self._actor, "network", 0).call("join", nodes=NODES)

    def sample(self) -> float:
        rate: float = self._workers[0].call(self._what, count=self.count)
        return rate


class Calls(Subject):
    """Calls of a clock, per second."""

    def __init__(self, spawn: Spawn, ours: bool, pending: int = PENDING) -> None:
        super().__init__(spawn, "clock")
        self._ours = ours
        self._pending = pending

    def start(self) -> None:
        self._worker(self._actor, "clock", 0)

    def sample(self) -> float:
        rate: float = self._workers[0].call("calls", ours=self._ours, pending=self._pending, count=self.count)
        return rate

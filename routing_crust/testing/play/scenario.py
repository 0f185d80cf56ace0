"""
A day in the life of a network, from one seed: it grows, all kinds of things go wrong while its nodes talk,
then nothing goes wrong any more, and it must heal; in the end it stops, and nothing may be left.
"""

from __future__ import annotations

import gc
from bisect import bisect_left
from dataclasses import dataclass, field
from heapq import nsmallest
from random import Random
from typing import Any, Final

from twisted.logger import globalLogBeginner

from ...config import DEFAULT_PORT
from ...endpoints import Endpoint
from ...names import NAME_BITS, Name
from ...routing.service import RoutingService
from ..host import SimulatedNode
from ..memory.internet import Internet
from ..simulation import SimulatedNetwork
from .chance import random_schedule
from .faults import Schedule
from .homes import Homes
from .invariants import InvariantBroken, Invariants, Pending
from .streaming import Streaming

JOIN_WITHIN_SECONDS: Final = 120.0
CONNECTED_WITHIN_SECONDS: Final = 120.0
"""Seconds after the last fault in which everybody must be connected again."""
GROUPS_WITHIN_SECONDS: Final = 60.0
"""Seconds after that in which every close group must be right."""
DIALS_PER_SECOND: Final = 2.5
"""
Most dials a second and node while healing, on average over all nodes and L{DIALS_OVER_SECONDS}. Each address
counts, those of a peer behind its carrier's NAT, or where it is known besides what it says, among them.
Ports that are guessed, or opened for that, do not: an attempt has hundreds, which C{guessing} bounds.
"""
DIALS_OVER_SECONDS: Final = 10.0
TALK_EVERY_SECONDS: Final = 0.5
STREAMS_PER_SECOND: Final = 2.0
SEND_DEADLINE_SECONDS: Final = 170.0
"""Seconds in which a message is acknowledged or given up: C{ack_timeout * max_attempts}, and a little."""


@dataclass(frozen=True, slots=True)
class Plan:
    """
    What to play.

    @ivar seed: what everything is drawn from.
    @ivar nodes: how many nodes there are.
    @ivar minutes: for how long things go wrong.
    @ivar faults: how many do; C{None} is one for two nodes and minute.
    @ivar schedule: what goes wrong, instead of what the seed gives.
    @ivar streams: how many streams are opened in a second; 0 is none, and then all else is the same.
    @ivar nats: the share of nodes behind NATs and firewalls; 0 is one local network of all.
    """

    seed: int
    nodes: int = 20
    minutes: float = 5.0
    faults: int | None = None
    schedule: Schedule | None = None
    streams: float = STREAMS_PER_SECOND
    nats: float = 0.0


@dataclass(slots=True)
class Result:
    """
    The outcome of a L{Plan}.

    @ivar problem: what did not hold; empty if all did.
    @ivar trace: the hash of all that happened.
    @ivar figures: numbers about it, by name.
    """

    plan: Plan
    problem: str = ""
    trace: str = ""
    figures: dict[str, float] = field(default_factory=dict)


class Scenario:
    """One run of a L{Plan}."""

    def __init__(self, plan: Plan, keep_trace: bool = False) -> None:
        self.plan = plan
        self.network = SimulatedNetwork(plan.seed, keep_trace=keep_trace, internet=plan.nats > 0)
        self.invariants = Invariants(self.network)
        self.streaming = Streaming(self.network, self.invariants, plan.seed)
        self.homes = Homes(self.network, plan.seed, plan.nats)
        self._random = Random(self.network.random.random())
        self._talking = True
        self.figures: dict[str, float] = {}
        faults = round(plan.nodes * plan.minutes / 2) if plan.faults is None else plan.faults
        # drawn in any case, so that a given schedule leaves all later draws as they were
        drawn = random_schedule(self._random, plan.nodes, plan.minutes * 60, faults, plan.nats > 0)
        self.schedule = drawn if plan.schedule is None else plan.schedule

    def run(self) -> None:
        """
        Play it.

        @raise InvariantBroken: something did not hold that must.
        @raise SimulationStuck: something did not come about in its time.
        """
        self.grow()
        self.go_wrong()
        self.heal()
        self.finish()

    def grow(self) -> None:
        """Everybody joins, at times of their own in the first few seconds."""
        network = self.network
        self._node()
        for _ in range(self.plan.nodes - 1):
            network.run_for(self._random.random() * 0.5)
            self._node()
        network.run_until(network.joined, JOIN_WITHIN_SECONDS, every=0.5)
        self.figures["joined after"] = network.clock.now - network.began

    def _node(self) -> None:
        settings: dict[str, Any] = self.streaming.settings() if self.plan.streams else {}
        self.network.node(setup=self._set_up, nat=self.homes.next(), **settings)

    def _set_up(self, service: RoutingService) -> None:
        self.invariants.watch(service)
        if self.plan.streams:
            self.streaming.serve(service)

    def go_wrong(self) -> None:
        """Faults, while everybody talks."""
        self.schedule.apply(self.network)
        self.network.clock.callLater(TALK_EVERY_SECONDS, self._talk)
        if self.plan.streams:
            self.streaming.begin(self.plan.streams)
        # a moment more, since the schedule puts things right at its very end
        self.network.run_for(self.plan.minutes * 60 + 0.001)
        self._talking = False
        self.streaming.end()

    def heal(self) -> None:
        """Now everything must become right again."""
        network = self.network
        began = network.clock.now
        dials = _DialRate(network)
        network.after_each.append(dials.look)
        network.run_until(network.connected, CONNECTED_WITHIN_SECONDS, every=0.25)
        self.figures["connected after"] = network.clock.now - began
        network.run_until(lambda: groups_are_right(network), GROUPS_WITHIN_SECONDS, every=0.5)
        self.figures["groups right after"] = network.clock.now - began
        # a network that is right at once is still watched for one whole span of dials
        network.run_for(max(0.0, began + DIALS_OVER_SECONDS + 1 - network.clock.now))
        self.figures["most dials a second and node"] = dials.most
        network.after_each.remove(dials.look)
        if dials.most > DIALS_PER_SECOND:
            raise InvariantBroken(f"few_dials: {dials.most:.1f} dials a second and node while healing")
        self._everybody_is_reached()
        if self.plan.streams:
            self.figures |= self.streaming.heal()

    def finish(self) -> None:
        """Stop; nothing may be left."""
        cores = [(node, node.core) for node in self.network if node.running]
        self.network.stop()
        for node, core in cores:
            self.invariants.nothing_is_left(node, core)
            if self.plan.streams:
                self.streaming.nothing_is_left(node.service)
        self.invariants.close()
        self.figures["messages"] = self.network.network.frames

    def _talk(self) -> None:
        if not self._talking:
            return
        self.network.clock.callLater(TALK_EVERY_SECONDS, self._talk)
        alive = self.network.alive
        if len(alive) > 1:
            one, other = self._random.sample(alive, 2)
            self._send(one, other)

    def _send(self, one: SimulatedNode, other: SimulatedNode) -> Pending:
        # empty, small, of one frame, and larger than PART_BYTES, so that it is split
        body = self._random.randbytes(self._random.choice((0, 30, 3000, 30_000)))
        send = one.service.send if self._random.random() < 0.7 else one.service.request
        return self.invariants.expect(one, send(other.name, body), "a message", SEND_DEADLINE_SECONDS)

    def _everybody_is_reached(self) -> None:
        """Every node sends a message to another, and all are acknowledged."""
        nodes = self.network.alive
        sent = [node.service.send(self._random.choice(nodes).name, b"are you there?") for node in nodes]
        for each in sent:
            self.network.result_of(each)


class _DialRate:
    """The most dials a second, on average over the nodes and L{DIALS_OVER_SECONDS} seconds."""

    def __init__(self, network: SimulatedNetwork) -> None:
        self._network = network
        self._began = network.clock.now
        self._before = self._dials
        self.most = 0.0

    def look(self) -> None:
        """Something has happened."""
        now = self._network.clock.now
        if now < self._began + DIALS_OVER_SECONDS:
            return
        dials = self._dials
        self.most = max(self.most, (dials - self._before) / max(1, len(self._network)) / (now - self._began))
        self._before, self._began = dials, now

    @property
    def _dials(self) -> int:
        return self._network.network.dials - self._network.network.guesses


def groups_are_right(network: SimulatedNetwork) -> bool:
    """
    Whether every running node's table holds the nodes that are nearest to its own name, but for those that
    have no place because too many others behind the same NAT have one.
    """
    nodes = [node for node in network if node.running and not node.is_client]
    numbers = sorted(node.name.number for node in nodes)
    by_number = {node.name.number: node for node in nodes}
    internet = network.network.internet
    for node in nodes:
        core = node.core
        if core is None:
            return False
        for number in nearest_of(numbers, node.name.number, node.settings.group_size):
            other = by_number[number]
            if other.name not in core.table and not _is_kept_out(internet, node, other):
                return False
    return True


def _is_kept_out(internet: Internet | None, one: SimulatedNode, other: SimulatedNode) -> bool:
    """Whether the limits on one address prefix keep one of two nodes out of the other's table."""
    if internet is None:
        return False
    here, there = internet.seen_at(one.host), internet.seen_at(other.host)
    if here == there:
        return False  # they see their private addresses, which are not counted
    # a link needs a place in both tables
    return _refuses(one, other.name, there) or _refuses(other, one.name, here)


def _refuses(node: SimulatedNode, name: Name, host: str) -> bool:
    if node.core is None:
        return False
    table = node.core.table
    return table.refusal(name) is None and table.refusal(name, Endpoint(host, DEFAULT_PORT)) is not None


def nearest_of(numbers: list[int], own: int, count: int) -> list[int]:
    """The sorted numbers that are nearest to one of them, without itself."""
    low, high, bits = 0, 0, NAME_BITS - len(numbers).bit_length()
    while high - low <= count and high - low < len(numbers):
        bits += 1  # all that share the other bits with it are nearer than those that do not
        low = bisect_left(numbers, own >> bits << bits)
        high = bisect_left(numbers, (own >> bits) + 1 << bits)
    return nsmallest(count, (each for each in numbers[low:high] if each != own), key=own.__xor__)


def play(plan: Plan) -> Result:
    """
    Play a plan. Nothing that goes wrong is raised: it is in the result.
    """
    gc.collect()  # a network that was played before is of many objects that know each other
    scenario = Scenario(plan)
    problem = ""
    try:
        scenario.run()
    except Exception as error:  # whatever it is, it is what this seed has found
        problem = f"{type(error).__name__}: {error}"
        scenario.invariants.abandon()
    return Result(plan, problem, scenario.network.trace.hash(), scenario.figures)


def prepare_process() -> None:
    """
    For a process that does nothing but play. Objects are many and live long: to look through them for garbage
    would take a fifth of the time. And Twisted would keep what is logged, with every object in it, until
    an observer comes.
    """
    gc.freeze()  # each play begins with a whole collection, which need not go through what was imported
    gc.set_threshold(100_000, 50, 50)
    globalLogBeginner.beginLoggingTo((), redirectStandardIO=False)

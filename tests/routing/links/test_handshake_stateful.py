"""
The handshake of connections between two and three peers, whatever happens in whatever order.

Hypothesis chooses: who asks whom, what arrives next on which way, what is cut, who is killed and starts
again, how much time passes. The nodes are real, and what is below them is simulated. In the end everything
arrives, and then each pair must have one link that both ends agree on.

The environment variable C{HANDSHAKE_EXAMPLES} says how many such lives are tried; the checks of the project
try two thousand.
"""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import Role
from routing_crust.errors import CloseReason
from routing_crust.testing.host import SimulatedNode
from routing_crust.testing.memory.obstacles import Way
from routing_crust.testing.memory.transport import MemoryTransport
from routing_crust.testing.play.invariants import Invariants
from routing_crust.testing.simulation import SimulatedNetwork

EXAMPLES = int(os.environ.get("HANDSHAKE_EXAMPLES", "50"))
STEPS = 25
WHICH = st.integers(0, 5)
PASSED = 200.0
"""Seconds after which every wait that a connection may bring has ended."""


class Peers(RuleBasedStateMachine):
    """Two or three nodes that know of each other; what they send can be held back and let go one by one."""

    def __init__(self) -> None:
        super().__init__()
        self.net = SimulatedNetwork(0)
        self.checks = Invariants(self.net)
        self.asked: list[Deferred[Any]] = []
        self.ended = 0
        self.held: list[Way] = []

    @initialize(count=st.integers(2, 3), seed=st.integers(0, 1000))
    def begin(self, count: int, seed: int) -> None:
        self.net.network.random.seed(seed)
        for number in range(count):
            role = Role.FIRST if number == 0 else Role.NODE
            self.net.node(role=role, setup=self.checks.watch)

    def node(self, which: int) -> SimulatedNode:
        return self.net.all[which % len(self.net)]

    def links(self) -> list[MemoryTransport]:
        return self.net.network.links

    def ways(self) -> list[Way]:
        """What has something on its way."""
        ends = [end for link in self.links() for end in (link, link.other)]
        return [end for end in ends if self.net.network.waiting(end)]

    @rule(which=WHICH, other=WHICH)
    def ask(self, which: int, other: int) -> None:
        """An application asks for a link."""
        one, peer = self.node(which), self.node(other)
        if one is peer or not one.running:
            return
        asked = one.service.connect(peer.name)
        self.asked.append(asked)
        self.checks.expect(one, asked.addBoth(self._ended), "a link", PASSED)

    def _ended(self, result: object) -> object:
        self.ended += 1
        return result

    @rule(which=WHICH)
    def hold(self, which: int) -> None:
        """Keep back what one end sends."""
        ends = [end for link in self.links() for end in (link, link.other)]
        if ends:
            way = ends[which % len(ends)]
            if way not in self.held:
                self.held.append(way)
                self.net.network.hold(way)

    @precondition(lambda self: self.held)
    @rule(which=WHICH)
    def deliver(self, which: int) -> None:
        """Let one thing go of what is held back."""
        way = self.held[which % len(self.held)]
        if self.net.network.waiting(way):
            self.net.network.release(way, 1)

    @precondition(lambda self: self.held)
    @rule(which=WHICH)
    def release(self, which: int) -> None:
        """Hold it back no longer."""
        self.net.network.release(self.held.pop(which % len(self.held)))

    @rule(which=WHICH)
    def cut(self, which: int) -> None:
        """A connection breaks."""
        links = self.links()
        if links:
            self.net.network.cut(links[which % len(links)])

    @rule(which=WHICH)
    def half_open(self, which: int) -> None:
        """Nothing passes on a connection any more."""
        links = self.links()
        if links:
            self.net.network.half_open(links[which % len(links)])

    @rule(which=WHICH)
    def drop(self, which: int) -> None:
        """A node closes its links to a peer."""
        node = self.node(which)
        core = node.core
        if node.running and core is not None:
            for peer in core.links.peers[:1]:
                core.links.drop(peer.name, CloseReason.NO_LONGER_NEEDED)

    @rule(which=WHICH, silently=st.booleans())
    def start_again(self, which: int, silently: bool) -> None:
        """A process is killed and starts again at once."""
        node = self.node(which)
        node.crash(silently)
        node.restart()

    @rule(steps=st.integers(1, 40))
    def events(self, steps: int) -> None:
        """The next few things happen."""
        for _ in range(steps):
            self.net.step()

    @rule(seconds=st.sampled_from([0.01, 0.1, 0.6, 1.1, 5.0, 25.0]))
    def time_passes(self, seconds: float) -> None:
        self.net.run_for(seconds)

    @invariant()
    def tables_have_links(self) -> None:
        """At every moment."""
        self.checks.the_table_has_live_links()
        self.checks.few_links_of_a_pair()

    def teardown(self) -> None:
        """Everything arrives; then the two ends of each pair agree, and stopping leaves nothing."""
        for way in self.held:
            self.net.network.release(way)
        if len(self.net):
            self.net.run_for(PASSED)
            self.checks.look()
            self._all_agree()
            assert self.ended + self._lost() >= len(self.asked)
            cores = [(node, node.core) for node in self.net if node.running]
            self.net.stop()
            for node, core in cores:
                self.checks.nothing_is_left(node, core)
        self.checks.close()

    def _lost(self) -> int:
        """Asked for by a process that has been killed since."""
        return sum(not each.called for each in self.asked)

    def _all_agree(self) -> None:
        current: dict[tuple[object, object], bytes] = {}
        for node in self.net:
            core = node.core
            assert core is not None
            for peer in core.links.peers:
                current[node.name, peer.name] = peer.link.binding
            assert len(node.crust.links) == len(core.links.peers), f"{node} has more links than peers"
        for (here, there), binding in current.items():
            assert current.get((there, here)) == binding, "the two ends hold different links"
        names = [node.name for node in self.net]
        for one in names:
            for other in names:
                assert one == other or (one, other) in current, "two nodes of a healthy network have no link"


class HandshakeTests(SynchronousTestCase):
    def test_each_pair_has_one_agreed_link_in_the_end(self) -> None:
        """As many lives of two or three peers as there is time for."""
        profile = settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        )
        run_state_machine_as_test(Peers, settings=profile)  # type: ignore[no-untyped-call]

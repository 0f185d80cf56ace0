"""
Large networks: what a thousand nodes do when they join, talk, lose a tenth of themselves, or all start again
at once.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from twisted.python.failure import Failure

from ..simulation import SimulatedNetwork
from .invariants import InvariantBroken
from .scenario import groups_are_right

ARRIVALS_PER_SECOND: Final = 10.0
"""Nodes that start in a second."""
AT_ONCE: Final = 200
"""Messages that are on their way at a time."""
HEAL_WITHIN_SECONDS: Final = 180.0
"""Seconds in which the close groups are right again after a tenth has died silently; 60 pass unnoticed."""
MAX_DIAL_SHARE_OF_A_SECOND: Final = 0.1
"""No second may have a larger share of the dials when all start again, if there are C{MANY} nodes or more."""
MANY: Final = 300


class Crowd:
    """
    One large network.
    """

    def __init__(self, nodes: int, seed: int = 0, *, restart: bool = False) -> None:
        """
        @param restart: whether all of them start again at once, instead of a tenth of them dying.
        """
        self.network = SimulatedNetwork(seed)
        self._nodes = nodes
        self._restart = restart
        self.figures: dict[str, float] = {}

    def run(self, messages: int) -> dict[str, float]:
        """
        Play it.

        @param messages: how many are sent once all have joined.
        @return: figures, by name.
        @raise RoutingCrustError: something did not hold that must, or did not come about in its time.
        """
        self.join()
        if self._restart:
            self.start_again()
        else:
            self.talk(messages)
            self.lose_a_tenth()
            self.talk(messages // 10)
        return self.figures

    def join(self) -> None:
        """All join, some in each second."""
        network = self.network
        network.node()
        for _ in range(self._nodes - 1):
            network.run_for(1 / ARRIVALS_PER_SECOND)
            network.node()
        network.run_until(network.joined, 300, every=1.0)
        self._note("joined after, s")
        network.run_until(lambda: groups_are_right(network), 300, every=5.0)
        self._note("all close groups right after, s")
        self.figures["dials for each node"] = network.network.dials / self._nodes
        self.figures["frames for each node"] = network.network.frames / self._nodes
        self.figures["links of each node"] = 2 * len(network.network.links) / self._nodes

    def talk(self, messages: int) -> None:
        """Messages between random nodes, all of which must be acknowledged."""
        network = self.network
        alive = network.alive
        failed: list[str] = []
        waiting: deque[object] = deque()
        before = network.network.frames

        def done(result: object) -> None:
            # whichever it was: only their number counts
            waiting.popleft()
            if isinstance(result, Failure):
                failed.append(result.getErrorMessage())

        for _ in range(messages):
            one, other = network.random.sample(alive, 2)
            waiting.append(other)
            one.service.send(other.name, b"across the crowd").addBoth(done)
            if len(waiting) >= AT_ONCE:
                network.run_until(lambda: len(waiting) < AT_ONCE)
        network.run_until(lambda: not waiting, 200)
        frames = network.network.frames - before
        self.figures[f"frames for each of {messages:,} messages"] = frames / messages
        if failed:
            raise InvariantBroken(f"messages_arrive: {len(failed)} of {messages} failed, first: {failed[0]}")

    def lose_a_tenth(self) -> None:
        """A tenth goes down without a word."""
        network = self.network
        for node in network.random.sample(network.alive[1:], self._nodes // 10):
            node.crash(silently=True)
        began = network.clock.now
        network.run_until(self._is_healed, HEAL_WITHIN_SECONDS, every=5.0)
        self.figures["healed after losing a tenth, s"] = network.clock.now - began

    def _is_healed(self) -> bool:
        """Whether every table holds its group and no dead node."""
        alive = {node.name for node in self.network.alive}
        cores = [node.core for node in self.network.alive]
        dead = any(
            core is not None and any(entry.name not in alive for entry in core.table) for core in cores
        )
        return not dead and groups_are_right(self.network)

    def start_again(self) -> None:
        """All processes are killed and start again in the same moment."""
        network = self.network
        for node in network.alive:
            node.crash()
        network.run_for(1.0)
        before = network.network.dials
        for node in network.all:
            node.restart()
        seconds: list[int] = []
        began = network.clock.now
        while not (network.joined() and groups_are_right(network)):
            if network.clock.now - began > HEAL_WITHIN_SECONDS:
                raise InvariantBroken(
                    f"start_again: not healed in {HEAL_WITHIN_SECONDS:g} s\n{network.report()}"
                )
            at = network.network.dials
            network.run_for(1.0)
            seconds.append(network.network.dials - at)
        dials = network.network.dials - before
        self.figures["joined again after, s"] = network.clock.now - began
        self.figures["dials for each node to join again"] = dials / self._nodes
        share = self.figures["largest share of the dials in a second"] = max(seconds) / dials
        if self._nodes >= MANY and share > MAX_DIAL_SHARE_OF_A_SECOND:
            raise InvariantBroken(f"no_storm: a second has {share:.0%} of all dials")

    def _note(self, what: str) -> None:
        self.figures[what] = self.network.clock.now - self.network.began

"""
Growth: what joining and finding each other cost in networks of different sizes, as a table for the
documentation.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ...routing.core import RoutingCore
from ...routing.envelopes import MAX_HOPS
from ..host import SimulatedNode
from ..simulation import SimulatedNetwork
from .crowd import ARRIVALS_PER_SECOND

NEWCOMERS: Final = 10
"""Further nodes that join one after the other; their costs are averaged."""
WATCHED_SECONDS: Final = 30.0
"""For how many seconds each is watched."""
SETTLED_SECONDS: Final = 180.0
"""Seconds after the last one has joined until the network is at rest."""
LOOK_UPS: Final = 500

_TITLES: Final = (
    "nodes", "hops of a message", "most hops", "entries in a table", "frames to join", "dials to join",
    "seconds to join", "frames a second and node at rest",
)  # fmt: skip


def measure(nodes: int, seed: int = 0) -> tuple[float, ...]:
    """
    Grow a network and measure it.

    @return: the numbers of one line of the table.
    """
    network = SimulatedNetwork(seed)
    network.node()
    for _ in range(nodes - 1):
        network.run_for(1 / ARRIVALS_PER_SECOND)
        network.node()
    network.run_until(network.joined, 300, every=1.0)
    # frames of a network that still settles would be counted as the newcomers'
    network.run_for(SETTLED_SECONDS)
    frames, dials = network.network.frames, network.network.dials
    network.run_for(WATCHED_SECONDS)
    rest = (network.network.frames - frames) / WATCHED_SECONDS
    dials_at_rest = (network.network.dials - dials) / WATCHED_SECONDS
    hops = [_hops(network, *network.random.sample(network.all, 2)) for _ in range(LOOK_UPS)]
    tables = [len(node.core.table) for node in network if node.core is not None]
    joins = [_join(network, rest, dials_at_rest) for _ in range(NEWCOMERS)]
    frames_to_join, dials_to_join, seconds = (sum(each) / NEWCOMERS for each in zip(*joins, strict=True))
    return (
        nodes,
        sum(hops) / len(hops),
        max(hops),
        sum(tables) / len(tables),
        frames_to_join,
        dials_to_join,
        seconds,
        rest / nodes,
    )


def growth_table(sizes: Iterable[int], seed: int = 0) -> str:
    """The table, in reStructuredText."""
    lines = [".. list-table::", "   :header-rows: 1", ""]
    lines += _row(_TITLES)
    for size in sizes:
        numbers = measure(size, seed)
        lines += _row([f"{numbers[0]:,}", *(f"{each:,.1f}" for each in numbers[1:])])
    return "\n".join(lines) + "\n"


def _row(cells: Iterable[str]) -> list[str]:
    first, *others = cells
    return [f"   * - {first}", *(f"     - {each}" for each in others)]


def _join(network: SimulatedNetwork, frames_at_rest: float, dials_at_rest: float) -> tuple[float, ...]:
    """What one more node costs: frames and dials beyond what there is at rest, and seconds."""
    frames, dials, began = network.network.frames, network.network.dials, network.clock.now
    node = network.node()
    network.run_until(lambda: node.joined, 120)
    seconds = network.clock.now - began
    network.run_for(max(0.0, began + WATCHED_SECONDS - network.clock.now))
    passed = network.clock.now - began
    # without what the network would have sent in the same time at rest
    more_frames = network.network.frames - frames - frames_at_rest * passed
    return more_frames, network.network.dials - dials - dials_at_rest * passed, seconds


def _hops(network: SimulatedNetwork, start: SimulatedNode, goal: SimulatedNode) -> int:
    """How many links a message takes, by the tables as they are."""
    cores: dict[object, RoutingCore] = {node.name: node.core for node in network if node.core is not None}
    here, hops = start.name, 0
    while here != goal.name:
        entry = cores[here].table.next_hop(goal.name)
        if entry is None or hops > MAX_HOPS:
            raise AssertionError(f"no way from {start} to {goal}")
        here, hops = entry.name, hops + 1
    return hops

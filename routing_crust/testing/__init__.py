"""
A simulated network, for tests of applications and of this library: real nodes in one process, on a clock
that the test moves.

It replaces crust, the clock, the random source and the disk, and nothing else.
"""

from .host import SimulatedNode
from .latency import LongTailed, Uniform
from .play.faults import Schedule
from .simulation import SimulatedNetwork, SimulationStuck

__all__ = ["LongTailed", "Schedule", "SimulatedNetwork", "SimulatedNode", "SimulationStuck", "Uniform"]

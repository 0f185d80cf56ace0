"""
A simulated network, for tests of applications and of this library: real nodes in one process, on a clock
that the test moves.

It replaces crust, the clock, the random source and the disk, and nothing else.
"""

from .host import SimulatedNode
from .latency import LongTailed, Uniform
from .memory.internet import Router
from .memory.nat import (
    FIREWALL,
    FULL_CONE,
    HAIRPIN,
    PORT_RESTRICTED,
    RESTRICTED,
    SYMMETRIC,
    Depends,
    Nat,
)
from .play.faults import Schedule
from .simulation import SimulatedNetwork, SimulationStuck

__all__ = [
    "FIREWALL",
    "FULL_CONE",
    "HAIRPIN",
    "PORT_RESTRICTED",
    "RESTRICTED",
    "SYMMETRIC",
    "Depends",
    "LongTailed",
    "Nat",
    "Router",
    "Schedule",
    "SimulatedNetwork",
    "SimulatedNode",
    "SimulationStuck",
    "Uniform",
]

"""
A simulated network, for tests of applications and of this library: real nodes in one process, on a clock
that the test moves.

It replaces the machine under each node, and nothing above: TCP connections, the clock, the random source, the
disk, and the ciphers of TLS.
"""

from .host import SimulatedNode
from .latency import ByPair, LongTailed, Regions, Uniform
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
    "ByPair",
    "Depends",
    "LongTailed",
    "Nat",
    "Regions",
    "Router",
    "Schedule",
    "SimulatedNetwork",
    "SimulatedNode",
    "SimulationStuck",
    "Uniform",
]

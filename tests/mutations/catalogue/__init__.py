"""
The bugs: each breaks something that must always hold, and names the tests that ought to notice.

Each module has those of one part of the package.
"""

from __future__ import annotations

from typing import Final

from ..mutant import Mutant
from . import (
    crust_connecting,
    crust_discovery,
    crust_links,
    crust_networks,
    crust_tunnels,
    daemon_carrying,
    daemon_doors,
    daemon_running,
    foundations,
    routing_connecting,
    routing_links,
    routing_membership,
    routing_messaging,
    routing_node,
    routing_paths,
    routing_private,
    streams,
    trust,
)

PARTS: Final = (
    crust_connecting,
    crust_discovery,
    crust_links,
    crust_networks,
    crust_tunnels,
    daemon_carrying,
    daemon_doors,
    daemon_running,
    foundations,
    routing_connecting,
    routing_links,
    routing_membership,
    routing_messaging,
    routing_node,
    routing_paths,
    routing_private,
    streams,
    trust,
)
"""The modules, each with bugs of one part of the package."""

MUTANTS: Final[tuple[Mutant, ...]] = tuple(mutant for part in PARTS for mutant in part.MUTANTS)

"""
The value that every part of a running node gets, beside its collaborators.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from random import Random

from twisted.internet.interfaces import IReactorTime

from ..config import Role, Settings
from ..crust.interfaces import ICrust
from ..identity import Identity
from ..names import Name
from .members import OPEN, Members


@dataclass(frozen=True, slots=True)
class Node:
    """
    Made with each start of the service, shared by all parts, discarded with them.

    @ivar clock: the clock of all parts. The service stops it last, so that no timer outlives it.
    @ivar incarnation: grows with each start; peers tell a restart by it.
    @ivar network_now: the network's time, in seconds since the epoch.
    @ivar members: who may have a link with it.
    @ivar brief: what an error calls a peer: its nickname, if it has one, and the beginning of its name.
    """

    settings: Settings
    identity: Identity
    clock: IReactorTime
    random: Random
    crust: ICrust
    incarnation: int
    network_now: Callable[[], float]
    members: Members = OPEN
    brief: Callable[[Name], str] = attrgetter("short")

    @property
    def name(self) -> Name:
        """The name of this node."""
        return self.identity.name

    @property
    def is_client(self) -> bool:
        """Whether it is a client: in no routing table, and without one."""
        return self.settings.role is Role.CLIENT

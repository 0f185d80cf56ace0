"""
How others can reach us: at which endpoints, how we know of them, and through which NAT. And whether a peer is
where it was, as a dial has shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from ..endpoints import Endpoint
from ..wire.messages import NatKind


class EndpointSource(str, Enum):
    """How we know of an endpoint at which others may be able to dial us."""

    CONFIGURED = "configured"
    """The setting C{external} says so."""
    MAPPED = "mapped"
    """A router has mapped a port for us."""
    INTERFACE = "interface"
    """An interface of this host has this global address."""
    OBSERVED = "observed"
    """Peers in different networks have seen us there."""
    INNER = "inner"
    """A router has mapped it that is behind another one: those behind the same one can dial it."""
    PRIVATE = "private"
    """An interface of this host has it, and it means nothing elsewhere."""


@dataclass(frozen=True, slots=True)
class OwnEndpoint:
    """An endpoint at which others may be able to dial us."""

    endpoint: Endpoint
    source: EndpointSource


class Dialable(str, Enum):
    """Whether others can dial us from outside."""

    YES = "yes"
    """A host that we had not dialled has dialled us."""
    NO = "no"
    """A peer has tried for us and failed."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Reachability:
    """
    How others can reach us, as far as we know.

    @ivar nat: the NAT in front of us.
    @ivar dialable: whether we can be dialled from outside.
    @ivar since: when C{dialable} became what it is, in seconds.
    """

    nat: NatKind
    dialable: Dialable
    since: float


class Presence(Enum):
    """What a dial says about the peer."""

    THERE = "it answered"
    GONE = "its host, or a router near it, says that it is not there; or another node answers"
    NO_WAY = "we cannot dial there at all, which says nothing of the peer"
    UNKNOWN = "silence, a lost connection, or no dial for now"


@dataclass(frozen=True, slots=True)
class Knock:
    """
    The result of a dial that only asked whether a peer is there.

    @ivar outcome: in words.
    """

    endpoint: Endpoint
    presence: Presence
    outcome: str


@dataclass(frozen=True, slots=True)
class PathProblems:
    """
    What dials have to get around.

    @ivar small_segments: hosts to which larger segments get lost, each with the size that does not.
    @ivar uplinks: interfaces by which peers answer that do not by the system's choice.
    """

    small_segments: Mapping[str, int] = field(default_factory=dict)
    uplinks: tuple[str, ...] = ()

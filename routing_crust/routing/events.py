"""
The events that a C{RoutingService} reports to its observers, as plain values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from twisted.logger import Logger

from ..crust.reachability import Reachability
from ..endpoints import Connection, Direction, Endpoint, PathKind
from ..errors import CloseReason
from ..names import Name
from ..wire.messages import LinkUse
from .state import State

_Event = TypeVar("_Event")


@dataclass(frozen=True, slots=True)
class Message:
    """
    A message that came.

    @ivar source: who sent it; proven.
    @ivar group: the name to whose close group it was sent; C{None} if it was sent to us by name.
    """

    source: Name
    body: bytes
    group: Name | None = None


@dataclass(frozen=True, slots=True)
class Request(Message):
    """
    A message that waits for an answer.

    @ivar extend: tells the requester, whose wait would end otherwise, that the answer takes longer: called
        with the seconds from now that it should wait at least. May be called again, also before they are
        over, and does nothing once the request is answered. A requester waits for
        C{MAX_EXTENDED_WAIT_SECONDS} in all, and never beyond its own timeout.
    """

    # one that was made in a test has nobody to tell
    extend: Callable[[float], None] = field(default=lambda seconds: None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class LinkFacts:
    """
    A confirmed link, as observers and the status page see it.

    @ivar name: the peer's, proven by its certificate.
    @ivar direction: who made the connection.
    @ivar use: what the link is for.
    @ivar two_way: whether each end was able to dial the other.
    @ivar is_client: whether the peer is a client.
    @ivar path_kind: how the link came about.
    @ivar via: for a tunnel, the relay; C{connection} has its address then.
    """

    name: Name
    connection: Connection
    direction: Direction
    use: LinkUse
    two_way: bool
    is_client: bool
    path_kind: PathKind = PathKind.DIRECT
    via: Name | None = None


@dataclass(frozen=True, slots=True)
class StateChanged:
    """The state has changed."""

    old: State
    new: State


@dataclass(frozen=True, slots=True)
class GroupConnectedChanged:
    """Whether the table holds the whole close group of our name has changed."""

    connected: bool


@dataclass(frozen=True, slots=True)
class PeerJoined:
    """A node has come into the routing table."""

    name: Name


@dataclass(frozen=True, slots=True)
class PeerLeft:
    """A node has gone from the routing table."""

    name: Name


@dataclass(frozen=True, slots=True)
class LinkGained:
    """A link was confirmed, or is for another use from now on."""

    link: LinkFacts


@dataclass(frozen=True, slots=True)
class LinkChanged:
    """A new link to a peer has replaced the old one, without loss or reordering."""

    old: LinkFacts
    new: LinkFacts


@dataclass(frozen=True, slots=True)
class LinkLost:
    """No confirmed link is left to this peer."""

    link: LinkFacts
    reason: CloseReason
    detail: str


@dataclass(frozen=True, slots=True)
class EndpointsChanged:
    """Where others can dial us has changed, or is known for the first time."""

    endpoints: tuple[Endpoint, ...]


@dataclass(frozen=True, slots=True)
class ReachabilityChanged:
    """We know more, or something else, of our NAT, or of whether others can dial us from outside."""

    reachability: Reachability


class Observers:
    """The observers by type of event. One that raises is logged, and the others are still called."""

    log = Logger()

    def __init__(self) -> None:
        self._callbacks: dict[type, list[Callable[[Any], object]]] = {}

    def add(self, event_type: type[_Event], callback: Callable[[_Event], object]) -> Callable[[], None]:
        """
        Call C{callback} with each event of this type from now on.

        @return: a function without arguments that ends it; calling it again does nothing.
        """
        callbacks = self._callbacks.setdefault(event_type, [])
        callbacks.append(callback)

        def remove() -> None:
            if callback in callbacks:
                callbacks.remove(callback)

        return remove

    def tell(self, event: object) -> None:
        """Call every observer of this type of event."""
        # a copy, since an observer may add or remove others
        for callback in list(self._callbacks.get(type(event), ())):
            with self.log.failuresHandled("an observer of {event} raised", event=type(event).__name__):
                callback(event)


class Observable(Protocol):
    """What reports events: C{RoutingService}."""

    def observe(self, event_type: type[_Event], callback: Callable[[_Event], object]) -> Callable[[], None]:
        """As L{Observers.add}."""


def observe_all(
    service: Observable, callbacks: Mapping[type[Any], Callable[[Any], object]]
) -> Callable[[], None]:
    """
    Hear of several types of events, each with a callback of its own.

    @return: a function that ends all of it; calling it again does nothing.
    """
    ends = [service.observe(event_type, callback) for event_type, callback in callbacks.items()]

    def end() -> None:
        for each in ends:
            each()

    return end

"""
Our requests for connections: which are under way, and which nodes did not answer.

A node that did not answer is not asked again for a while, longer after each silence: its cooldown. This holds
for requests that joining makes; an application may ask at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from ...bounded_dict import BoundedDict
from ...names import Name
from ...timing.backoff import Backoff
from ...wire.messages import LinkUse
from ..links.peer import Peer
from ..links.registry import LinkRegistry
from .outgoing_request import OutgoingRequest

FIRST_SECONDS: Final = 10.0
"""The cooldown after the first silence; it doubles after each further one."""
MAX_SECONDS: Final = 60.0
"""The longest cooldown."""
MAX_NODES: Final = 1024
"""Silent nodes that are remembered; beyond that, the one that was silent longest ago is forgotten."""


class RequestCooldown:
    """Made by L{OutgoingRequests}."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        """
        @param seconds: the clock: C{IReactorTime.seconds}.
        """
        self._seconds = seconds
        self._backoff = Backoff(FIRST_SECONDS, 2, MAX_SECONDS)
        # when each was silent last, and its cooldown from then
        self._silent: BoundedDict[Name, tuple[float, float]] = BoundedDict(MAX_NODES)

    def __contains__(self, name: Name) -> bool:
        """Whether a node did not answer our last request, however long ago that was."""
        return name in self._silent

    def note(self, name: Name) -> None:
        """A node did not answer."""
        # one that was lifted is 0, after which the first comes again
        _, cooldown = self._silent.get(name, (0.0, 0.0))
        self._silent.put(name, (self._seconds(), self._backoff.after(cooldown)))

    def lift(self, name: Name) -> None:
        """
        There is a link with this node, though for a lesser use than it was asked for: it may be asked again
        at once, but it is still known to have been silent.
        """
        if name in self._silent:
            self._silent[name] = self._seconds(), 0.0

    def left(self, name: Name) -> float:
        """How many seconds of a node's cooldown are left; 0.0 if it may be asked."""
        since, cooldown = self._silent.get(name, (0.0, 0.0))
        passed = self._seconds() - since
        # a clock that was set back must not prolong a cooldown
        return cooldown - passed if 0 <= passed < cooldown else 0.0

    def forget(self, name: Name) -> None:
        """This node has a link with us for the use that it was asked for."""
        self._silent.pop(name, None)

    def clear(self) -> None:
        """The network has changed: a node that did not answer may answer now."""
        self._silent.clear()


class OutgoingRequests:
    """
    The requests that are under way: one for each node that is asked and each use, since one for more may be
    refused where another is not. Iteration is over those of now, whatever ends meanwhile.

    Made and filled by the L{Connector<routing_crust.routing.connecting.connector.Connector>}; others ask here
    what it is about.

    @ivar cooldown: the nodes that did not answer.
    """

    def __init__(self, links: LinkRegistry, seconds: Callable[[], float]) -> None:
        """
        @param seconds: the clock: C{IReactorTime.seconds}.
        """
        self.cooldown = RequestCooldown(seconds)
        self._links = links
        self._seconds = seconds
        self._requests: dict[tuple[Name, LinkUse], OutgoingRequest] = {}

    def __iter__(self) -> Iterator[OutgoingRequest]:
        return iter(list(self._requests.values()))

    def __contains__(self, request: OutgoingRequest) -> bool:
        return self._requests.get((request.name, request.use)) is request

    def get(self, name: Name, use: LinkUse) -> OutgoingRequest | None:
        """The request to this node for this use, if there is one."""
        return self._requests.get((name, use))

    def to(self, name: Name) -> list[OutgoingRequest]:
        """All requests to this node, those for lesser uses first."""
        return [each for use in LinkUse if (each := self._requests.get((name, use))) is not None]

    def with_nonce(self, name: Name, nonce: bytes) -> OutgoingRequest | None:
        """The request to this node that has this nonce."""
        return next((each for each in self.to(name) if each.nonce == nonce), None)

    def in_envelope(self, envelope_id: int) -> OutgoingRequest | None:
        """The request that this envelope of ours carries."""
        return next((each for each in self._requests.values() if each.is_in(envelope_id)), None)

    def add(self, request: OutgoingRequest) -> None:
        """A request is made."""
        self._requests[request.name, request.use] = request

    def remove(self, request: OutgoingRequest) -> None:
        """A request is over."""
        del self._requests[request.name, request.use]

    def linked(self, name: Name, use: LinkUse) -> Peer | None:
        """This node, if there is a link with it for this use or a greater one: then it need not be asked."""
        peer = self._links.peer(name)
        return peer if peer is not None and peer.use >= use else None

    def is_under_way(self, name: Name, use: LinkUse) -> bool:
        """Whether a request to this node, for this use, is under way."""
        return self.get(name, use) is not None

    def is_seeking(self, name: Name) -> bool:
        """Whether a request to this node may give us a link, or a greater use of the one that we have."""
        return any(self.linked(name, each.use) is None for each in self.to(name))

    def has_answered(self, name: Name) -> bool:
        """Whether this node has answered a request that is under way, or is linked with us."""
        return self._links.peer(name) is not None or any(each.answered for each in self.to(name))

    def was_silent(self, name: Name) -> bool:
        """Whether this node did not answer when it was asked last, however long ago."""
        return name in self.cooldown

    def is_cooling_down(self, name: Name) -> bool:
        """Whether this node is not asked on our own account for now, since it did not answer."""
        return self.cooldown.left(name) > 0

    def cooldown_left(self, name: Name) -> float:
        """For how many more seconds that is so."""
        return self.cooldown.left(name)

    def request_age(self, name: Name) -> float | None:
        """For how many seconds a request to this node has been under way; C{None} if none is."""
        sent = [each.sent for each in self.to(name)]
        return self._seconds() - min(sent) if sent else None

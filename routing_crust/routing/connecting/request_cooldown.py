"""
Request cooldown: a node that did not answer our request is not asked again for a while, longer after each
silence. This holds for requests that joining makes; an application may ask at any time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ...bounded_dict import BoundedDict
from ...names import Name
from ...timing.backoff import Backoff

FIRST_SECONDS: Final = 10.0
"""The cooldown after the first silence; it doubles after each further one."""
MAX_SECONDS: Final = 60.0
"""The longest cooldown."""
MAX_NODES: Final = 1024
"""Silent nodes that are remembered; beyond that, the one that was silent longest ago is forgotten."""


class RequestCooldown:
    """Made, told and asked by the L{Connector<routing_crust.routing.connecting.connector.Connector>}."""

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

"""
Who did not answer a request, and is left alone for a while: nobody asks it on our own account. An application
may ask whenever it likes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ...names import Name

FIRST_SECONDS: Final = 10.0
"""For so long a node is left alone after the first time; each time it is twice as long."""
MOST_SECONDS: Final = 60.0
"""For so long at most."""
MOST_NODES: Final = 1024
"""So many are remembered; the one that was silent first is forgotten."""


class RequestCooldown:
    """Made, told and asked by the C{Connector}, and discarded with it."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        """
        @param seconds: the clock.
        """
        self._seconds = seconds
        self._silent: dict[Name, tuple[float, float]] = {}  # since when, and for how long from then on

    def __contains__(self, name: Name) -> bool:
        """Whether a node was silent when it was asked last, however long ago."""
        return name in self._silent

    def note(self, name: Name) -> None:
        """A node did not answer."""
        _, before = self._silent.pop(name, (0.0, 0.0))
        self._silent[name] = self._seconds(), min(max(FIRST_SECONDS, 2 * before), MOST_SECONDS)
        if len(self._silent) > MOST_NODES:
            del self._silent[next(iter(self._silent))]

    def lift(self, name: Name) -> None:
        """There is a link with this node, though not what it was asked for: it may be asked again at once."""
        if name in self._silent:
            self._silent[name] = self._seconds(), 0.0

    def left(self, name: Name) -> float:
        """For how many more seconds a node is to be left alone."""
        since, seconds = self._silent.get(name, (0.0, 0.0))
        passed = self._seconds() - since
        return seconds - passed if 0 <= passed < seconds else 0.0

    def forget(self, name: Name) -> None:
        """There is a link with this node."""
        self._silent.pop(name, None)

    def clear(self) -> None:
        """Whoever did not answer may answer now."""
        self._silent.clear()

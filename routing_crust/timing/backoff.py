"""
Back-off: an address at which a dial has failed is left alone for a while, longer each time.

What is remembered is a peer at an address, not the address alone: else anyone who gives out a false
address for one peer could keep us from another that really is there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ..endpoints import Endpoint
from ..names import Name

MOST_REMEMBERED: Final = 1024
"""Failures that are remembered; the oldest are forgotten first."""

_Key = tuple[Endpoint, Name | None]


class AddressBackoff:
    """The waits after failed dials: C{first} seconds, then twice as long each time, up to C{most}."""

    def __init__(self, first: float, most: float, seconds: Callable[[], float]) -> None:
        """
        @param first: the wait after one failure, in seconds.
        @param most: the longest wait, in seconds.
        @param seconds: the clock: C{IReactorTime.seconds}.
        """
        self._first = first
        self._most = most
        self._seconds = seconds
        self._failures: dict[_Key, tuple[float, float]] = {}  # when, and the wait from then on

    def failed(self, endpoint: Endpoint, peer: Name | None) -> None:
        """A dial of C{peer} failed there."""
        now = self._seconds()
        when, wait = self._failures.pop((endpoint, peer), (now, 0.0))
        # long after its wait was over, a failure is a new story
        wait = self._first if not wait or now - when > wait + self._most else min(2 * wait, self._most)
        self._failures[endpoint, peer] = (now, wait)
        if len(self._failures) > MOST_REMEMBERED:
            del self._failures[next(iter(self._failures))]

    def succeeded(self, endpoint: Endpoint, peer: Name | None) -> None:
        """A dial of C{peer} succeeded there: forget the failures."""
        self._failures.pop((endpoint, peer), None)

    def wait(self, endpoint: Endpoint, peer: Name | None) -> float:
        """
        @return: for how many more seconds the address is to be left alone; 0.0 if it may be dialled.
        """
        when, wait = self._failures.get((endpoint, peer), (0.0, 0.0))
        # a clock that was set back must not lengthen the wait
        return min(wait, max(0.0, when + wait - self._seconds()))

    def forget(self) -> None:
        """The network is another: what failed before says nothing now."""
        self._failures.clear()

    def __len__(self) -> int:
        return len(self._failures)

"""
How long an address is left alone after dials of it have failed.

A failure counts for one peer at one address. If it counted for the address alone, anyone could keep us from a
peer by giving out its address as another's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ...bounded_dict import BoundedDict
from ...endpoints import Endpoint
from ...names import Name
from ...timing.backoff import Backoff

FIRST_WAIT_SECONDS: Final = 1.0
MAX_WAIT_SECONDS: Final = 60.0
MAX_FAILURES: Final = 1024
"""Peers at addresses whose failures are remembered; the oldest are forgotten first."""

_Key = tuple[Endpoint, Name | None]


class AddressBackoff:
    """The waits after failed dials, each twice as long as the one before. Owned by the dialler."""

    def __init__(self, first: float, most: float, seconds: Callable[[], float]) -> None:
        """
        @param first: the wait after one failure, in seconds.
        @param most: the longest wait, in seconds.
        @param seconds: the clock: C{IReactorTime.seconds}.
        """
        self._waits = Backoff(first, 2.0, most)
        self._limit = most
        self._seconds = seconds
        # when each was, and the wait from then on
        self._failures: BoundedDict[_Key, tuple[float, float]] = BoundedDict(MAX_FAILURES)

    def failed(self, endpoint: Endpoint, peer: Name | None) -> None:
        """A dial of this peer failed there."""
        now = self._seconds()
        when, wait = self._failures.get((endpoint, peer), (now, 0.0))
        # A failure long after the last wait was over says nothing about this one.
        is_first = now - when > wait + self._limit
        self._failures.put((endpoint, peer), (now, self._waits.after(0.0 if is_first else wait)))

    def succeeded(self, endpoint: Endpoint, peer: Name | None) -> None:
        """A dial of this peer succeeded there: forget its failures."""
        self._failures.pop((endpoint, peer), None)

    def wait(self, endpoint: Endpoint, peer: Name | None) -> float:
        """
        @return: seconds for which the address is still left alone; 0.0 if it may be dialled.
        """
        when, wait = self._failures.get((endpoint, peer), (0.0, 0.0))
        # a clock that was set back must not lengthen the wait
        return min(wait, max(0.0, when + wait - self._seconds()))

    def forget(self) -> None:
        """The network has changed: forget all failures."""
        self._failures.clear()

    def __len__(self) -> int:
        return len(self._failures)

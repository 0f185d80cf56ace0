"""
The replay window: which of the latest counters of a peer have come (RFC 4303, section 3.4.3).
"""

from __future__ import annotations

from typing import Final

WINDOW_PACKETS: Final = 1024
"""Counters that are told apart below the greatest that has come."""
_MASK: Final = (1 << WINDOW_PACKETS) - 1


class ReplayWindow:
    """Made with the keys of one direction, told of each packet that they have opened."""

    __slots__ = ("_seen", "_top")

    def __init__(self) -> None:
        self._top = -1
        self._seen = 0  # bit n is set if _top - n has come

    def is_new(self, counter: int) -> bool:
        """Whether a packet with this counter may be opened: it has not come, and is not too old to know."""
        age = self._top - counter
        if age < 0:
            return True
        return age < WINDOW_PACKETS and not self._seen >> age & 1

    def note(self, counter: int) -> None:
        """A packet with this counter, which L{is_new}, was opened."""
        ahead = counter - self._top
        if ahead <= 0:
            self._seen |= 1 << -ahead
            return
        # a counter far ahead must not make the number of bits grow
        self._seen = (self._seen << ahead & _MASK | 1) if ahead < WINDOW_PACKETS else 1
        self._top = counter

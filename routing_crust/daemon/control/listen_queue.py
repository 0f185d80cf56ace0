"""
What waits for a listener that reads more slowly than messages come.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from ...limits import MIB

LISTEN_QUEUE_MESSAGES: Final = 1000
LISTEN_QUEUE_BYTES: Final = 4 * MIB


class ListenQueue:
    """
    Lines in order: at most L{LISTEN_QUEUE_MESSAGES} and L{LISTEN_QUEUE_BYTES}, and one line in any case. What
    comes when it is full is dropped and counted, and a line in its place says how many there were.
    """

    def __init__(self, dropped_line: Callable[[int], bytes]) -> None:
        """
        @param dropped_line: makes the line that says how many were dropped.
        """
        self._dropped_line = dropped_line
        self._lines: deque[bytes] = deque()
        self._bytes = 0
        self._dropped = 0

    def add(self, line: bytes) -> None:
        """Queue a line, or drop it."""
        full = len(self._lines) >= LISTEN_QUEUE_MESSAGES or self._bytes + len(line) > LISTEN_QUEUE_BYTES
        # an empty queue takes a line of any size, or it would never get through
        if full and self._lines:
            self._dropped += 1
            return
        self._mention_dropped()
        self._append(line)

    def next(self) -> bytes | None:
        """Take out the oldest line; C{None} when there is none."""
        self._mention_dropped()
        if not self._lines:
            return None
        line = self._lines.popleft()
        self._bytes -= len(line)
        return line

    def clear(self) -> None:
        """Forget everything."""
        self._lines.clear()
        self._bytes = self._dropped = 0

    def _mention_dropped(self) -> None:
        if self._dropped:
            count, self._dropped = self._dropped, 0
            self._append(self._dropped_line(count))

    def _append(self, line: bytes) -> None:
        self._lines.append(line)
        self._bytes += len(line)

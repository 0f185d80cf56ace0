"""Frames that have come before their turn, and whether their link is read meanwhile."""

from __future__ import annotations

from collections import deque
from typing import Final

from ...crust.interfaces import ILink

HELD_OVERHEAD: Final = 128
"""Bytes of memory that a frame costs while it is held back, besides its payload."""


class HeldFrames:
    """
    The frames of one link that wait for their turn. Made and fed by a handover, discarded with it.
    """

    __slots__ = ("_bytes", "_frames", "_link", "_paused")

    def __init__(self, link: ILink) -> None:
        self._link = link
        self._frames: deque[tuple[int, bytes]] = deque()
        self._bytes = 0
        self._paused = False

    def __bool__(self) -> bool:
        return bool(self._frames)

    def add(self, kind: int, payload: bytes) -> None:
        """Keep a frame."""
        self._frames.append((kind, payload))
        self._bytes += len(payload) + HELD_OVERHEAD

    def pop(self) -> tuple[int, bytes]:
        """Take the oldest frame out, for its turn has come."""
        # the bytes are not given back one by one: the link is read on when all its frames are out
        return self._frames.popleft()

    def limit(self, size: int) -> None:
        """Read the link no further if its frames take more memory than that."""
        if self._bytes > size and not self._paused:
            self._paused = True
            self._link.pause_reading()

    def clear(self) -> None:
        """Forget them, and read the link on."""
        self._frames.clear()
        self._bytes = 0
        if self._paused:
            self._paused = False
            self._link.resume_reading()

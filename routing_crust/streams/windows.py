"""
Receive windows: how much the peer may send to each stream, so that all of it together fits into the memory
that its streams are given.

Each stream is sure of a small window, which is set aside for it before it exists. What is left over makes the
windows of streams full ones, for as long as there is any.
"""

from __future__ import annotations

from ..config import Settings


class Windows:
    """
    The memory for one peer. Made, and discarded, with its streams.

    @ivar full: the window that a stream is given if there is memory for it.
    @ivar least: the window that every stream is given.
    """

    __slots__ = ("_spare", "full", "least")

    def __init__(self, settings: Settings) -> None:
        # the peer's streams and ours; half of the memory is for the small windows
        most = 2 * settings.max_streams
        self.full = settings.stream_window
        self.least = min(self.full, settings.stream_memory // (2 * most))
        self._spare = settings.stream_memory - most * self.least

    def enlarged(self, window: int) -> int:
        """
        A stream has this window: could it be larger? Ask with L{least} for a new stream.

        @return: the window that it has from now on.
        """
        more = self.full - window
        if not 0 < more <= self._spare:
            return window
        self._spare -= more
        return self.full

    def give_back(self, window: int) -> None:
        """A stream that had this window is gone."""
        self._spare += window - self.least

"""
Receive windows: how much the peer may send to each stream, so that all of it together fits into the memory
that its streams are given.

Each stream is sure of a small window, which is set aside for it before it exists. What is left over makes the
windows of streams full ones, for as long as there is any, and a part of it makes those of fast streams even
larger.
"""

from __future__ import annotations

from ..config import Settings


class Windows:
    """
    The memory for one peer. Made, and discarded, with its streams.

    @ivar full: the window that a stream is given if there is memory for it.
    @ivar most: the window of a stream whose reader keeps up with it.
    @ivar least: the window that every stream is given.
    """

    __slots__ = ("_reserve", "_spare", "full", "least", "most")

    def __init__(self, settings: Settings) -> None:
        # the peer's streams and ours; half of the memory is for the small windows
        most = 2 * settings.max_streams
        self.full = settings.stream_window
        self.most = settings.stream_window_most
        self.least = min(self.full, settings.stream_memory // (2 * most))
        self._spare = settings.stream_memory - most * self.least
        self._reserve = self._spare * 3 // 4  # what is kept for full windows

    def enlarged(self, window: int, fast: bool = False) -> int:
        """
        A stream has this window: could it be larger? Ask with L{least} for a new stream.

        @param fast: whether its reader keeps up with it, and it has use for more.
        @return: the window that it has from now on.
        """
        wanted, reserve = self.full, 0
        if fast and window >= self.full:
            wanted, reserve = min(2 * window, self.most), self._reserve
        more = wanted - window
        if not 0 < more <= self._spare - reserve:
            return window
        self._spare -= more
        return wanted

    def give_back(self, window: int) -> None:
        """A stream that had this window is gone."""
        self._spare += window - self.least

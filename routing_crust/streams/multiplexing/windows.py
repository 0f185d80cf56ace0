"""
Flow control, the receiving end: how much each stream's peer may send, and when it is told of more.

Each stream is sure of a small window, which is set aside for it before it exists. The rest of the peer's
memory makes the windows of streams full ones, for as long as there is any, and a part of it makes those of
fast streams even larger.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ...config import Settings
from ..frames import StreamFrame, pack_two
from .stream import Stream

FAST_READ_SECONDS: Final = 0.5
"""A stream of which a whole window is read in this time might have use for a larger one."""

MAX_WINDOW_GROWTH: Final = 4
"""The window of a stream whose reader keeps up with it is this many times the first one."""


class Windows:
    """
    The receive windows of one peer's streams, which share its memory. Made, and discarded, with its streams.

    @ivar full: the window that a stream is given if there is memory for it.
    @ivar most: the window of a stream whose reader keeps up with it.
    @ivar least: the window that every stream is given.
    """

    __slots__ = ("_reserve", "_spare", "full", "least", "most")

    def __init__(self, settings: Settings) -> None:
        # The peer's streams and ours. The small windows take half of the memory: with as many streams as
        # there may be, each still gets one.
        most = 2 * settings.max_streams
        self.full = settings.stream_window
        self.most = MAX_WINDOW_GROWTH * settings.stream_window
        self.least = min(self.full, settings.stream_memory // (2 * most))
        self._spare = settings.stream_memory - most * self.least
        # fast streams get no part of this, so that new streams still find full windows
        self._reserve = self._spare * 3 // 4

    def enlarged(self, window: int, fast: bool = False) -> int:
        """
        Enlarge a stream's window if there is memory for it; a new stream begins with L{least}.

        @param window: the window that it has.
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

    def first(self) -> int:
        """The window of a new stream."""
        return self.enlarged(self.least)

    def give_back(self, window: int) -> None:
        """Take back the window of a stream that is over."""
        self._spare += window - self.least


class CreditSender:
    """Gives the peer credit for what was read. Made, and discarded, with its mux."""

    __slots__ = ("_looking", "_next_turn", "_owed", "_seconds", "_send", "_windows")

    def __init__(
        self,
        windows: Windows,
        seconds: Callable[[], float],
        send: Callable[[int, bytes], None],
        next_turn: Callable[[Callable[[], None]], None],
    ) -> None:
        """
        @param seconds: the clock.
        @param send: sends a frame: its kind and its payload.
        @param next_turn: calls something in the next turn of the reactor.
        """
        self._windows = windows
        self._seconds = seconds
        self._next_turn = next_turn
        self._owed: dict[Stream, int] = {}  # what could be received in the last turn
        self._looking = False
        self._send = send

    def send(self, stream: Stream, amount: int) -> None:
        """Let the peer send C{amount} bytes more, and a larger window if there is memory for one by now."""
        fast = False
        stream.lately += amount
        # judged once in a window: only a stream whose reader takes all of it at once gains from a larger one
        if stream.lately >= stream.window:
            now = self._seconds()
            fast = not stream.unread and 0 <= now - stream.since < FAST_READ_SECONDS
            stream.lately, stream.since = 0, now
        window = self._windows.enlarged(stream.window, fast)
        amount += window - stream.window
        stream.window = window
        stream.receive_window += amount
        self._owed.pop(stream, None)
        self._send(StreamFrame.CREDIT, pack_two(stream.number, amount))

    def owe(self, stream: Stream) -> None:
        """
        Let the peer send as many bytes more as are due, once nothing more has come for a turn. While much
        comes, there is more to give credit for in the next turn, and each CREDIT costs both ends as much as
        several frames of data.
        """
        # no window is -1, so that one whole turn at least is waited for
        self._owed.setdefault(stream, -1)
        self._look_soon()

    def forget(self, stream: Stream) -> None:
        """Owe this stream nothing more."""
        self._owed.pop(stream, None)

    def _look_soon(self) -> None:
        if not self._looking:
            self._looking = True
            self._next_turn(self._pay_the_quiet)

    def _pay_the_quiet(self) -> None:
        self._looking = False
        for stream, before in list(self._owed.items()):
            # nothing has come for a turn: the peer may be waiting for this credit
            if before == stream.receive_window:
                due = stream.due
                if due:
                    self.send(stream, due)
                else:
                    del self._owed[stream]
            else:
                self._owed[stream] = stream.receive_window
        if self._owed:
            self._look_soon()

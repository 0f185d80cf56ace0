"""
A log that a peer cannot flood: at most one line a second for each cause.

What is left out is counted, and the next line of the same cause says how many there were.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.logger import Logger, LogLevel

INTERVAL: Final = 1.0
"""Seconds between two lines of one cause."""


class QuietLog:
    """
    Wraps a logger. A cause is a fixed word of the program's, never anything that a peer chooses, so the
    number of causes is bounded. There is no timer: what is counted is told by the next line, or by
    L{flush}.
    """

    def __init__(self, log: Logger, seconds: Callable[[], float]) -> None:
        """
        @param log: where the lines go.
        @param seconds: the clock: C{IReactorTime.seconds}.
        """
        self._log = log
        self._seconds = seconds
        self._last: dict[str, float] = {}
        self._left_out: dict[str, int] = {}

    def info(self, cause: str, format: str, **fields: object) -> None:
        """Log a line, unless this cause had one less than a second ago."""
        self._emit(LogLevel.info, cause, format, fields)

    def debug(self, cause: str, format: str, **fields: object) -> None:
        """As L{info}, for those who look closely."""
        self._emit(LogLevel.debug, cause, format, fields)

    def warn(self, cause: str, format: str, **fields: object) -> None:
        """As L{info}, as a warning."""
        self._emit(LogLevel.warn, cause, format, fields)

    def flush(self) -> None:
        """Tell what has been left out and not been told yet."""
        left_out, self._left_out = self._left_out, {}
        for cause, count in left_out.items():
            self._log.info("{count} more lines like the last about {cause}", count=count, cause=cause)

    def _emit(self, level: LogLevel, cause: str, format: str, fields: dict[str, object]) -> None:
        now = self._seconds()
        # a clock that was set back must not silence a cause
        if 0 <= now - self._last.get(cause, now - INTERVAL) < INTERVAL:
            self._left_out[cause] = self._left_out.get(cause, 0) + 1
            return
        self._last[cause] = now
        count = self._left_out.pop(cause, 0)
        if count:
            format += " ({left_out} more like this were left out)"
            fields["left_out"] = count
        self._log.emit(level, format, **fields)

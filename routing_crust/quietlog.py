"""
A log that a peer cannot flood: at most one line a second for each cause.

Suppressed lines are counted, and the next line of the same cause gives their number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.logger import Logger, LogLevel

INTERVAL: Final = 1.0
"""Seconds between two lines of one cause."""


class QuietLog:
    """
    Wraps a logger. A cause is a fixed word of the program, never one that a peer chooses, so the number of
    causes is bounded. There is no timer: the next line reports the count, or L{flush} does.
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
        """As L{info}, at level debug."""
        self._emit(LogLevel.debug, cause, format, fields)

    def warn(self, cause: str, format: str, **fields: object) -> None:
        """As L{info}, at level warn."""
        self._emit(LogLevel.warn, cause, format, fields)

    def flush(self) -> None:
        """Report the suppressed lines that no later line has reported."""
        left_out, self._left_out = self._left_out, {}
        for cause, count in left_out.items():
            self._log.info("{count} more lines like the last about {cause}", count=count, cause=cause)

    def _emit(self, level: LogLevel, cause: str, format: str, fields: dict[str, object]) -> None:
        now = self._seconds()
        # The lower bound: a clock that was set back must not silence a cause.
        if 0 <= now - self._last.get(cause, now - INTERVAL) < INTERVAL:
            self._left_out[cause] = self._left_out.get(cause, 0) + 1
            return
        self._last[cause] = now
        count = self._left_out.pop(cause, 0)
        if count:
            format += " ({left_out} more like this were left out)"
            fields["left_out"] = count
        self._log.emit(level, format, **fields)

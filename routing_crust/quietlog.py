"""
A log that peers cannot flood: what one causes is limited by the cause and by the prefix of its address.

A cause and prefix may have a few lines at once. While more come the waits between lines grow, from a second
to a minute; each line gives the number of those that were left out before it. A cause is limited in all, too,
since an attacker may have many prefixes. So a flood from one prefix hides nothing of what others cause.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from .bounded_dict import BoundedDict
from .timing.ratelimit import TokenBucket

FIRST_INTERVAL_SECONDS: Final = 1.0
"""Seconds between two lines of one cause and prefix, at first."""
MAX_INTERVAL_SECONDS: Final = 60.0
"""Seconds between two lines while more and more are left out. After twice as long all is as at first."""
MAX_PREFIXES: Final = 1024
"""Causes and prefixes that are remembered; beyond that the oldest are forgotten."""
TRACEBACKS_AT_ONCE: Final = 16
"""
Lines at once in a log of what an application's own code raises: a programmer wants to see the first ones.
"""
PREFIXES_AT_ONCE: Final = 8
"""Prefixes whose lines a cause may have at once; in the long run it has one line a second."""


class _Lines:
    """The lines of one cause and prefix."""

    __slots__ = ("last", "left_out", "said", "wait")

    def __init__(self) -> None:
        self.last = float("-inf")
        self.said = self.left_out = 0
        self.wait = 0.0


class QuietLog:
    """
    Wraps a logger. A cause is a fixed word of the program, never one that a peer chooses. There is no timer:
    the next line reports the count, or L{flush} does.
    """

    def __init__(self, log: Logger, seconds: Callable[[], float], burst: int = 1) -> None:
        """
        @param log: where the lines go.
        @param seconds: the clock: C{IReactorTime.seconds}.
        @param burst: how many lines of one cause and prefix may come at once.
        """
        self._log = log
        self._seconds = seconds
        self._burst = burst
        self._lines: BoundedDict[tuple[str, str], _Lines] = BoundedDict(MAX_PREFIXES)
        self._causes: BoundedDict[str, TokenBucket] = BoundedDict(MAX_PREFIXES)

    def info(self, cause: str, format: str, *, by: str = "", **fields: object) -> None:
        """
        Log a line, unless there were too many like it.

        @param by: the prefix that caused it; empty if no single one did, or it is not known.
        """
        if self._may(cause, by, fields):
            self._log.emit(LogLevel.info, _with_count(format, fields), **fields)

    def debug(self, cause: str, format: str, *, by: str = "", **fields: object) -> None:
        """As L{info}, at level debug."""
        if self._may(cause, by, fields):
            self._log.emit(LogLevel.debug, _with_count(format, fields), **fields)

    def warn(self, cause: str, format: str, *, by: str = "", **fields: object) -> None:
        """As L{info}, at level warn."""
        if self._may(cause, by, fields):
            self._log.emit(LogLevel.warn, _with_count(format, fields), **fields)

    def error(self, cause: str, format: str, *, by: str = "", **fields: object) -> None:
        """As L{info}, at level error."""
        if self._may(cause, by, fields):
            self._log.emit(LogLevel.error, _with_count(format, fields), **fields)

    def failure(
        self, cause: str, format: str, failure: Failure | None = None, *, by: str = "", **fields: object
    ) -> None:
        """As L{info}, with a traceback: of C{failure}, or of the exception that is being handled."""
        if self._may(cause, by, fields):
            self._log.failure(_with_count(format, fields), failure or Failure(), LogLevel.critical, **fields)

    def flush(self) -> None:
        """Report the suppressed lines that no later line has reported."""
        count: dict[str, int] = {}
        for (cause, _), lines in self._lines.items():
            count[cause] = count.get(cause, 0) + lines.left_out
            lines.left_out = 0
        for cause, left_out in count.items():
            if left_out:
                self._log.info("{count} more lines like the last about {cause}", count=left_out, cause=cause)

    def _may(self, cause: str, by: str, fields: dict[str, object]) -> bool:
        """Whether a line may be logged; if so, C{fields} gets the number of those that were not."""
        lines = self._lines.get((cause, by))
        if lines is None:
            lines = self._lines[cause, by] = _Lines()
        now = self._seconds()
        since = now - lines.last
        # the lower bound: a clock that was set back must not silence a cause
        # its own wait first: what is left out must not use up the lines that others may have
        if 0 <= since < lines.wait or not self._cause_may(cause):
            lines.left_out += 1
            return False
        if since < 0 or since >= (2 if lines.left_out else 1) * MAX_INTERVAL_SECONDS:
            lines.said, lines.wait = 0, 0.0
        lines.said += 1
        lines.last = now
        if lines.said >= self._burst:
            # it grows only while there is more to say than is said
            lines.wait = (
                min(MAX_INTERVAL_SECONDS, 2 * lines.wait)
                if lines.left_out and lines.wait
                else FIRST_INTERVAL_SECONDS
            )
        if lines.left_out:
            fields["left_out"] = lines.left_out
            lines.left_out = 0
        return True

    def _cause_may(self, cause: str) -> bool:
        bucket = self._causes.get(cause)
        if bucket is None:
            burst = PREFIXES_AT_ONCE * self._burst
            bucket = self._causes[cause] = TokenBucket(1 / FIRST_INTERVAL_SECONDS, burst, self._seconds)
        return bucket.take()


def _with_count(format: str, fields: dict[str, object]) -> str:
    return format + " ({left_out} more like this were left out)" if "left_out" in fields else format

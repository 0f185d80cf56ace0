"""
Complaints: what peers do wrong, in the log, at most one line a second for each cause.
"""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ..ratelimit import TokenBucket


class Complaints:
    """Made by whatever hears from peers. It holds a bucket for each format, of which there are few."""

    def __init__(self, log: Logger, clock: IReactorTime) -> None:
        self._log = log
        self._clock = clock
        self._buckets: dict[str, TokenBucket] = {}

    def info(self, format: str, **fields: object) -> None:
        """Log a line, unless one of this format was logged within the last second."""
        bucket = self._buckets.get(format)
        if bucket is None:
            bucket = self._buckets[format] = TokenBucket(1, 1, self._clock.seconds)
        if bucket.take():
            self._log.info(format, **fields)

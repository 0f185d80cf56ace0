"""
Back-off: the growing waits between one failure and the next attempt.
"""

from __future__ import annotations

from random import Random


class Backoff:
    """
    Waits that begin at C{base} seconds and grow by C{factor} up to C{limit}. There is no last one: an attempt
    is never given up for having failed often.

    @ivar bound: the longest that the next wait can be, in seconds.
    """

    __slots__ = ("_base", "_factor", "_jitter", "_limit", "_random", "bound")

    def __init__(
        self, base: float, factor: float, limit: float, jitter: float = 0.0, random: Random | None = None
    ) -> None:
        """
        @param base: the first wait, in seconds.
        @param factor: what each wait is multiplied by to give the next.
        @param limit: the longest wait, in seconds; not less than C{base}.
        @param jitter: the part of each wait that is random, from 0 to 1. With 1 ("full jitter") nodes that
            failed together spread evenly over the whole wait.
        @param random: where the jitter is drawn from; needed if there is any.
        @raise ValueError: there is jitter, and nothing to draw it from.
        """
        if jitter and random is None:
            raise ValueError("jitter needs a source of randomness")
        self._base = base
        self._factor = factor
        self._limit = limit
        self._jitter = jitter
        self._random = random
        self.bound = base

    def after(self, wait: float) -> float:
        """The wait that follows this one, without jitter; after 0.0 comes the first."""
        # without the maximum, 0.0 would stay 0.0 for ever
        return min(max(self._base, wait * self._factor), self._limit)

    def next_wait(self) -> float:
        """Draw the next wait, in seconds, and let the bound grow."""
        bound, self.bound = self.bound, self.after(self.bound)
        if self._random is None:
            return bound
        # jitter only shortens a wait: none is longer than the bound
        return self._random.uniform((1 - self._jitter) * bound, bound)

    def reset(self) -> None:
        """An attempt succeeded: the next wait is a first one."""
        self.bound = self._base

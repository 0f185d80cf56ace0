"""
Rate limits: how often something may happen, on average and at once.

A L{TokenBucket} (Turner, "New directions in communications", 1986) fills at a steady rate up to its burst;
what happens takes tokens out, and when there are too few it may not happen. A L{SlidingWindow} knows when the
last few things happened. L{KeyedLimits} has one of either for each peer or prefix. There are no timers: each
is brought up to date when it is used.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from typing import Final, Generic, Protocol, TypeVar

_Key = TypeVar("_Key", bound=Hashable)

SWEEP_AT_KEYS: Final = 256
"""Fewer keys than this are never worth looking through for limits that can be dropped."""


class TokenBucket:
    """
    A bucket of tokens, full at first.

    A clock that is set back adds nothing, and takes nothing away.

    @ivar rate: tokens that flow in per second.
    @ivar burst: the most that it holds.
    """

    __slots__ = ("_seconds", "_tokens", "_updated", "burst", "rate")

    def __init__(self, rate: float, burst: float, seconds: Callable[[], float]) -> None:
        """
        @param rate: tokens per second. For a setting per minute, give a sixtieth of it.
        @param burst: how many may be taken at once.
        @param seconds: the clock: C{IReactorTime.seconds}.
        @raise ValueError: the rate or the burst is not above 0.
        """
        if not (rate > 0 and burst > 0):
            raise ValueError(f"a rate of {rate} and a burst of {burst} let nothing through")
        self.rate = rate
        self.burst = burst
        self._seconds = seconds
        # full, so that a peer that has just come is not slowed down for it
        self._tokens = float(burst)
        self._updated = seconds()

    def change(self, rate: float, burst: float) -> None:
        """Have another rate and burst from now on."""
        self._update()
        self.rate, self.burst = rate, burst

    @property
    def tokens(self) -> float:
        """How many tokens there are now; below 0 while L{spend} is being paid back."""
        self._update()
        return self._tokens

    @property
    def unused(self) -> bool:
        """Whether the bucket is full again, so that a new one can replace it."""
        return self.tokens >= self.burst

    def take(self, amount: float = 1.0) -> bool:
        """
        Take tokens, if there are enough.

        @return: whether they were taken; if not, nothing was.
        """
        self._update()
        if self._tokens < amount:
            return False
        self._tokens -= amount
        return True

    def spend(self, amount: float) -> None:
        """Take tokens even if there are too few; what is missing has to flow in first."""
        self._update()
        self._tokens -= amount

    def wait(self, amount: float = 1.0) -> float:
        """
        @return: in how many seconds there will be this many tokens, if none are taken until then; 0.0
            if there are now, infinity if there are more than the bucket can hold.
        """
        self._update()
        if self._tokens >= amount:
            return 0.0
        return (amount - self._tokens) / self.rate if amount <= self.burst else float("inf")

    def _update(self) -> None:
        now = self._seconds()
        if now != self._updated:
            # a clock that was set back fills nothing, and filling goes on from its new time
            if now > self._updated:
                self._tokens = min(self.burst, self._tokens + (now - self._updated) * self.rate)
            self._updated = now


class SlidingWindow:
    """
    At most C{most} within any C{span} of seconds, for limits that must hold exactly: a L{TokenBucket}
    lets through a burst on top of its rate, up to twice as much.

    A clock that is set back lets nothing through early.
    """

    __slots__ = ("_most", "_seconds", "_span", "_times")

    def __init__(self, most: float, span: float, seconds: Callable[[], float]) -> None:
        """
        @param most: how many; a fraction is left out, but one is always let through.
        @param span: in seconds.
        @param seconds: the clock: C{IReactorTime.seconds}.
        @raise ValueError: one of them is not above 0.
        """
        if not (most > 0 and span > 0):
            raise ValueError(f"{most} within {span} s let nothing through")
        self._most = max(1, int(most))
        self._span = span
        self._seconds = seconds
        self._times: deque[float] = deque()

    @property
    def unused(self) -> bool:
        """Whether nothing lies within the span, so that a new window can replace it."""
        self._forget()
        return not self._times

    def take(self) -> bool:
        """
        Let one more through, if it may be.

        @return: whether it may.
        """
        if self.wait() > 0:
            return False
        self._times.append(self._seconds())
        return True

    def wait(self) -> float:
        """In how many seconds one more may be let through; 0.0 if it may now."""
        self._forget()
        if len(self._times) < self._most:
            return 0.0
        return self._times[0] + self._span - self._seconds()

    def _forget(self) -> None:
        long_ago = self._seconds() - self._span
        while self._times and self._times[0] <= long_ago:
            self._times.popleft()


class Limit(Protocol):
    """What L{TokenBucket} and L{SlidingWindow} have in common."""

    @property
    def unused(self) -> bool:
        """Whether a new limit could replace it."""

    def take(self) -> bool:
        """Count one if that is within the limit, and return whether it is."""

    def wait(self) -> float:
        """In how many seconds one will be within the limit."""


class KeyedLimits(Generic[_Key]):
    """
    A limit for each peer, link or prefix, made when it is first needed.

    Those that are unused again are dropped each time that their number has doubled, so it stays within twice
    what the rates allow.
    """

    __slots__ = ("_limits", "_make", "_sweep_at")

    def __init__(self, make: Callable[[], Limit]) -> None:
        """
        @param make: makes the limit of a key.
        """
        self._make = make
        self._limits: dict[_Key, Limit] = {}
        self._sweep_at = SWEEP_AT_KEYS

    @classmethod
    def of_buckets(cls, per_second: float, at_once: float, seconds: Callable[[], float]) -> KeyedLimits[_Key]:
        """Limits that are a L{TokenBucket} for each key."""
        return cls(lambda: TokenBucket(per_second, at_once, seconds))

    def __len__(self) -> int:
        return len(self._limits)

    def take(self, key: _Key) -> bool:
        """Count one for this key if that is within its limit, and return whether it is."""
        limit = self._limits.get(key)
        if limit is None:
            self._sweep()
            limit = self._limits[key] = self._make()
        return limit.take()

    def wait(self, key: _Key) -> float:
        """In how many seconds one more for this key will be within its limit."""
        limit = self._limits.get(key)
        return 0.0 if limit is None else limit.wait()

    def _sweep(self) -> None:
        if len(self._limits) >= self._sweep_at:
            self._limits = {key: limit for key, limit in self._limits.items() if not limit.unused}
            # twice what is left, so that a sweep costs constant time for each key on average
            self._sweep_at = max(SWEEP_AT_KEYS, 2 * len(self._limits))

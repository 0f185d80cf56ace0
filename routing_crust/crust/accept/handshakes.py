"""
Turns for TLS handshakes: those of accepted connections cost us a signature and more, no matter who asks.

Each /24 or /48 has C{max_handshakes_per_prefix} a second, and all together have L{PREFIXES_AT_ONCE} times as
many. Others wait until it is their turn, for as long as their Hello has time. The prefixes take turns, and
within one the addresses or /56s do, so a flood delays its own neighbours most.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ...endpoints import Endpoint
from ...timing.ratelimit import KeyedLimits, TokenBucket
from ...timing.timers import cancel

BURST_SECONDS: Final = 3.0
"""Seconds whose handshakes a prefix may use at once: the nodes of an office start together."""
PREFIXES_AT_ONCE: Final = 5
"""Prefixes for which there is time in all, each at its full rate."""

MIN_WAIT_SECONDS: Final = 0.001


class HandshakeTurns:
    """
    I say when a handshake may begin. I am made with the gate, and used until L{stop}, again and again.
    """

    def __init__(self, per_prefix: float, clock: IReactorTime) -> None:
        """
        @param per_prefix: handshakes a second.
        """
        self._clock = clock
        self._per_prefix = per_prefix
        self._all = TokenBucket(*_of_all(per_prefix), clock.seconds)
        self._each = self._limits()
        # by prefix and by origin; the one that was served least recently comes first
        self._waiting: dict[str, dict[str, deque[Callable[[], bool]]]] = {}
        self._timer: IDelayedCall | None = None

    def __len__(self) -> int:
        """How many wait."""
        return sum(len(queue) for origins in self._waiting.values() for queue in origins.values())

    def take(self, peer: Endpoint, begin: Callable[[], bool]) -> None:
        """
        Have a handshake begin, now or later.

        @param begin: begins it, and says whether it was still wanted; if not, the next one has the turn.
        """
        origins = self._waiting.setdefault(peer.prefix, {})
        origins.setdefault(peer.origin, deque()).append(begin)
        self._serve()

    def change(self, per_prefix: float) -> None:
        """Change the rate. Those who wait keep their places, and the prefixes begin afresh."""
        if per_prefix == self._per_prefix:
            # what a prefix has used must not be forgotten whenever some other setting changes
            return
        self._per_prefix = per_prefix
        self._all.change(*_of_all(per_prefix))
        self._each = self._limits()
        self._serve()

    def _limits(self) -> KeyedLimits[str]:
        burst = max(1.0, BURST_SECONDS * self._per_prefix)
        return KeyedLimits.of_buckets(self._per_prefix, burst, self._clock.seconds)

    def stop(self) -> None:
        """Forget all who wait."""
        self._waiting.clear()
        cancel(self._timer)
        self._timer = None

    def _serve(self) -> None:
        served = True
        while served:
            served = False
            for prefix in list(self._waiting):
                if self._all.wait() > 0:
                    break
                if self._each.wait(prefix) > 0:
                    continue
                begin = self._next_of(prefix)
                served = True
                # a connection that has gone meanwhile must not cost the others a turn
                if begin():
                    self._all.take()
                    self._each.take(prefix)
        cancel(self._timer)
        self._timer = None
        if self._waiting:
            wait = max(self._all.wait(), min(map(self._each.wait, self._waiting)))
            # a wait too small for the clock's next number would never be over
            self._timer = self._clock.callLater(max(wait, MIN_WAIT_SECONDS), self._serve)

    def _next_of(self, prefix: str) -> Callable[[], bool]:
        """The next one of a prefix, which then is the last to have another turn."""
        origins = self._waiting.pop(prefix)
        origin = next(iter(origins))
        queue = origins.pop(origin)
        begin = queue.popleft()
        if queue:
            origins[origin] = queue
        if origins:
            self._waiting[prefix] = origins
        return begin


def _of_all(per_prefix: float) -> tuple[float, float]:
    """The rate and the burst of all prefixes together."""
    rate = PREFIXES_AT_ONCE * per_prefix
    return rate, max(1.0, BURST_SECONDS * rate)

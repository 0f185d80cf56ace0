"""
How long a round trip over a link takes, smoothed as RFC 6298 says.

Each probe that is answered gives a sample; its answer repeats its nonce. Until the first sample there is a
guess, by how long the handshake of TLS took: it includes the work of both ends, so a sample replaces it and
is not mixed with it. Each end has waited for a flight that the other cannot make before it has ours; a Hello
can be sent before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

MAX_UNANSWERED: Final = 4
"""How many probes may be unanswered before the earliest is given up."""
_SMOOTHED_SHARE: Final = 1 / 8
_VARIATION_SHARE: Final = 1 / 4
"""What a new sample counts for: alpha and beta of the RFC."""


class RoundTrip:
    """
    Made by a link for itself when its connection is there, discarded with it.

    @ivar smoothed: in seconds; C{None} while nothing is known.
    @ivar variation: the mean deviation from it, in seconds; C{None} before the first sample.
    @ivar latest: the last sample, in seconds; C{None} before the first.
    """

    __slots__ = ("_seconds", "_since", "_unanswered", "latest", "smoothed", "variation")

    def __init__(self, seconds: Callable[[], float]) -> None:
        """
        @param seconds: gives the time.
        """
        self.smoothed: float | None = None
        self.variation: float | None = None
        self.latest: float | None = None
        self._seconds = seconds
        self._since = seconds()
        self._unanswered: tuple[tuple[bytes, float], ...] = ()  # nonces, and when each was sent

    def smoothed_or(self, seconds: float) -> float:
        """L{smoothed}, or this while nothing is known."""
        return seconds if self.smoothed is None else self.smoothed

    def handshake_done(self) -> None:
        """TLS is done on our side."""
        self.smoothed = self._seconds() - self._since

    def asked(self, nonce: bytes) -> None:
        """A probe is sent."""
        # where a round trip takes longer than the wait for a probe, several are on their way
        self._unanswered = (*self._unanswered[1 - MAX_UNANSWERED :], (nonce, self._seconds()))

    def answered(self, nonce: bytes | None) -> float | None:
        """
        A probe was answered, or the peer sends a Heartbeat unasked.

        @param nonce: what it repeats; C{None} if it repeats nothing.
        @return: for how long the probe and its answer were on their way, in seconds; C{None} if this is no
            answer to any of the last L{MAX_UNANSWERED} probes, or to one before another that was answered.
        """
        for number in reversed(range(len(self._unanswered))):
            asked, since = self._unanswered[number]
            if asked == nonce:
                self._unanswered = self._unanswered[number + 1 :]
                seconds = self._seconds() - since
                self._add(seconds)
                return seconds
        return None

    def _add(self, seconds: float) -> None:
        self.latest = seconds
        if self.smoothed is None or self.variation is None:
            self.smoothed, self.variation = seconds, seconds / 2
            return
        # the variation first: it is about the smoothed time as it was before
        self.variation += _VARIATION_SHARE * (abs(self.smoothed - seconds) - self.variation)
        self.smoothed += _SMOOTHED_SHARE * (seconds - self.smoothed)

"""
How long a round trip over a link takes, smoothed as RFC 6298 says.

Each probe that is answered gives a sample, unless it may have been an earlier one that was answered: answers
do not say what they answer, and a peer whose frames are an answer already sends no other. Until the first
sample there is a guess, by how long the set-up of the link took: it includes the work of TLS, so a sample
replaces it and is not mixed with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

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

    __slots__ = ("_ambiguous", "_seconds", "_since", "_unanswered", "latest", "smoothed", "variation")

    def __init__(self, seconds: Callable[[], float]) -> None:
        """
        @param seconds: gives the time.
        """
        self.smoothed: float | None = None
        self.variation: float | None = None
        self.latest: float | None = None
        self._seconds = seconds
        self._since = seconds()
        self._unanswered = self._ambiguous = False

    def handshake_done(self, accepted: bool) -> None:
        """
        TLS is done on our side, and our Hello leaves.

        @param accepted: whether it was the peer that connected.
        """
        # who accepts has waited for a flight of the handshake; the other end waits for a Hello from now on
        if accepted:
            self._guess()
        self._since = self._seconds()

    def hello_verified(self) -> None:
        """The peer's Hello has come."""
        self._guess()

    def asked(self) -> None:
        """A probe is sent."""
        # with another probe on its way, nobody knows which of them an answer is for
        self._unanswered, self._ambiguous = True, self._unanswered
        self._since = self._seconds()

    def answered(self) -> float:
        """
        A probe was answered, or the peer sends a Heartbeat unasked.

        @return: for how long it could have been on its way, in seconds.
        """
        seconds = self._seconds() - self._since
        if self._unanswered and not self._ambiguous:
            self._add(seconds)
        self._unanswered = False
        return seconds

    def _guess(self) -> None:
        if self.smoothed is None:
            self.smoothed = self._seconds() - self._since

    def _add(self, seconds: float) -> None:
        self.latest = seconds
        if self.smoothed is None or self.variation is None:
            self.smoothed, self.variation = seconds, seconds / 2
            return
        # the variation first: it is about the smoothed time as it was before
        self.variation += _VARIATION_SHARE * (abs(self.smoothed - seconds) - self.variation)
        self.smoothed += _SMOOTHED_SHARE * (seconds - self.smoothed)

"""
Whether the peer of a link is still there: heartbeats, silence, stalls and probes.

It counts the ticks of the link's timer and never reads the clock, so that a step of the wall clock, or a halt
of the process, cuts no link. A probe, which is a Heartbeat with a payload, is sent where there is reason to
doubt that the peer is still there; the peer answers it with a Heartbeat.
"""

from __future__ import annotations

from typing import Final

from ...config import Settings
from ...errors import CloseReason, LinkClosed
from ..interfaces import ANSWER_WITHIN
from .sendqueue import SendQueue

HEARTBEATS_PER_TIMEOUT: Final = 3
"""An idle link sends this many heartbeats in C{inactivity_timeout}."""
STALL_TIMEOUT_SECONDS: Final = 30.0
"""A peer that reads nothing for this long is cut off."""

MAX_UNANSWERED_PROBES: Final = 4
"""Consecutive unanswered probes that each start the wait again; later ones do not."""


class Liveness:
    """
    Made by a link for itself, asked at each tick of its timer, discarded with it.

    @ivar heard: set by the link whenever bytes come.
    @ivar idle: whether nothing was sent during the last tick, so that a heartbeat is due.
    """

    __slots__ = ("_probes", "_queue", "_settings", "_silence", "_stalled", "heard", "idle")

    def __init__(self, settings: Settings, queue: SendQueue) -> None:
        self._settings = settings
        self._queue = queue
        self._probes = 0
        self._silence = self._stalled = 0.0
        self.heard = self.idle = False

    @property
    def tick_length(self) -> float:
        """Seconds between ticks: two ticks without a frame make a heartbeat just in time."""
        settings = self._settings
        return min(settings.inactivity_timeout / (2 * HEARTBEATS_PER_TIMEOUT), STALL_TIMEOUT_SECONDS)

    @property
    def answer_time(self) -> float:
        """Seconds that the peer has to answer a probe."""
        return min(ANSWER_WITHIN, self._settings.inactivity_timeout)

    def tick(self, reading: bool) -> LinkClosed | None:
        """
        Count one tick.

        @param reading: whether the link takes bytes; while it does not, silence does not count.
        @return: why the link is to be cut; C{None} if it stays.
        """
        settings, queue, length = self._settings, self._queue, self.tick_length
        # a halted process misses ticks and thereby counts no silence
        self._silence = 0.0 if self.heard or not reading else self._silence + length
        self._stalled = self._stalled + length if queue.paused and not queue.progressed else 0.0
        self.idle = not queue.wrote and not queue.size
        self.heard = queue.progressed = queue.wrote = False
        # TCP takes minutes to notice a cut path: it sends no keepalives while data is unacknowledged
        if self._silence >= settings.inactivity_timeout:
            return LinkClosed(CloseReason.INACTIVE, f"nothing came for {self._silence:g} s")
        if self._stalled >= STALL_TIMEOUT_SECONDS:
            return LinkClosed(CloseReason.STALLED, f"nothing was read for {self._stalled:g} s")
        return None

    def probe(self) -> bool:
        """
        Note that a probe is sent.

        @return: whether the wait for an answer starts now; not if too many are unanswered, since a wait that
            starts again with each probe would never end.
        """
        if self.heard:
            self._probes = 0
        if self._probes >= MAX_UNANSWERED_PROBES:
            return False
        self._probes += 1
        self.heard = False
        return True

    def answer_due(self, reading: bool) -> LinkClosed | None:
        """
        The wait for an answer is over.

        @return: why the link is to be cut; C{None} if it stays.
        """
        # any frame is an answer: a peer with frames to send does not add a Heartbeat
        if not self.heard and reading:
            return LinkClosed(CloseReason.INACTIVE, "the peer did not answer a probe")
        self._probes = 0
        return None

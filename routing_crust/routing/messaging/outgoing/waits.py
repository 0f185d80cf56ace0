"""
How long an acknowledgement is waited for, and how long after a hint a message is sent again.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from twisted.internet.interfaces import IReactorTime

from ....limits import MAX_ATTEMPTS
from ....timing.deadlines import Deadlines
from ....timing.timers import cancel
from .message import OutgoingMessage

MIN_HINT_RETRY_SECONDS: Final = 0.1
MAX_HINT_RETRY_SECONDS: Final = 0.5
"""Bounds, in seconds, of the random wait before another attempt after a hint."""
LATE_HINT_RETRY_SECONDS: Final = 5.0
"""How much longer that is after C{MAX_ATTEMPTS} hints; it doubles with each further one."""


class MessageWaits:
    """
    The waits for acknowledgements. The first attempt of a message has C{ack_timeout}, each further one half
    of it: so C{MAX_ATTEMPTS} take C{UNREACHABLE_SECONDS}. The last one ends with that time in any case.
    """

    def __init__(
        self, clock: IReactorTime, ack_timeout: float, timed_out: Callable[[OutgoingMessage], object]
    ) -> None:
        self._clock = clock
        self._repeat_seconds = ack_timeout / 2
        self._timed_out = timed_out
        self._first: Deadlines[OutgoingMessage] = Deadlines(clock, ack_timeout, timed_out)
        self._repeats: Deadlines[OutgoingMessage] = Deadlines(clock, self._repeat_seconds, timed_out)

    def begin(self, message: OutgoingMessage) -> None:
        """Wait for as long as a message may take that nothing holds up, whatever was waited for before."""
        self.end(message)
        self._first.add(message)

    def begin_again(self, message: OutgoingMessage) -> None:
        """Wait after a repetition."""
        left = message.left(self._clock.seconds())
        # deadlines all have one length, and the last wait may be shorter
        if left >= self._repeat_seconds:
            self._repeats.add(message)
        else:
            message.last_wait = self._clock.callLater(left, self._timed_out, message)

    def end(self, message: OutgoingMessage) -> None:
        """Do not wait any more."""
        self._first.cancel(message)
        self._repeats.cancel(message)
        cancel(message.last_wait)

    def stop(self) -> None:
        """End all waits."""
        self._first.stop()
        self._repeats.stop()


def wait_after_hint(random: Random, hints: int, left: float) -> float:
    """
    Seconds from a hint to another attempt.

    @param hints: how many there were for the message, this one included.
    @param left: seconds until the message fails.
    """
    # a table that lacked a way may soon have one; at random, since one loss brings hints to many
    wait = random.uniform(MIN_HINT_RETRY_SECONDS, MAX_HINT_RETRY_SECONDS)
    if hints >= MAX_ATTEMPTS:
        wait += LATE_HINT_RETRY_SECONDS * 2 ** (hints - MAX_ATTEMPTS)
    return max(0.0, min(wait, left))

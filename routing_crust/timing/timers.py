"""
Timers: what every holder of a delayed call needs, and how the many timers of an idle process come together.
"""

from __future__ import annotations

from math import ceil, frexp
from typing import Final

from twisted.internet.interfaces import IDelayedCall

SLACK_SHARE: Final = 16
"""What part of its time a timer may be late, so that others are due at the same moment."""
MIN_SLACK_WAIT_SECONDS: Final = 1.0
"""Something is under way where a wait is shorter, so it is kept exactly."""
_ROUNDING_SECONDS: Final = 0.0005


def is_pending(timer: IDelayedCall | None) -> bool:
    """Whether there is a delayed call that is still to come."""
    return timer is not None and timer.active()


def cancel(timer: IDelayedCall | None) -> None:
    """Cancel a delayed call, if there is one and it is still to come."""
    # twisted raises an error for a call that was made or cancelled before
    if timer is not None and timer.active():
        timer.cancel()


def with_slack(seconds: float, now: float) -> float:
    """
    How long to wait instead of C{seconds}, so that a process with many timers wakes up for several at once.
    To wake up costs more than what most of them do.

    The end is a whole number of steps, and a step is the largest power of two that is at most a sixteenth of
    the wait. So all ends of long waits are such of shorter ones as well.

    @param now: the time of the clock that will wait.
    """
    if seconds < MIN_SLACK_WAIT_SECONDS:
        return seconds
    # frexp gives a mantissa below 1
    step = 2.0 ** (frexp(seconds / SLACK_SHARE)[1] - 1)
    return ceil((now + seconds - _ROUNDING_SECONDS) / step) * step - now

"""
Timers: the one thing that every holder of a delayed call needs.
"""

from __future__ import annotations

from twisted.internet.interfaces import IDelayedCall


def is_pending(timer: IDelayedCall | None) -> bool:
    """Whether there is a delayed call that is still to come."""
    return timer is not None and timer.active()


def cancel(timer: IDelayedCall | None) -> None:
    """Cancel a delayed call, if there is one and it is still to come."""
    # twisted raises an error for a call that was made or cancelled before
    if timer is not None and timer.active():
        timer.cancel()

"""
What the datagrams of one place may cost: checks of signatures, answers that wait, and answers that are sent.

Keys are free, so hosts are counted. Each of these has a bound in all, of which no host gets more than is left
for the others: so several that take all they can leave some to one that has taken nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ...timing.ratelimit import KeyedLimits
from ...timing.shares import Held, SharedWindow

MAX_CHECKS_PER_SECOND: Final = 200
MAX_PENDING: Final = 32
ANSWERS_SECONDS: Final = 5.0
"""The time within which L{MAX_ANSWERS} are counted."""
MAX_ANSWERS: Final = 50
_ANSWERS_PER_HOST_AND_SECOND: Final = 2.0
_ANSWERS_PER_HOST_AT_ONCE: Final = 10


class BeaconLimits:
    """
    Made for each place where there is a beacon: a flood on one network takes nothing from another, nor one
    over IPv6, where a host has as many addresses as it likes, from IPv4.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        """
        @param seconds: the clock: C{IReactorTime.seconds}.
        """
        self._checks = SharedWindow(MAX_CHECKS_PER_SECOND, 1.0, seconds)
        self._pending = Held()
        self._answers = SharedWindow(MAX_ANSWERS, ANSWERS_SECONDS, seconds)
        self._answers_to: KeyedLimits[str] = KeyedLimits.of_buckets(
            _ANSWERS_PER_HOST_AND_SECOND, _ANSWERS_PER_HOST_AT_ONCE, seconds
        )

    def may_check(self, host: str) -> bool:
        """Whether the signature of a datagram of this host may be checked now. If so, it is counted."""
        return _taken(self._checks, host)

    def may_wait(self, host: str) -> bool:
        """Whether one more answer to this host may wait for its moment."""
        return self._pending.may_take((host,), MAX_PENDING)

    def waits(self, host: str) -> None:
        """An answer to this host waits."""
        self._pending.add((host,))

    def waited(self, host: str) -> None:
        """It waits no more."""
        self._pending.remove((host,))

    def may_answer(self, host: str) -> bool:
        """Whether this host may be sent an answer now. If so, it is counted."""
        return (
            self._answers_to.wait(host) == 0 and _taken(self._answers, host) and self._answers_to.take(host)
        )


def _taken(window: SharedWindow, host: str) -> bool:
    account = (host,)
    if not window.may_take(account):
        return False
    window.take(account)
    return True

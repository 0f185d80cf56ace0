"""
How often something may come by one link, and by all links of one prefix.

A new link and a new name are free, so neither may bring a new rate: what is counted here belongs to an
account (L{routing_crust.timing.shares}), and is forgotten only when the rate has made it good.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from .ratelimit import KeyedLimits
from .shares import OURSELVES, Account

RATES_PER_PREFIX: Final = 4
"""What all links of a prefix may do, in rates of one link: a busy one leaves something to the others."""


class AccountRates:
    """A rate for each account, and L{RATES_PER_PREFIX} times that for the widest part of it."""

    __slots__ = ("_links", "_prefixes")

    def __init__(self, per_second: float, at_once: float, seconds: Callable[[], float]) -> None:
        """
        @param seconds: the clock: C{IReactorTime.seconds}.
        """
        self._links: KeyedLimits[Account] = KeyedLimits.of_buckets(per_second, at_once, seconds)
        self._prefixes: KeyedLimits[str] = KeyedLimits.of_buckets(
            RATES_PER_PREFIX * per_second, RATES_PER_PREFIX * at_once, seconds
        )

    def take(self, account: Account) -> bool:
        """Count one if both rates allow it, and return whether they do. L{OURSELVES} have no rate."""
        if account == OURSELVES:
            return True
        prefix = account[0]
        # asked first, so that what the prefix may not do costs the link nothing
        return self._prefixes.wait(prefix) <= 0 and self._links.take(account) and self._prefixes.take(prefix)

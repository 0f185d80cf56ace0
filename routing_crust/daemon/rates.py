"""
What streams carry in a second, from one status to the next.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

SMOOTHING: Final = 0.5
"""What the last interval counts for."""

Pair = tuple[float, float]
"""Sent and received."""


class StreamRates:
    """Knows the status before."""

    def __init__(self) -> None:
        self._before: dict[int, Pair] = {}
        self._rates: dict[int, Pair] = {}
        self._at: float | None = None

    def of(self, streams: Iterable[Mapping[str, Any]], now: float) -> dict[int, Pair]:
        """
        Bytes a second of each stream, by its number.

        @param streams: as the status has them.
        @param now: when that was, in seconds.
        """
        passed = 0.0 if self._at is None else now - self._at
        # a daemon of another version may give no numbers
        here = {each["number"]: (each["sent"], each["received"]) for each in streams if "number" in each}
        rates = {number: self._rate(number, figures, passed) for number, figures in here.items()}
        # a second look within the same moment must not make all rates 0
        if passed > 0 or self._at is None:
            self._at, self._before, self._rates = now, here, rates
        return rates

    def _rate(self, number: int, figures: Pair, passed: float) -> Pair:
        old = self._rates.get(number, (0.0, 0.0))
        if passed <= 0:
            return old
        before = self._before.get(number, figures)
        sent, received = (
            round(was + SMOOTHING * ((now - then) / passed - was), 1)
            for was, now, then in zip(old, figures, before, strict=True)
        )
        return sent, received

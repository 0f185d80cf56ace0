"""Drift: whether a figure is the same at the end of a long run as it was at its beginning."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Final

WARM_UP: Final = 0.1
"""The share of the samples, at the beginning, that count for nothing."""
MIN_SAMPLES: Final = 10


def drift(samples: Sequence[float]) -> float:
    """
    By which share of itself a figure has grown: the median of the last quarter of the samples against that of
    the first quarter after the warm-up. A single slow moment does not count, a slope does.

    @raise ValueError: there are fewer than L{MIN_SAMPLES}.
    """
    if len(samples) < MIN_SAMPLES:
        raise ValueError(f"{len(samples)} samples show no drift: at least {MIN_SAMPLES} are needed")
    warm = samples[round(len(samples) * WARM_UP) :]
    quarter = max(2, len(warm) // 4)
    first, last = median(warm[:quarter]), median(warm[-quarter:])
    return last / first - 1 if first else 0.0

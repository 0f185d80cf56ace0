"""What a terminal shows while files are under way."""

from __future__ import annotations

from collections import deque
from typing import Final

from ...text import size_text
from ...transfer.sums import Sums
from ...watching.progress_line import ProgressLine

_AVERAGED: Final = 10
"""Lines over which a rate is averaged."""
_BAR_COLUMNS: Final = 24


class TransferLine(ProgressLine):
    """The share that is there, the rate, and the time that is left."""

    each_seconds = 0.5

    def __init__(self, sums: Sums) -> None:
        super().__init__()
        self._sums = sums
        self._points: deque[tuple[float, int]] = deque(maxlen=_AVERAGED)

    def line(self, now: float) -> str:
        """The line; the rate is that since some lines before."""
        sums = self._sums
        self._points.append((now, sums.covered))
        then, before = self._points[0]
        seconds = now - then
        rate = (sums.covered - before) / seconds if seconds > 0 else 0.0
        share = min(1.0, sums.covered / sums.size) if sums.size else 1.0
        bar = ("#" * int(share * _BAR_COLUMNS)).ljust(_BAR_COLUMNS, ".")
        left = clock_text((sums.size - sums.covered) / rate) if rate else "-:--"
        return (
            f"[{bar}] {100 * share:3.0f} %  {size_text(sums.covered)} of {size_text(sums.size)}  "
            f"{size_text(rate)}/s  {left} left"
        )


def clock_text(seconds: float) -> str:
    """A time as on a clock."""
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

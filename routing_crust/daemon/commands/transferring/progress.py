"""What a terminal shows while files are under way."""

from __future__ import annotations

import sys
from collections import deque
from threading import Event, Thread
from time import monotonic
from types import TracebackType
from typing import Final

from ...text import size_text
from ...transfer.sums import Sums

EACH_SECONDS: Final = 0.5
_AVERAGED: Final = 10
"""Lines over which a rate is averaged."""
_BAR_COLUMNS: Final = 24
_ERASE: Final = "\r\x1b[K"


class TransferLine:
    """
    On a terminal a line that is written again and again, and is gone at the end. A context manager.
    """

    def __init__(self, sums: Sums) -> None:
        self._sums = sums
        self._over = Event()
        self._points: deque[tuple[float, int]] = deque(maxlen=_AVERAGED)
        self._thread = Thread(target=self._show, daemon=True)

    def __enter__(self) -> TransferLine:
        if sys.stderr.isatty():
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
            _write(_ERASE)

    def line(self, now: float) -> str:
        """
        The line.

        @param now: the time in seconds.
        """
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

    def _show(self) -> None:
        while not self._over.wait(EACH_SECONDS):
            _write(f"{_ERASE}{self.line(monotonic())}")


def clock_text(seconds: float) -> str:
    """A time as on a clock."""
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _write(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()

"""A line on the terminal that says how far something is, written again and again by a thread of its own."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from threading import Event, Thread
from time import monotonic
from types import TracebackType
from typing import Final

ERASE: Final = "\r\x1b[K"


class ProgressLine(ABC):
    """
    A context manager. On a terminal the line is there from soon after the beginning to the end, when it is
    erased; elsewhere only the text of the end is written.

    @cvar each_seconds: the time from one line to the next.
    """

    each_seconds: float

    def __init__(self) -> None:
        self._over = Event()
        self._thread = Thread(target=self._show, daemon=True)

    def __enter__(self) -> None:
        if sys.stderr.isatty():
            self._thread.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        erase = ""
        # the line may be on its way to the terminal: what erases it must come after it
        if self._thread.is_alive():
            self._thread.join()
            erase = ERASE
        write_error(f"{erase}{self.end_text()}")

    @abstractmethod
    def line(self, now: float) -> str:
        """
        The line.

        @param now: the time in seconds.
        """

    def end_text(self) -> str:
        """What stays, with the end of its line; nothing, if a class does not say otherwise."""
        return ""

    def _show(self) -> None:
        while not self._over.wait(self.each_seconds):
            write_error(f"{ERASE}{self.line(monotonic())}")


def write_error(text: str) -> None:
    """Write to the standard error at once, though the line may have no end."""
    sys.stderr.write(text)
    sys.stderr.flush()

"""C{pipe --progress}: a line that shows what is carried."""

from __future__ import annotations

from time import monotonic

from ...text import size_text
from ...watching.progress_line import ProgressLine
from .carrying import PipeCarrier


class CarriedLine(ProgressLine):
    """The bytes of both directions and their rates; at the end a line with the sums."""

    each_seconds = 1.0

    def __init__(self, carrier: PipeCarrier, began: float | None = None) -> None:
        """
        @param began: the time in seconds; without it, now.
        """
        super().__init__()
        self._carrier = carrier
        self._began = self._at = monotonic() if began is None else began
        self._before = (0, 0)

    def line(self, now: float) -> str:
        """The line; the rates are those since the line before."""
        seconds, self._at = now - self._at, now
        before, self._before = self._before, (self._carrier.sent, self._carrier.received)
        parts = (
            f"{verb} {size_text(now)} ({size_text((now - then) / seconds)}/s)"
            for verb, now, then in zip(("sent", "received"), self._before, before, strict=True)
        )
        return ", ".join(parts)

    def end_text(self) -> str:
        """The sums, and how long it took."""
        sent, received = self._carrier.sent, self._carrier.received
        seconds = monotonic() - self._began
        return f"sent {size_text(sent)}, received {size_text(received)} in {seconds:.1f} s\n"

"""C{pipe --progress}: a line that shows what is carried."""

from __future__ import annotations

import sys
from threading import Event, Thread
from time import monotonic
from types import TracebackType
from typing import Final

from ...text import size_text
from .carrying import Carrier

EACH_SECONDS: Final = 1.0
_ERASE: Final = "\r\x1b[K"


class CarriedLine:
    """
    On a terminal a line that is written again and again; at the end a line with the sums. A context manager.
    """

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier
        self._over = Event()
        self._began = monotonic()
        self._before = (0, 0)
        self._thread = Thread(target=self._show, daemon=True)

    def __enter__(self) -> CarriedLine:
        if sys.stderr.isatty():
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        erase = ""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
            erase = _ERASE
        sent, received = self._carrier.sent, self._carrier.received
        seconds = monotonic() - self._began
        _write(f"{erase}sent {size_text(sent)}, received {size_text(received)} in {seconds:.1f} s\n")

    def _show(self) -> None:
        at = self._began
        while not self._over.wait(EACH_SECONDS):
            now = monotonic()
            _write(f"{_ERASE}{self.line(now - at)}")
            at = now

    def line(self, seconds: float) -> str:
        """
        The line now.

        @param seconds: since the one before.
        """
        before, self._before = self._before, (self._carrier.sent, self._carrier.received)
        parts = (
            f"{verb} {size_text(now)} ({size_text((now - then) / seconds)}/s)"
            for verb, now, then in zip(("sent", "received"), self._before, before, strict=True)
        )
        return ", ".join(parts)


def _write(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()

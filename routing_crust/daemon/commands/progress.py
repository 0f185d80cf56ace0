"""
What a terminal shows while a command waits: one line, which is gone when there is a result.
"""

from __future__ import annotations

import sys
from types import TracebackType

from ..text import size_text

_ERASE = "\r\x1b[K"


class Progress:
    """A context manager, for one message. Where the standard error is no terminal nothing is shown."""

    def __init__(self, who: str, size: int) -> None:
        """
        @param who: what the operator calls the peer.
        @param size: the number of bytes that it is sent.
        """
        self._what = f"{size_text(size)} for {who}"
        self._shown = False

    def waiting(self, seconds: float) -> None:
        """Show that the message has been under way for so long."""
        if sys.stderr.isatty():
            self._write(f"{_ERASE}waiting for {self._what}: {seconds:.0f} s")
            self._shown = True

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._shown:
            self._write(_ERASE)

    def _write(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()

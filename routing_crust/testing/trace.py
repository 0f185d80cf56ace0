"""
The trace of a run: all that happens, in order, as lines; or just their hash.

Two runs with equal hashes were the same: every dial, link, frame, state and fault, at the same time.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b

_Field = str | int | float


class Trace:
    """
    Made with a network, fed by everything in it.

    @ivar lines: what has happened so far, if that is kept.
    """

    def __init__(self, seconds: Callable[[], float], keep: bool = False) -> None:
        """
        @param seconds: tells the time.
        @param keep: whether L{lines} are kept.
        """
        self._seconds = seconds
        self._hash = blake2b(digest_size=16)
        self._keep = keep
        self.lines: list[str] = []

    def note(self, what: str, *fields: _Field) -> None:
        """
        Something has happened.

        @param fields: what else there is to say; texts, and numbers that are the same in each run.
        """
        line = f"{self._seconds():.6f} {what} {' '.join(map(str, fields))}"
        self._hash.update(line.encode())
        if self._keep:
            self.lines.append(line)

    def hash(self) -> str:
        """The hash of all that has happened so far, as text."""
        return self._hash.hexdigest()

"""
Text that is shown in the place of the text before: on a terminal by the escapes that all of them know,
elsewhere one text after the other.
"""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Mapping
from typing import Final, TextIO

MIN_COLUMNS: Final = 20
"""Narrower terminals wrap lines themselves."""
_INDENT: Final = " " * 6
_HOME: Final = "\x1b[H"
_CLEAR: Final = "\x1b[2J"
_END_OF_LINE: Final = "\x1b[K"
_REST: Final = "\x1b[J"
_HIDE_CURSOR: Final = "\x1b[?25l"
_SHOW_CURSOR: Final = "\x1b[?25h"


class Paper:
    """A pipe or a file: the texts follow each other, with an empty line between them."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._written = False

    def show(self, text: str) -> None:
        """Write a text."""
        self._out.write(f"\n{text}\n" if self._written else f"{text}\n")
        self._out.flush()
        self._written = True

    def close(self) -> None:
        """Nothing is left to do."""


class Screen:
    """
    A terminal: a text takes the place of the one before. Lines are wrapped, and of too many the last are left
    out.
    """

    def __init__(self, out: TextIO, size: Callable[[], tuple[int, int]]) -> None:
        """
        @param size: gives the columns and lines of the terminal, which may change.
        """
        self._out = out
        self._size = size
        self._begun = False

    def show(self, text: str) -> None:
        """Show a text."""
        columns, rows = self._size()
        lines = [row for line in text.split("\n") for row in _wrapped(line, columns)]
        # the last row stays free, so that nothing scrolls
        room = max(1, rows - 1)
        if len(lines) > room:
            lines = [*lines[: room - 1], f"... and {len(lines) - room + 1} more lines"]
        begin = _HOME if self._begun else f"{_HIDE_CURSOR}{_CLEAR}{_HOME}"
        self._begun = True
        # all at once, so that nobody sees half of it
        shown = "".join(f"{line}{_END_OF_LINE}\n" for line in lines)
        self._out.write(f"{begin}{shown}{_REST}")
        self._out.flush()

    def close(self) -> None:
        """Leave the last text where it is."""
        if self._begun:
            self._out.write(_SHOW_CURSOR)
            self._out.flush()


def screen_of(out: TextIO = sys.stdout, environment: Mapping[str, str] = os.environ) -> Screen | Paper:
    """What the output is."""
    if out.isatty() and environment.get("TERM", "dumb") != "dumb":
        return Screen(out, shutil.get_terminal_size)
    return Paper(out)


def _wrapped(line: str, columns: int) -> list[str]:
    width = max(columns, MIN_COLUMNS)
    return textwrap.wrap(line, width, subsequent_indent=_INDENT, break_on_hyphens=False) or [""]

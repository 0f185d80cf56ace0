"""L{routing_crust.daemon.watching.progress_line}."""

from __future__ import annotations

import io
import sys
from threading import Event

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.daemon.watching.progress_line import ProgressLine

GENEROUS_SECONDS = 120.0


class Terminal(io.StringIO):
    """A standard error that says whether it is a terminal."""

    def __init__(self, there: bool) -> None:
        super().__init__()
        self._there = there

    def isatty(self) -> bool:
        return self._there


class Counted(ProgressLine):
    """Numbers its lines, and tells when there are two."""

    each_seconds = 0.001

    def __init__(self) -> None:
        super().__init__()
        self.lines = 0
        self.two = Event()

    def line(self, now: float) -> str:
        self.lines += 1
        if self.lines == 3:
            # the second has been written
            self.two.set()
        return f"line {self.lines}"

    def end_text(self) -> str:
        return f"{self.lines} lines\n"


class Unended(Counted):
    """Leaves nothing behind."""

    def end_text(self) -> str:
        return ProgressLine.end_text(self)


class ProgressLineTests(SynchronousTestCase):
    def shown(self, line: Counted, terminal: bool) -> str:
        """What is written while two lines are waited for."""
        error = Terminal(terminal)
        self.patch(sys, "stderr", error)
        with line:
            if terminal:
                self.assertTrue(line.two.wait(GENEROUS_SECONDS))
        self.assertFalse(line._thread.is_alive())
        return error.getvalue()

    def test_line_takes_the_place_of_the_one_before_and_is_erased_at_the_end(self) -> None:
        line = Counted()
        texts = self.shown(line, terminal=True).split("\r\x1b[K")
        numbered = [f"line {each + 1}" for each in range(line.lines)]
        self.assertEqual(texts, ["", *numbered, f"{line.lines} lines\n"])

    def test_nothing_is_left_where_there_is_no_text_for_the_end(self) -> None:
        self.assertTrue(self.shown(Unended(), terminal=True).endswith("\r\x1b[K"))
        self.assertEqual(self.shown(Unended(), terminal=False), "")

    def test_where_there_is_no_terminal_only_the_end_is_written(self) -> None:
        self.assertEqual(self.shown(Counted(), terminal=False), "0 lines\n")

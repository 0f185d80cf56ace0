"""One line a second for each cause."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.logger import Logger, LogLevel, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.quietlog import QuietLog


class QuietLogTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.events: list[dict[str, object]] = []
        self.quiet = QuietLog(Logger("here", observer=self.events.append), self.clock.seconds)

    @property
    def lines(self) -> list[str]:
        return [formatEvent(each) for each in self.events]

    def test_each_cause_gets_one_line_a_second(self) -> None:
        """What is left out is counted by the next line of the same cause."""
        for number in range(5):
            self.quiet.info("knocks", "knock {number}", number=number)
        self.clock.advance(1)
        self.quiet.warn("knocks", "knock {number}", number=5)
        self.clock.advance(1)
        self.quiet.info("knocks", "knock {number}", number=6)
        self.assertEqual(self.lines, ["knock 0", "knock 5 (4 more like this were left out)", "knock 6"])
        self.assertEqual(self.events[1]["log_level"], LogLevel.warn)

    def test_causes_are_limited_separately(self) -> None:
        """One cause does not silence another."""
        self.quiet.info("a", "first")
        self.quiet.info("b", "second")
        self.assertEqual(self.lines, ["first", "second"])

    def test_flush_tells_once_what_was_left_out(self) -> None:
        for _ in range(3):
            self.quiet.info("a", "first")
        self.quiet.flush()
        self.quiet.flush()
        self.assertEqual(self.lines, ["first", "2 more lines like the last about a"])

    def test_clock_set_back_silences_no_cause(self) -> None:
        """Setting the clock back silences nothing."""
        self.quiet.info("a", "first")
        self.clock.rightNow -= 500
        self.quiet.info("a", "second")
        self.assertEqual(self.lines, ["first", "second"])

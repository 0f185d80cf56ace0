"""What peers cause is logged a few times for each cause and prefix."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.logger import Logger, LogLevel, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.quietlog import MAX_INTERVAL_SECONDS, MAX_PREFIXES, PREFIXES_AT_ONCE, QuietLog


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
        self.clock.advance(2)
        self.quiet.info("knocks", "knock {number}", number=6)
        self.assertEqual(self.lines, ["knock 0", "knock 5 (4 more like this were left out)", "knock 6"])
        self.assertEqual(self.events[1]["log_level"], LogLevel.warn)

    def knock(self, by: str = "", times: int = 1) -> int:
        """How many lines these knocks lead to."""
        before = len(self.events)
        for _ in range(times):
            self.quiet.info("knocks", "knock", by=by)
        return len(self.events) - before

    def test_prefixes_are_limited_separately(self) -> None:
        """A flood from one hides nothing of what others cause."""
        self.knock("192.0.2.0/24", 1000)
        self.assertEqual(self.knock("198.51.100.0/24"), 1)

    def test_cause_is_limited_in_all(self) -> None:
        """However many prefixes there are, it has a few lines at once and one a second."""
        self.assertEqual(sum(self.knock(str(number)) for number in range(500)), PREFIXES_AT_ONCE)
        self.clock.advance(10)
        self.assertEqual(sum(self.knock(str(number)) for number in range(500, 1000)), PREFIXES_AT_ONCE)
        self.clock.advance(1)
        self.assertEqual(sum(self.knock(str(number)) for number in range(1000, 1500)), 1)

    def test_waits_grow_to_a_minute_while_lines_are_left_out(self) -> None:
        lines = 0
        for _ in range(3600):
            self.clock.advance(1)
            lines += self.knock("192.0.2.0/24", 10)
        self.assertLess(lines, 70)
        self.assertGreater(lines, 55)
        self.clock.advance(2 * MAX_INTERVAL_SECONDS)
        self.knock("192.0.2.0/24")
        self.clock.advance(1)
        self.assertEqual(self.knock("192.0.2.0/24"), 1)

    def test_rare_lines_are_never_left_out(self) -> None:
        for _ in range(100):
            self.clock.advance(1)
            self.assertEqual(self.knock(), 1)

    def test_burst_lets_a_few_through_at_once(self) -> None:
        self.quiet = QuietLog(Logger("here", observer=self.events.append), self.clock.seconds, burst=5)
        self.assertEqual(self.knock("a", 20), 5)
        self.assertEqual(self.knock("b", 20), 5)

    def test_prefixes_do_not_pile_up(self) -> None:
        for number in range(3 * MAX_PREFIXES):
            self.knock(str(number))
        self.assertEqual(len(self.quiet._lines), MAX_PREFIXES)

    def test_failure_is_logged_with_its_traceback(self) -> None:
        problem = Failure(ValueError("a handler's mistake"))
        for _ in range(2):
            self.quiet.failure("handlers", "the handler of {what} raised", problem, what="knocks")
        (event,) = self.events
        self.assertEqual(event["log_failure"].getErrorMessage(), "a handler's mistake")  # type: ignore[attr-defined]
        self.assertEqual(formatEvent(event), "the handler of knocks raised")

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

"""The table of behaviours in the documentation: it is complete, and it can be renewed row by row."""

from __future__ import annotations

import csv
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from .__main__ import HEAD, MAX_JOIN_SECONDS, as_text, row, update_table
from .behaviour import BEHAVIOURS, KEPT
from .measure import Outcome

DOCS = Path(__file__).resolve().parents[2] / "docs"
MAX_PING_SECONDS = 0.05


def rows_of(path: Path) -> dict[str, dict[str, str]]:
    """The rows of a table by the names of behaviours."""
    with path.open(encoding="utf-8", newline="") as file:
        return {each["behaviour"].partition(":")[0]: each for each in csv.DictReader(file)}


class DocumentedTableTests(SynchronousTestCase):
    """Of an open network."""

    table = "behaviours.csv"

    def setUp(self) -> None:
        if not DOCS.exists():
            raise SkipTest("the documentation is not here: it is not installed")
        self.rows = rows_of(DOCS / self.table)

    def test_table_names_every_behaviour_in_its_words_and_no_other(self) -> None:
        documented = [each["behaviour"] for each in self.rows.values()]
        self.assertEqual(documented, [f"{each.name}: {each.what}" for each in BEHAVIOURS.values()])

    def test_no_cell_is_empty(self) -> None:
        for name, each in self.rows.items():
            self.assertEqual(tuple(each), HEAD)
            self.assertNotIn("", each.values(), name)

    def test_every_flood_was_measured_with_newcomers_and_none_was_kept_out(self) -> None:
        for name, each in self.rows.items():
            if BEHAVIOURS[name].flood:
                self.assertLessEqual(float(each["slowest"].removesuffix(" s")), MAX_JOIN_SECONDS, name)

    def test_log_explains_every_behaviour(self) -> None:
        self.assertEqual([name for name, each in self.rows.items() if not each["log"].startswith("yes")], [])

    def test_no_behaviour_slows_down_the_honest_peer(self) -> None:
        for name, each in self.rows.items():
            ping = float(each["ping"].partition(" ms")[0]) / 1000
            self.assertLess(ping, MAX_PING_SECONDS, name)


class DocumentedPrivateTableTests(DocumentedTableTests):
    """Of a private network, whose certificates the client has none of."""

    table = "behaviours-private.csv"

    def test_nothing_is_tolerated(self) -> None:
        self.assertEqual([name for name, each in self.rows.items() if each["reaction"] == KEPT], [])


class TableTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.outcome = Outcome(("closed, goodbye 2",), 1 << 20, 0.25, 3, pings=[0.002], joins=[0.5, 1.5])
        self.names = list(BEHAVIOURS)

    def line(self, name: str) -> tuple[str, ...]:
        return row(BEHAVIOURS[name], self.outcome)

    def test_row_has_a_cell_for_each_column(self) -> None:
        behaviour = BEHAVIOURS[self.names[0]]
        self.assertEqual(
            self.line(self.names[0])[1:],
            ("closed, goodbye 2", "+1.0 MiB", "25 %", "+3", "2.0 ms", "2 of 2", "1.5 s", "no"),
        )
        self.assertEqual(self.line(self.names[0])[0], f"{behaviour.name}: {behaviour.what}")

    def test_newcomer_that_still_waits_counts_as_the_slowest(self) -> None:
        self.outcome.waiting.append(7.0)
        self.assertEqual(self.line(self.names[0])[6:8], ("2 of 3", "7.0 s"))

    def test_lines_about_honest_peers_explain_nothing(self) -> None:
        self.outcome.log = [
            "link from node x at 127.0.0.1:5 for attached",
            "closing the link to y at 127.66.0.6:33237: a frame of 99 bytes",
            "too many accepted links (limit 8, setting max_links)",
        ]
        self.assertEqual(self.line(self.names[0])[8], "yes, 2")

    def test_behaviour_that_is_played_again_takes_the_place_of_its_row(self) -> None:
        update_table(self.path, [self.line(each) for each in self.names[:3]])
        self.outcome.descriptors = 9
        update_table(self.path, [self.line(self.names[1])])
        found = rows_of(self.path)
        self.assertEqual(list(found), self.names[:3])
        self.assertEqual([each["descriptors"] for each in found.values()], ["+3", "+9", "+3"])

    def test_row_of_a_behaviour_that_is_gone_is_left_out(self) -> None:
        update_table(self.path, [("flying: it is no behaviour", *self.line(self.names[0])[1:])])
        update_table(self.path, [self.line(self.names[2]), self.line(self.names[0])])
        self.assertEqual(list(rows_of(self.path)), [self.names[0], self.names[2]])

    def test_table_for_a_terminal_has_names_only(self) -> None:
        self.assertNotIn(":", as_text([self.line(self.names[0])]).split("\n")[1])

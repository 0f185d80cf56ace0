"""A download through a forward outlives three short breaks; the others are played by command."""

from __future__ import annotations

from functools import partial
from typing import Final

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from ..lab import why_not
from ..namespaces import PATIENCE
from ..router import Nat
from .breaks import kill_relay, reset, silence
from .download import Download
from .household import Household
from .table import Played, as_csv
from .traffic import Traffic

MIB: Final = 1 << 20


class BreakTests(SynchronousTestCase):
    def test_every_byte_of_a_download_comes_though_its_link_breaks(self) -> None:
        """The relay of its tunnel is killed; nothing comes through for seconds; its connection is reset."""
        reason = why_not(delay=True)
        if reason:
            raise SkipTest(reason)
        with Household(Nat.SYMMETRIC) as household:
            download = Download(household, 8 * MIB, MIB)
            for play in (kill_relay, partial(silence, "bob", 3), partial(reset, "alice")):
                play(household)
                # more than may be on the way, at this rate
                download.goes_on(MIB)
            download.finish(PATIENCE)


class TableTests(SynchronousTestCase):
    """What the table is made of."""

    def of(self, *arrivals: float) -> Traffic:
        traffic = Traffic.__new__(Traffic)
        traffic._arrivals = [(at, 0) for at in arrivals]
        return traffic

    def test_pause_counts_from_the_return_of_the_path(self) -> None:
        broken, back = 10.0, 15.0
        self.assertEqual(self.of(9.0, 9.9, 17.5, 17.6).pause(broken, back), 2.5)

    def test_pause_after_a_break_without_duration_is_the_longest_one(self) -> None:
        """A few bytes still come after it."""
        self.assertAlmostEqual(self.of(9.9, 10.1, 12.1, 12.2).pause(10.0, 10.0), 2.0)

    def test_pauses_before_the_break_do_not_count(self) -> None:
        self.assertAlmostEqual(self.of(1.0, 9.0, 9.5, 10.5, 10.6).pause(9.6, 9.6), 0.9)

    def test_table_has_the_median_and_the_longest_of_each_kind(self) -> None:
        played = [("a", 1.0), ("b, c", 0.04), ("a", 2.0), ("a", 4.0)]
        rows = as_csv([Played(kind, {"download": seconds}) for kind, seconds in played])
        self.assertEqual(rows.splitlines()[1:], ["a,3,2.0,4.0", '"b, c",1,0.0,0.0'])

    def test_table_of_several_programs_has_the_longest_of_each(self) -> None:
        rows = as_csv([Played("a", {"ssh": 1.0, "psql": 2.0}), Played("a", {"ssh": 3.0, "psql": 0.5})])
        self.assertEqual(rows.splitlines(), ["what happens,times,ssh,psql", "a,2,3.0,2.0"])

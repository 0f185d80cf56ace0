"""A clock that is a day off locks no member out, and is named."""

from __future__ import annotations

from .private_case import DAY, PrivateCase


class WrongClockTests(PrivateCase):
    members = 5

    def restarted(self, off: float) -> None:
        node = self.nodes[3]
        node.crash()
        node.jump_clock(off)
        self.net.run_for(1)
        node.restart()
        self.net.run_until(lambda: node.joined, 60)
        self.net.run_for(30)
        self.assertEqual(len(self.links_to(node)), 4)

    def test_member_whose_clock_is_a_day_ahead_is_let_in_and_told(self) -> None:
        self.restarted(DAY)
        self.assertEqual(len(self.logged("the clock of this host says 2025-06-16", "set the clock")), 1)

    def test_member_whose_clock_is_a_day_behind_is_let_in_and_told(self) -> None:
        """Certificates of today are of the future for it."""
        self.restarted(-DAY)
        self.assertEqual(len(self.logged("the clock of this host says 2025-06-14", "set the clock")), 1)

    def test_right_clocks_are_not_spoken_of(self) -> None:
        self.net.run_for(60)
        self.assertEqual(self.logged("set the clock"), [])

    def test_member_whose_clock_is_years_behind_is_told_both_times(self) -> None:
        """A board without a battery: it finds all certificates too new."""
        node = self.nodes[3]
        node.crash()
        node.jump_clock(-10 * 365 * DAY)
        self.net.run_for(1)
        node.restart()
        self.net.run_for(30)
        self.assertTrue(self.logged("one of the two clocks is wrong"))

"""Waits that may be a little longer, so that their ends come together."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.timing.timers import SLACK_SHARE, with_slack

NOW = 1_700_000_000.0


class SlackTests(SynchronousTestCase):
    def test_waits_that_begin_within_one_step_end_at_one_moment(self) -> None:
        begins = [NOW + each / 10 for each in range(1, 11)]
        self.assertEqual({begin + with_slack(20.0, begin) for begin in begins}, {NOW + 21})

    def test_ends_of_long_waits_are_ends_of_short_ones(self) -> None:
        end = 7.3 + with_slack(20.0, 7.3)
        self.assertAlmostEqual(with_slack(2.0, end - 2.0), 2.0)

    def test_wait_of_less_than_a_second_is_exact(self) -> None:
        self.assertEqual(with_slack(0.5, NOW + 0.3), 0.5)

    def test_wait_that_ends_at_a_step_is_not_lengthened_by_rounding(self) -> None:
        now = sum([0.1] * 10)
        self.assertAlmostEqual(with_slack(20.0, now), 20.0)

    @given(st.floats(0.001, 1e6), st.floats(0, 2e9))
    def test_no_wait_is_longer_by_more_than_its_share(self, seconds: float, now: float) -> None:
        self.assertLessEqual(with_slack(seconds, now), seconds * (1 + 1 / SLACK_SHARE) + 0.001)
        self.assertGreaterEqual(with_slack(seconds, now), seconds - 0.001)

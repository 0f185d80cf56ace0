"""
Tests for L{routing_crust.timing.backoff}.
"""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.timing.backoff import Backoff


class BackoffTests(SynchronousTestCase):
    def test_waits_grow_by_the_factor_up_to_the_limit(self) -> None:
        backoff = Backoff(1, 1.5, 6)
        waits = [backoff.next_wait() for _ in range(7)]
        self.assertEqual(waits, [1, 1.5, 2.25, 3.375, 5.0625, 6, 6])

    def test_reset_begins_with_the_first_wait_again(self) -> None:
        backoff = Backoff(1, 2, 6)
        for _ in range(3):
            backoff.next_wait()
        backoff.reset()
        self.assertEqual((backoff.bound, backoff.next_wait()), (1, 1))

    def test_wait_after_a_given_one_changes_nothing(self) -> None:
        """Owners with a wait for each peer keep the waits themselves."""
        backoff = Backoff(10, 2, 60)
        self.assertEqual([backoff.after(each) for each in (0.0, 10, 20, 40, 60)], [10, 20, 40, 60, 60])
        self.assertEqual(backoff.bound, 10)

    def test_full_jitter_spreads_waits_from_nothing_to_the_bound(self) -> None:
        backoff = Backoff(10, 1.5, 10, 1.0, Random(3))
        waits = [backoff.next_wait() for _ in range(1000)]
        self.assertTrue(all(0 <= each <= 10 for each in waits))
        for tenth in range(10):
            self.assertGreater(sum(tenth <= each < tenth + 1 for each in waits), 50)

    def test_some_jitter_takes_away_no_more_than_its_part(self) -> None:
        backoff = Backoff(100, 1, 100, 0.1, Random(3))
        waits = [backoff.next_wait() for _ in range(1000)]
        self.assertTrue(all(90 <= each <= 100 for each in waits))
        self.assertLess(min(waits), 91)
        self.assertGreater(max(waits), 99)

    def test_same_seed_gives_the_same_waits(self) -> None:
        one, other = (Backoff(1, 1.5, 60, 1.0, Random(7)) for _ in range(2))
        self.assertEqual([one.next_wait() for _ in range(20)], [other.next_wait() for _ in range(20)])

    def test_jitter_without_randomness_is_refused(self) -> None:
        self.assertRaises(ValueError, Backoff, 1, 2, 3, 0.5)

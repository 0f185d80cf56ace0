"""Rate limits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.ratelimit import TokenBucket


class TokenBucketTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.bucket = TokenBucket(2.0, 5, self.clock.seconds)

    def test_full_at_first(self) -> None:
        """A burst goes through at once, and not one more."""
        self.assertEqual([self.bucket.take() for _ in range(6)], [True] * 5 + [False])
        self.assertFalse(self.bucket.full)

    def test_fills_at_its_rate_up_to_the_burst(self) -> None:
        """Tokens flow in with time and never exceed the burst."""
        self.assertTrue(self.bucket.take(5))
        self.clock.advance(1.5)
        self.assertAlmostEqual(self.bucket.tokens, 3.0)
        self.clock.advance(1000)
        self.assertEqual(self.bucket.tokens, 5.0)
        self.assertTrue(self.bucket.full)

    def test_a_refusal_takes_nothing(self) -> None:
        """Asking for too much leaves the bucket as it was."""
        self.assertFalse(self.bucket.take(5.5))
        self.assertTrue(self.bucket.take(5))

    def test_wait(self) -> None:
        """The wait is exact; what can never be had is waited for without end."""
        self.assertEqual(self.bucket.wait(5), 0.0)
        self.bucket.take(5)
        self.assertAlmostEqual(self.bucket.wait(3), 1.5)
        self.assertEqual(self.bucket.wait(6), float("inf"))

    def test_spending_more_than_there_is(self) -> None:
        """A debt has to flow in before anything else goes through."""
        self.bucket.spend(9)
        self.assertAlmostEqual(self.bucket.tokens, -4.0)
        self.assertAlmostEqual(self.bucket.wait(), 2.5)
        self.clock.advance(2.5)
        self.assertTrue(self.bucket.take())

    def test_a_clock_that_is_set_back(self) -> None:
        """It gives nothing and takes nothing, and the flow goes on from there."""
        self.bucket.take(5)
        self.clock.rightNow -= 86400
        self.assertEqual(self.bucket.tokens, 0.0)
        self.clock.advance(1)
        self.assertAlmostEqual(self.bucket.tokens, 2.0)

    def test_of_nothing(self) -> None:
        """A bucket that could let nothing through is a mistake."""
        for rate, burst in ((0, 1), (1, 0), (-1, 1), (float("nan"), 1)):
            with self.assertRaises(ValueError):
                TokenBucket(rate, burst, self.clock.seconds)

    @given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 20)), max_size=40))
    def test_never_more_than_the_rate(self, steps: list[tuple[float, float]]) -> None:
        """However it is asked, no more goes through than the burst and what has flowed in."""
        clock = Clock()
        bucket = TokenBucket(3.0, 7, clock.seconds)
        taken = 0.0
        for pause, amount in steps:
            clock.advance(pause)
            wait = bucket.wait(amount)
            got = bucket.take(amount)
            self.assertEqual(got, wait == 0.0)
            taken += amount if got else 0.0
            self.assertLessEqual(taken, 7 + 3.0 * clock.seconds() + 1e-6)
            self.assertLessEqual(bucket.tokens, 7)

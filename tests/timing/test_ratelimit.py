"""
Tests for L{routing_crust.timing.ratelimit}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.timing.ratelimit import SWEEP_AT_KEYS, KeyedLimits, SlidingWindow, TokenBucket


class TokenBucketTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.bucket = TokenBucket(2.0, 5, self.clock.seconds)

    def test_bucket_is_full_at_first(self) -> None:
        """A burst goes through at once, and not one more."""
        self.assertEqual([self.bucket.take() for _ in range(6)], [True] * 5 + [False])
        self.assertFalse(self.bucket.unused)

    def test_bucket_fills_at_its_rate_up_to_the_burst(self) -> None:
        """Tokens flow in with time and never exceed the burst."""
        self.assertTrue(self.bucket.take(5))
        self.clock.advance(1.5)
        self.assertAlmostEqual(self.bucket.tokens, 3.0)
        self.clock.advance(1000)
        self.assertEqual(self.bucket.tokens, 5.0)
        self.assertTrue(self.bucket.unused)

    def test_refusal_takes_no_tokens(self) -> None:
        """Asking for too much leaves the bucket as it was."""
        self.assertFalse(self.bucket.take(5.5))
        self.assertTrue(self.bucket.take(5))

    def test_wait_is_exact_and_endless_for_what_can_never_be_had(self) -> None:
        self.assertEqual(self.bucket.wait(5), 0.0)
        self.bucket.take(5)
        self.assertAlmostEqual(self.bucket.wait(3), 1.5)
        self.assertEqual(self.bucket.wait(6), float("inf"))

    def test_debt_is_paid_before_anything_else_passes(self) -> None:
        self.bucket.spend(9)
        self.assertAlmostEqual(self.bucket.tokens, -4.0)
        self.assertAlmostEqual(self.bucket.wait(), 2.5)
        self.clock.advance(2.5)
        self.assertTrue(self.bucket.take())

    def test_clock_set_back_gives_and_takes_no_tokens(self) -> None:
        """It gives nothing and takes nothing, and the flow goes on from there."""
        self.bucket.take(5)
        self.clock.rightNow -= 86400
        self.assertEqual(self.bucket.tokens, 0.0)
        self.clock.advance(1)
        self.assertAlmostEqual(self.bucket.tokens, 2.0)

    def test_bucket_that_lets_nothing_through_is_refused(self) -> None:
        for rate, burst in ((0, 1), (1, 0), (-1, 1), (float("nan"), 1)):
            with self.assertRaises(ValueError):
                TokenBucket(rate, burst, self.clock.seconds)

    @given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 20)), max_size=40))
    def test_bucket_never_lets_through_more_than_its_rate(self, steps: list[tuple[float, float]]) -> None:
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


class SlidingWindowTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()

    def window(self, most: float = 3, span: float = 60.0) -> SlidingWindow:
        return SlidingWindow(most, span, self.clock.seconds)

    def test_no_span_holds_more_than_the_limit(self) -> None:
        """Three at once, and then none until the first is a whole span ago."""
        window = self.window()
        self.assertEqual([window.take() for _ in range(4)], [True, True, True, False])
        self.assertEqual(window.wait(), 60.0)
        self.clock.advance(59.5)
        self.assertFalse(window.take())
        self.assertEqual(window.wait(), 0.5)
        self.clock.advance(0.5)
        self.assertEqual(window.wait(), 0.0)
        self.assertEqual([window.take() for _ in range(4)], [True, True, True, False])

    def test_window_is_unused_again_once_its_span_has_passed(self) -> None:
        window = self.window()
        self.assertTrue(window.unused)
        window.take()
        self.assertFalse(window.unused)
        self.clock.advance(60)
        self.assertTrue(window.unused)

    def test_fractions_are_left_out_but_one_always_passes(self) -> None:
        """They are left out, but one is always let through."""
        window = self.window(0.5)
        self.assertEqual([window.take(), window.take()], [True, False])
        window = self.window(2.9)
        self.assertEqual([window.take() for _ in range(3)], [True, True, False])

    def test_window_that_lets_nothing_through_is_refused(self) -> None:
        for most, span in ((0, 60), (3, 0), (-1, 60)):
            with self.assertRaises(ValueError):
                self.window(most, span)

    @given(st.lists(st.floats(0, 30), max_size=60))
    def test_no_span_holds_more_than_the_limit_in_any_order(self, steps: list[float]) -> None:
        """Whatever the order, no span of time has more than that."""
        clock, times = Clock(), []
        window = SlidingWindow(3, 60.0, clock.seconds)
        for step in steps:
            clock.advance(step)
            if window.take():
                times.append(clock.seconds())
        for number, time in enumerate(times):
            self.assertLessEqual(len([each for each in times[number:] if each < time + 60]), 3)


class KeyedLimitsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.limits: KeyedLimits[int] = KeyedLimits(lambda: TokenBucket(1.0, 2, self.clock.seconds))

    def test_each_key_has_a_limit_of_its_own(self) -> None:
        self.assertEqual([self.limits.take(1) for _ in range(3)], [True, True, False])
        self.assertTrue(self.limits.take(2))
        self.assertEqual((self.limits.wait(1), self.limits.wait(2)), (1.0, 0.0))

    def test_asking_how_long_to_wait_makes_no_limit(self) -> None:
        self.assertEqual((self.limits.wait(1), len(self.limits)), (0.0, 0))

    def test_unused_limits_are_dropped_when_there_are_many(self) -> None:
        for key in range(SWEEP_AT_KEYS):
            self.limits.take(key)
        self.clock.advance(0.5)
        self.limits.take(0)
        self.clock.advance(0.5)
        self.limits.take(SWEEP_AT_KEYS)
        self.assertEqual(len(self.limits), 2)
        self.assertEqual(self.limits.wait(0), 0.0)
        self.assertEqual([self.limits.take(0), self.limits.take(0)], [True, False])

    def test_limits_in_use_are_kept_however_many_there_are(self) -> None:
        """They are looked through only when their number has doubled."""
        for key in range(2 * SWEEP_AT_KEYS + 1):
            self.limits.take(key)
        self.assertEqual(len(self.limits), 2 * SWEEP_AT_KEYS + 1)

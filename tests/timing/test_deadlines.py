"""Many waits of one length."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.timing.deadlines import Deadlines


class DeadlinesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.over: list[tuple[str, float]] = []
        self.deadlines: Deadlines[str] = Deadlines(self.clock, 10.0, self.note)

    def note(self, key: str) -> None:
        self.over.append((key, self.clock.seconds()))

    def test_each_key_is_called_in_its_time(self) -> None:
        """Each wait ends after just its time, and one delayed call serves them all."""
        for key in "abc":
            self.deadlines.add(key)
            self.clock.advance(2)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.pump([0.5] * 40)
        self.assertEqual(self.over, [("a", 10.0), ("b", 12.0), ("c", 14.0)])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_cancelled_key_is_not_called_and_the_others_are_in_time(self) -> None:
        """What was cancelled is not called for; the others are, in their time."""
        for key in "abc":
            self.deadlines.add(key)
            self.clock.advance(1)
        self.assertTrue(self.deadlines.cancel("a"))
        self.assertFalse(self.deadlines.cancel("a"))
        self.assertNotIn("a", self.deadlines)
        self.assertIn("b", self.deadlines)
        self.clock.pump([0.5] * 40)
        self.assertEqual(self.over, [("b", 11.0), ("c", 12.0)])

    def test_cancelling_all_keys_leaves_no_delayed_call(self) -> None:
        """With nothing to wait for, the delayed call is not set again; what comes later has its full time."""
        self.deadlines.add("a")
        self.deadlines.cancel("a")
        self.clock.advance(4)
        self.deadlines.add("b")
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.deadlines.cancel("b")
        self.clock.advance(6)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.deadlines.add("c")
        self.clock.advance(10)
        self.assertEqual(self.over, [("c", 20.0)])

    def test_key_added_again_waits_its_full_time(self) -> None:
        """The wait for a key starts over."""
        self.deadlines.add("a")
        self.clock.advance(6)
        self.deadlines.add("a")
        self.assertEqual(len(self.deadlines), 1)
        self.clock.pump([1] * 20)
        self.assertEqual(self.over, [("a", 16.0)])

    def test_no_call_comes_after_a_stop_whatever_is_added(self) -> None:
        """No call comes after, and no delayed call is left, whatever is added."""
        self.deadlines.add("a")
        self.deadlines.stop()
        self.deadlines.stop()
        self.deadlines.add("b")
        self.assertEqual((len(self.deadlines), self.clock.getDelayedCalls()), (0, []))
        self.clock.advance(100)
        self.assertEqual(self.over, [])

    def test_stop_within_a_call_drops_the_rest(self) -> None:
        """What is called may stop everything."""
        deadlines: Deadlines[str] = Deadlines(self.clock, 1.0, lambda key: (self.note(key), deadlines.stop()))
        deadlines.add("a")
        deadlines.add("b")
        self.clock.advance(1)
        self.assertEqual(self.over, [("a", 1.0)])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_call_may_add_and_cancel_keys(self) -> None:
        """What is called may add and cancel."""

        def again(key: str) -> None:
            self.note(key)
            if key == "a":
                deadlines.cancel("b")
                deadlines.add("d")

        deadlines: Deadlines[str] = Deadlines(self.clock, 1.0, again)
        for key in "abc":
            deadlines.add(key)
        self.clock.advance(1)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(1)
        self.assertEqual(self.over, [("a", 1.0), ("c", 1.0), ("d", 2.0)])

    def test_call_that_raises_does_not_stop_the_others(self) -> None:
        """It is a mistake, but the other waits still end."""

        def fail(key: str) -> None:
            self.note(key)
            if key == "a":
                raise ZeroDivisionError

        deadlines: Deadlines[str] = Deadlines(self.clock, 1.0, fail)
        deadlines.add("a")
        deadlines.add("b")
        with self.assertRaises(ZeroDivisionError):
            self.clock.advance(1)
        self.clock.advance(0)
        self.assertEqual([key for key, _ in self.over], ["a", "b"])

    def test_delayed_call_early_by_a_rounding_error_is_in_time(self) -> None:
        self.clock.advance(1.7e9 + 0.1)
        deadlines: Deadlines[int] = Deadlines(self.clock, 0.3, lambda key: self.note(str(key)))
        for key in range(50):
            deadlines.add(key)
            self.clock.advance(0.0123)
        for _ in range(50):
            self.clock.advance(0.0123)
        self.assertEqual([key for key, _ in self.over], [str(key) for key in range(50)])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    @given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from("abcd"), st.booleans()), max_size=60))
    def test_deadlines_agree_with_a_model(self, steps: list[tuple[int, str, bool]]) -> None:
        """It does what one delayed call for each wait would do."""
        clock = Clock()
        over: list[tuple[str, float]] = []
        deadlines: Deadlines[str] = Deadlines(clock, 7.0, lambda key: over.append((key, clock.seconds())))
        ends: dict[str, float] = {}
        expected: list[tuple[str, float]] = []
        for pause, key, cancel in [*steps, (9, "a", True)]:
            for _ in range(pause):
                clock.advance(1)
                due = [each for each, end in ends.items() if end <= clock.seconds()]
                expected.extend((each, ends.pop(each)) for each in due)
            known = ends.pop(key, None) is not None
            if cancel:
                self.assertEqual(deadlines.cancel(key), known)
            else:
                deadlines.add(key)
                ends[key] = clock.seconds() + 7
            self.assertEqual(len(deadlines), len(ends))
            self.assertLessEqual(len(clock.getDelayedCalls()), 1)
        self.assertEqual(over, expected)

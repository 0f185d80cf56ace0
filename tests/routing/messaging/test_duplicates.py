"""The filter for what has been seen already."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.routing.messaging.duplicates import (
    WINDOW_COST_IDS,
    DuplicateFilter,
    Freshness,
    SenderWindows,
)
from routing_crust.timing.shares import Account


class DuplicateFilterTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.filter = DuplicateFilter(self.clock, 20.0, 3)

    def test_key_is_remembered_from_when_it_was_first_seen(self) -> None:
        """A key is known from when it was first seen, and being seen again changes nothing."""
        self.assertFalse(self.filter.seen("a"))
        self.clock.advance(15)
        self.assertTrue(self.filter.seen("a"))
        self.clock.advance(5)
        self.assertFalse(self.filter.seen("a"))

    def test_key_is_remembered_up_to_its_last_moment(self) -> None:
        self.filter.seen("a")
        self.clock.advance(19.5)
        self.assertIn("a", self.filter)
        self.assertEqual(len(self.filter), 1)
        self.assertTrue(self.filter.seen("a"))

    def test_asking_for_a_key_does_not_note_it(self) -> None:
        """To ask notes nothing, and what is forgotten is not known."""
        self.assertNotIn("a", self.filter)
        self.assertFalse(self.filter.seen("a"))
        self.assertIn("a", self.filter)
        self.clock.advance(20)
        self.assertNotIn("a", self.filter)

    def test_full_filter_forgets_the_oldest_key(self) -> None:
        """The oldest is forgotten for the newest; a repetition displaces no key."""
        for key in "abcc":
            self.filter.seen(key)
        self.assertEqual(len(self.filter), 3)
        self.assertFalse(self.filter.seen("d"))
        self.assertEqual(len(self.filter), 3)
        self.assertTrue(self.filter.seen("b"))
        self.assertFalse(self.filter.seen("a"))

    def test_expired_keys_go_without_a_timer(self) -> None:
        """There is no delayed call, and what has expired is not counted."""
        self.filter.seen("a")
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.clock.advance(20)
        self.assertEqual(len(self.filter), 0)

    def test_clear_forgets_every_key(self) -> None:
        self.filter.seen("a")
        self.filter.clear()
        self.assertEqual(len(self.filter), 0)
        self.assertFalse(self.filter.seen("a"))

    @given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 5)), max_size=80))
    def test_filter_answers_like_a_plain_list(self, steps: list[tuple[int, int]]) -> None:
        """It answers as a plain list of all that was ever noted does."""
        clock = Clock()
        seen = DuplicateFilter(clock, 20.0, 4)
        noted: list[tuple[float, int]] = []
        for pause, key in steps:
            clock.advance(pause)
            noted = [each for each in noted if each[0] + 20 > clock.seconds()][-4:]
            known = key in [each[1] for each in noted]
            self.assertEqual(seen.seen(key), known)
            if not known:
                noted.append((clock.seconds(), key))
            self.assertLessEqual(len(seen), 4)


NEW, SEEN, TOO_OLD = Freshness
HONEST, FLOOD = (("h", "peer"), ("f", "peer"))


class SenderWindowsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.windows = SenderWindows(self.clock, 20.0, 160)

    def note(self, sender: str, id: int, account: Account = HONEST) -> Freshness:
        return self.windows.note(sender.encode(), id, account)

    def test_ids_of_a_sender_may_come_in_any_order(self) -> None:
        self.assertEqual([self.note("a", id) for id in (5, 2, 9, 2, 5, 1)], [NEW, NEW, NEW, SEEN, SEEN, NEW])
        self.assertEqual(self.note("b", 5), NEW)

    def test_what_is_forgotten_with_time_is_too_old(self) -> None:
        self.note("a", 5)
        self.clock.advance(15)
        self.note("a", 7)
        self.clock.advance(5)
        self.assertEqual([self.note("a", id) for id in (5, 4, 7, 6)], [TOO_OLD, TOO_OLD, SEEN, NEW])

    def test_flood_of_own_ids_flushes_no_id_of_another_sender(self) -> None:
        """A sender that floods forgets its own oldest ids, which stay too old."""
        self.note("honest", 1)
        for id in range(2000):
            self.assertEqual(self.note("flood", id, FLOOD), NEW)
            self.assertLessEqual(len(self.windows), 160)
        self.assertEqual(self.note("honest", 1), SEEN)
        self.assertEqual(self.note("flood", 5, FLOOD), TOO_OLD)
        self.assertEqual(self.note("flood", 1999, FLOOD), SEEN)

    def test_flood_of_free_keys_by_one_link_flushes_no_sender_of_another(self) -> None:
        self.note("honest", 1)
        for number in range(500):
            self.note(f"key {number}", 1, FLOOD)
            self.assertLessEqual(len(self.windows), 160)
        self.assertEqual(self.note("honest", 1), SEEN)

    def test_sender_that_goes_on_is_kept_among_free_keys_of_its_own_link(self) -> None:
        for number in range(500):
            self.assertEqual(self.note("honest", number // 10, FLOOD), SEEN if number % 10 else NEW)
            self.note(f"key {number}", 1, FLOOD)

    def test_clear_forgets_every_sender(self) -> None:
        self.note("a", 1)
        self.assertEqual(len(self.windows), 1 + WINDOW_COST_IDS)
        self.windows.clear()
        self.assertEqual(len(self.windows), 0)
        self.assertEqual(self.note("a", 1), NEW)

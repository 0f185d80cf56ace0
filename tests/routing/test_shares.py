"""Who holds how much, and who has to make room."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.names import Name
from routing_crust.routing.shares import Holder, Shares


def holder(prefix: str, number: int) -> Holder:
    return Holder(prefix, Name(bytes([number]) * 32))


class SharesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.shares = Shares()

    def test_prefix_with_most_makes_room_by_its_largest_link(self) -> None:
        for number in range(10):
            self.shares.add(holder("crowd", number), 2 + (number == 7))
        self.shares.add(holder("lonely", 50), 15)
        self.assertEqual(self.shares.fullest(), holder("crowd", 7))

    def test_newcomer_that_would_hold_most_gets_no_room(self) -> None:
        self.shares.add(holder("a", 1), 10)
        self.shares.add(holder("b", 2), 9)
        self.assertIsNone(self.shares.room_for(holder("b", 2), 1))
        self.assertEqual(self.shares.room_for(holder("c", 3), 9), holder("a", 1))
        self.assertIsNone(self.shares.room_for(holder("a", 1), 1))
        self.assertEqual(self.shares.room_for(holder("a", 3), 1), holder("a", 1))
        self.assertIsNone(self.shares.room_for(holder("c", 4), 10))

    @given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(1, 5))))
    def test_counts_are_the_sums_of_what_was_taken(self, steps: list[tuple[int, int, int]]) -> None:
        shares = Shares()
        model: dict[Holder, int] = {}
        for prefix, number, amount in steps:
            who = holder(str(prefix), number)
            change = -model.pop(who) if model.get(who, 0) > 5 else amount
            if change > 0:
                model[who] = model.get(who, 0) + change
            shares.add(who, change)
            self.assertEqual(shares.total, sum(model.values()))
            self.assertEqual({each: shares[each] for each in model}, model)
            if model:
                crowd = shares.fullest().prefix
                sums = {each.prefix: 0 for each in model}
                for each, held in model.items():
                    sums[each.prefix] += held
                self.assertEqual(sums[crowd], max(sums.values()))
        for who, held in model.items():
            shares.add(who, -held)
        self.assertEqual((shares.total, shares._of_prefix, shares._of), (0, {}, {}))

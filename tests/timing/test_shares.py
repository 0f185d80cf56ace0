"""Shares: who may take something limited, and who has to make room."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.timing.shares import OURSELVES, Account, Amounts, Held, Holdings, SharedWindow


def party(network: str, host: str = "1", name: str = "a") -> Account:
    return network, f"{network}.{host}", name


parties = st.sampled_from([party(network, host, name) for network in "NM" for host in "12" for name in "ab"])


class HeldTests(SynchronousTestCase):
    def test_one_party_takes_at_most_half(self) -> None:
        """The names and hosts of one network are one party, and there is always some for another one."""
        held = Held()
        taken = 0
        for number in range(100):
            account = party("N", str(number % 5), str(number))
            if held.may_take(account, 12):
                held.add(account)
                taken += 1
        self.assertEqual(taken, 6)
        self.assertTrue(held.may_take(party("M"), 12))

    def test_we_may_take_all(self) -> None:
        held = Held()
        for _ in range(5):
            self.assertTrue(held.may_take(OURSELVES, 5))
            held.add(OURSELVES)
        self.assertFalse(held.may_take(OURSELVES, 5))

    @given(st.lists(parties))
    def test_nothing_is_left_when_all_was_given_back(self, accounts: list[Account]) -> None:
        held = Held()
        for account in accounts:
            held.add(account)
        for account in sorted(accounts):
            held.remove(account)
        self.assertEqual((held.total, len(held)), (0, 0))


class SharedWindowTests(SynchronousTestCase):
    def test_share_of_a_party_comes_back_as_time_passes(self) -> None:
        clock = Clock()
        window = SharedWindow(4, 60.0, clock.seconds)
        for _ in range(2):
            self.assertTrue(window.may_take(party("N")))
            window.take(party("N"))
        self.assertFalse(window.may_take(party("N")))
        clock.advance(59)
        self.assertFalse(window.may_take(party("N")))
        self.assertFalse(window.unused)
        clock.advance(1)
        self.assertTrue(window.unused)
        self.assertTrue(window.may_take(party("N")))


class HoldingsTests(SynchronousTestCase):
    def holdings(self, *accounts: Account) -> Holdings[int]:
        """What these hold, the items numbered from 0."""
        holdings: Holdings[int] = Holdings()
        for number, account in enumerate(accounts):
            holdings.add(number, account)
        return holdings

    def test_account_that_holds_most_makes_room(self) -> None:
        """Of the largest network the largest host, and of that the largest link; its oldest item first."""
        holdings = self.holdings(
            party("M"), party("N", "2"), party("N", "1", "a"), party("N", "1", "b"), party("N", "1", "b")
        )
        self.assertEqual(holdings.of_largest(party("L")), (3, 4))

    def test_newcomer_that_holds_as_much_makes_room_itself(self) -> None:
        holdings = self.holdings(party("M"), party("M"), party("N"), party("N"))
        self.assertEqual(holdings.of_largest(party("N")), (2, 3))
        self.assertEqual(holdings.of_largest(party("M")), (0, 1))
        self.assertFalse(holdings.would_even_out(party("N")))

    def test_item_in_use_is_taken_only_from_one_that_holds_two_more(self) -> None:
        """Otherwise two parties would take it from each other by turns."""
        self.assertTrue(self.holdings(party("M"), party("M")).would_even_out(party("N")))
        self.assertFalse(self.holdings(party("M"), party("N")).would_even_out(party("L")))
        crowded = self.holdings(*[party("N", "1", "a")] * 3, party("N", "1", "b"))
        self.assertTrue(crowded.would_even_out(party("N", "1", "b")))
        self.assertFalse(crowded.would_even_out(party("N", "1", "a")))

    def test_items_of_an_account_are_those_that_are_left(self) -> None:
        """Nothing is known of an account whose last item is gone."""
        holdings = self.holdings(party("N"), party("M"), party("N"), party("N"))
        holdings.remove(0)
        self.assertEqual((holdings.of(party("N")), len(holdings)), ((2, 3), 3))
        self.assertEqual(holdings.of_largest(party("L")), (2, 3))
        for number in (1, 2, 3):
            holdings.remove(number)
        self.assertEqual((holdings.of(party("N")), holdings.of_largest(party("N"))), ((), ()))
        self.assertEqual((len(holdings._parts), len(holdings._items)), (0, 0))

    @given(st.lists(parties, min_size=1), parties)
    def test_making_room_never_makes_the_largest_larger(
        self, accounts: list[Account], newcomer: Account
    ) -> None:
        """After the exchange no network holds more than the largest did, or than the newcomer had."""
        holdings = self.holdings(*accounts)
        before = max(sum(each[0] == network for each in accounts) for network in "NM")
        (victim, *_) = holdings.of_largest(newcomer)
        left = [account for number, account in enumerate(accounts) if number != victim]
        left.append(newcomer)
        after = max(sum(each[0] == network for each in left) for network in "NM")
        self.assertLessEqual(after, before)


class AmountsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.amounts = Amounts()

    def test_network_with_most_makes_room_by_its_largest_account(self) -> None:
        for number in range(10):
            self.amounts.add(("crowd", str(number)), 2 + (number == 7))
        self.amounts.add(("lonely", "50"), 15)
        self.assertEqual(self.amounts.fullest(), ("crowd", "7"))

    def test_newcomer_that_would_have_most_gets_no_room(self) -> None:
        self.amounts.add(("a", "1"), 10)
        self.amounts.add(("b", "2"), 9)
        self.assertIsNone(self.amounts.room_for(("b", "2"), 1))
        self.assertEqual(self.amounts.room_for(("c", "3"), 9), ("a", "1"))
        self.assertIsNone(self.amounts.room_for(("a", "1"), 1))
        self.assertEqual(self.amounts.room_for(("a", "3"), 1), ("a", "1"))
        self.assertIsNone(self.amounts.room_for(("c", "4"), 10))

    def test_what_is_ours_counts_as_that_of_one_more(self) -> None:
        self.amounts.add(OURSELVES, 3)
        self.amounts.add(("a", "1"), 2)
        self.assertEqual((self.amounts.fullest(), self.amounts[OURSELVES]), (OURSELVES, 3))

    @given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(1, 5))))
    def test_amounts_are_the_sums_of_what_was_taken(self, steps: list[tuple[int, int, int]]) -> None:
        amounts = Amounts()
        model: dict[Account, int] = {}
        for network, number, amount in steps:
            who = (str(network), str(number))
            change = -model.pop(who) if model.get(who, 0) > 5 else amount
            if change > 0:
                model[who] = model.get(who, 0) + change
            amounts.add(who, change)
            self.assertEqual(amounts.total, sum(model.values()))
            self.assertEqual({each: amounts[each] for each in model}, model)
            if model:
                crowd = amounts.fullest()[0]
                sums = {each[0]: 0 for each in model}
                for each, held in model.items():
                    sums[each[0]] += held
                self.assertEqual(sums[crowd], max(sums.values()))
        for who, held in model.items():
            amounts.add(who, -held)
        self.assertEqual((amounts.total, amounts._of_widest, amounts._of), (0, {}, {}))

"""Rates of links and of their prefixes."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.timing.account_rates import RATES_PER_PREFIX, AccountRates
from routing_crust.timing.shares import OURSELVES

PREFIX = "192.0.2.0/24"
OTHER = "198.51.100.0/24"


class AccountRatesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.rates = AccountRates(1.0, 2, self.clock.seconds)

    def taken(self, *account: str, tries: int = 10) -> int:
        return sum(self.rates.take(account) for _ in range(tries))

    def test_link_may_do_what_its_rate_allows(self) -> None:
        self.assertEqual(self.taken(PREFIX, "one"), 2)
        self.clock.advance(1)
        self.assertEqual(self.taken(PREFIX, "one"), 1)

    def test_busy_link_leaves_something_to_others_of_its_prefix(self) -> None:
        self.taken(PREFIX, "one")
        self.assertEqual(self.taken(PREFIX, "other"), 2)

    def test_new_names_bring_a_prefix_no_more_than_it_may_do(self) -> None:
        every = [self.taken(PREFIX, str(number)) for number in range(100)]
        self.assertEqual(sum(every), 2 * RATES_PER_PREFIX)
        self.assertEqual(self.taken(OTHER, "one"), 2)

    def test_what_the_prefix_may_not_do_costs_the_link_nothing(self) -> None:
        for number in range(RATES_PER_PREFIX):
            self.taken(PREFIX, str(number))
        self.assertEqual(self.taken(PREFIX, "honest"), 0)
        self.clock.advance(2 / RATES_PER_PREFIX)
        self.assertEqual(self.taken(PREFIX, "honest"), 2)

    def test_we_ourselves_have_no_rate(self) -> None:
        self.assertEqual(self.taken(*OURSELVES, tries=1000), 1000)

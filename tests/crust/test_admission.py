"""Who may come in, and how often strangers' addresses are dialled."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import Settings
from routing_crust.crust.admission import (
    MAX_LOCAL_DIALS,
    MAX_LOCAL_DIALS_PER_ENDPOINT,
    MAX_LOCAL_DIALS_PER_HOST,
    Rules,
    StrangerBudget,
)
from routing_crust.endpoints import Endpoint
from routing_crust.errors import LimitReached

from .addresses import STRANGER, at, name

HERE = at("192.0.2.1:5483")
THERE = at("198.51.100.1:5483")
SIX = at("[2001:db8::1]:5483")


class RulesTests(SynchronousTestCase):
    def outcome(self, rules: Rules, endpoint: Endpoint, seed: int = 1) -> tuple[str | None, str | None]:
        before = rules.refusal_of_address(endpoint)
        after = rules.refusal_of_peer(name(seed), endpoint)
        return before and before.setting, after and after.setting

    def test_everyone_is_admitted_without_rules(self) -> None:
        self.assertEqual(self.outcome(Rules((), ()), HERE), (None, None))

    def test_denied_network_is_refused_whatever_the_allow_list_says(self) -> None:
        rules = Rules([str(name(1)), "192.0.2.0/24"], ["192.0.2.0/28", "2001:db8::/32"])
        self.assertEqual(self.outcome(rules, HERE), ("deny", "deny"))
        self.assertEqual(self.outcome(rules, SIX), ("deny", "deny"))
        refusal = rules.refusal_of_address(HERE)
        self.assertEqual(str(refusal), "the address is on the deny list (limit 192.0.2.0/28, setting deny)")

    def test_denied_name_is_refused_once_it_is_known(self) -> None:
        rules = Rules([], [str(name(1))])
        self.assertEqual(self.outcome(rules, HERE, 1), (None, "deny"))
        self.assertEqual(self.outcome(rules, HERE, 2), (None, None))

    def test_allowed_networks_refuse_all_other_addresses(self) -> None:
        """If only networks are allowed, others are refused by address."""
        rules = Rules(["192.0.2.0/24"], [])
        self.assertEqual(self.outcome(rules, HERE), (None, None))
        self.assertEqual(self.outcome(rules, THERE), ("allow", "allow"))
        self.assertEqual(self.outcome(rules, SIX), ("allow", "allow"))

    def test_allowed_name_or_network_suffices_for_admission(self) -> None:
        """A list with names decides only once the name is known, except for an allowed network."""
        rules = Rules([str(name(1)), "192.0.2.0/24"], [])
        self.assertEqual(self.outcome(rules, THERE, 1), (None, None))
        self.assertEqual(self.outcome(rules, THERE, 2), (None, "allow"))
        self.assertEqual(self.outcome(rules, HERE, 2), (None, None))


class StrangerBudgetTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.budget = StrangerBudget(
            Settings(stranger_dials=4, stranger_dials_per_prefix=2), self.clock.seconds
        )

    def spend(self, text: str, party: str = "a stranger") -> str | None:
        """Which setting keeps this party from having an address dialled; empty if no setting moves it."""
        try:
            self.budget.spend(at(text), (party, party, party))
        except LimitReached as limit:
            return limit.setting
        return None

    def test_prefix_is_dialled_only_so_often_in_any_minute(self) -> None:
        """The budget holds for any minute, however the dials to a /24 are spread, for any asker."""
        outcomes = [self.spend(f"8.8.8.{number}:5483", f"party {number}") for number in range(3)]
        self.assertEqual(outcomes, [None, None, "stranger_dials_per_prefix"])
        self.clock.advance(59)
        self.assertEqual(self.spend("8.8.8.8:5483"), "stranger_dials_per_prefix")
        self.clock.advance(1)
        outcomes = [self.spend("8.8.8.8:5483", f"party {number}") for number in range(3)]
        self.assertEqual(outcomes, [None, None, "stranger_dials_per_prefix"])

    def test_all_addresses_of_strangers_share_one_budget(self) -> None:
        """All strangers' addresses share one budget; a refusal costs nothing."""
        outcomes = [self.spend(f"8.8.{number}.8:5483", f"party {number}") for number in range(6)]
        self.assertEqual(outcomes, [None] * 4 + ["stranger_dials"] * 2)
        self.clock.advance(60)
        self.assertIsNone(self.spend("8.8.5.8:5483"))

    def test_one_party_leaves_as_much_of_the_budget_as_it_takes(self) -> None:
        """Another one always finds some, however many names and addresses the first makes up."""
        outcomes = [self.spend(f"8.8.{number}.8:5483") for number in range(20)]
        self.assertEqual(outcomes, [None] * 2 + ["stranger_dials"] * 18)
        self.assertIsNone(self.spend("8.8.30.8:5483", "another"))

    def test_one_party_cannot_spend_what_a_prefix_allows(self) -> None:
        """A node that others pretend to be is still dialled."""
        self.assertEqual([self.spend("8.8.8.8:5483") for _ in range(2)], [None, "stranger_dials_per_prefix"])
        self.assertIsNone(self.spend("8.8.8.8:5483", "the node at 8.8.8.8"))

    def test_links_of_one_prefix_share_what_it_may_take(self) -> None:
        """The links of a host are many names of one party."""
        for number in range(2):
            self.budget.spend(at(f"8.8.{number}.8:5483"), ("1.1.1.0/24", f"1.1.1.{number}", f"{number}"))
        with self.assertRaises(LimitReached):
            self.budget.spend(at("8.8.9.8:5483"), ("1.1.1.0/24", "1.1.1.7", "7"))

    def test_local_addresses_have_a_budget_of_their_own(self) -> None:
        """By address and port, by host and in all, for every asker; what is global costs nothing of it."""

        def dials(hosts: int, ports: int) -> int:
            """How many of these each of a hundred parties can have dialled."""
            return sum(
                self.spend(f"192.168.1.{host}:{port}", f"party {party}") is None
                for party in range(100)
                for host in range(1, hosts + 1)
                for port in range(5483, 5483 + ports)
            )

        self.assertEqual(dials(1, 1), MAX_LOCAL_DIALS_PER_ENDPOINT)
        self.clock.advance(60)
        self.assertEqual(dials(1, 60), MAX_LOCAL_DIALS_PER_HOST)
        self.assertEqual(self.spend("[fd00::1]:5483"), None)
        self.clock.advance(60)
        self.assertEqual(dials(100, 1), MAX_LOCAL_DIALS)
        self.assertEqual(self.spend("[fd00::1]:5483"), "")
        self.assertIsNone(self.spend("8.8.8.8:5483"))

    def test_what_is_full_again_is_forgotten(self) -> None:
        """The prefixes do not pile up."""
        budget = StrangerBudget(
            Settings(stranger_dials=10_000, stranger_dials_per_prefix=10_000), self.clock.seconds
        )
        for number in range(3000):
            self.clock.advance(1)
            budget.spend(Endpoint(f"8.{number // 250}.{number % 250}.1", 5483), STRANGER)
        self.assertLess(len(budget), 600)

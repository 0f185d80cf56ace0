"""What a router granted: whether it is of use, and how it is said."""

from __future__ import annotations

from routing_crust.endpoints import Endpoint

from .support import QuietTests, lease


class LeaseTests(QuietTests):
    def test_only_public_addresses_and_high_ports_are_reachable(self) -> None:
        for external, reachable in (
            ("5.5.5.11:1024", True),
            ("5.5.5.11:1023", False),
            ("192.168.0.2:5483", False),
            ("100.64.0.2:5483", False),
            ("203.0.113.5:5483", False),
        ):
            self.assertIs(lease(external).reachable, reachable, external)
            self.assertIs(lease(external).remark == "", reachable, external)
        self.assertIn("ports below 1024", lease("5.5.5.11:80").remark)

    def test_lease_says_its_term_in_words(self) -> None:
        for seconds, words in ((45, "45 s"), (60, "1 min"), (5400, "1.5 h"), (86400, "24 h")):
            self.assertEqual(lease(lifetime=seconds).term, f"for {words}")

    def test_lease_holds_the_external_endpoint(self) -> None:
        self.assertEqual(lease().external, Endpoint("5.5.5.11", 5483))

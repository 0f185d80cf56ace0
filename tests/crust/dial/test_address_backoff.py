"""
Tests for L{routing_crust.crust.dial.address_backoff}.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.crust.dial.address_backoff import MAX_FAILURES, AddressBackoff
from routing_crust.endpoints import Endpoint

from ..addresses import at, name

HERE = at("192.0.2.1:5483")


class AddressBackoffTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.backoff = AddressBackoff(1, 5, self.clock.seconds)

    def test_wait_doubles_up_to_the_limit(self) -> None:
        """Each failure doubles the wait, and it runs down with time."""
        self.assertEqual(self.backoff.wait(HERE, None), 0.0)
        waits = []
        for _ in range(5):
            self.backoff.failed(HERE, None)
            waits.append(self.backoff.wait(HERE, None))
            self.clock.advance(self.backoff.wait(HERE, None))
            self.assertEqual(self.backoff.wait(HERE, None), 0.0)
        self.assertEqual(waits, [1, 2, 4, 5, 5])

    def test_success_forgets_failures(self) -> None:
        """After a success the next failure is a first one."""
        self.backoff.failed(HERE, None)
        self.backoff.failed(HERE, None)
        self.backoff.succeeded(HERE, None)
        self.assertEqual((self.backoff.wait(HERE, None), len(self.backoff)), (0.0, 0))
        self.backoff.failed(HERE, None)
        self.assertEqual(self.backoff.wait(HERE, None), 1)

    def test_old_failure_does_not_lengthen_the_next_wait(self) -> None:
        for _ in range(4):
            self.backoff.failed(HERE, None)
        self.clock.advance(5 + 5 + 0.1)
        self.backoff.failed(HERE, None)
        self.assertEqual(self.backoff.wait(HERE, None), 1)

    def test_failure_counts_for_one_peer_at_one_address(self) -> None:
        """A false address for one peer does not keep us from another that is really there."""
        self.backoff.failed(HERE, name(1))
        self.assertEqual([self.backoff.wait(HERE, each) for each in (name(1), name(2), None)], [1, 0, 0])

    def test_clock_set_back_does_not_lengthen_a_wait(self) -> None:
        self.backoff.failed(HERE, None)
        self.clock.rightNow -= 500
        self.assertEqual(self.backoff.wait(HERE, None), 1)

    def test_oldest_failures_are_forgotten_when_full(self) -> None:
        for port in range(1, MAX_FAILURES + 11):
            self.backoff.failed(Endpoint("192.0.2.1", port), None)
        self.assertEqual(len(self.backoff), MAX_FAILURES)
        self.assertEqual(self.backoff.wait(Endpoint("192.0.2.1", 10), None), 0.0)
        self.assertEqual(self.backoff.wait(Endpoint("192.0.2.1", 11), None), 1)

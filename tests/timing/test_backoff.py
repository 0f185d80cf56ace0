"""How long an address is left alone after failures."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.endpoints import Endpoint
from routing_crust.timing.backoff import MOST_REMEMBERED, AddressBackoff

from ..crust.addresses import at, name

HERE = at("192.0.2.1:5483")


class AddressBackoffTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.backoff = AddressBackoff(1, 5, self.clock.seconds)

    def test_doubles_up_to_the_most(self) -> None:
        """Each failure doubles the wait, and it runs down with time."""
        self.assertEqual(self.backoff.wait(HERE, None), 0.0)
        waits = []
        for _ in range(5):
            self.backoff.failed(HERE, None)
            waits.append(self.backoff.wait(HERE, None))
            self.clock.advance(self.backoff.wait(HERE, None))
            self.assertEqual(self.backoff.wait(HERE, None), 0.0)
        self.assertEqual(waits, [1, 2, 4, 5, 5])

    def test_success_forgets(self) -> None:
        """After a success the next failure is a first one."""
        self.backoff.failed(HERE, None)
        self.backoff.failed(HERE, None)
        self.backoff.succeeded(HERE, None)
        self.assertEqual((self.backoff.wait(HERE, None), len(self.backoff)), (0.0, 0))
        self.backoff.failed(HERE, None)
        self.assertEqual(self.backoff.wait(HERE, None), 1)

    def test_long_ago(self) -> None:
        """A failure of long ago does not make the next one worse."""
        for _ in range(4):
            self.backoff.failed(HERE, None)
        self.clock.advance(5 + 5 + 0.1)
        self.backoff.failed(HERE, None)
        self.assertEqual(self.backoff.wait(HERE, None), 1)

    def test_one_peer_at_one_address(self) -> None:
        """A false address for one peer does not keep us from another that is really there."""
        self.backoff.failed(HERE, name(1))
        self.assertEqual([self.backoff.wait(HERE, each) for each in (name(1), name(2), None)], [1, 0, 0])

    def test_a_clock_set_back(self) -> None:
        """The wait never grows beyond what it was."""
        self.backoff.failed(HERE, None)
        self.clock.rightNow -= 500
        self.assertEqual(self.backoff.wait(HERE, None), 1)

    def test_bounded(self) -> None:
        """The oldest failures are forgotten."""
        for port in range(1, MOST_REMEMBERED + 11):
            self.backoff.failed(Endpoint("192.0.2.1", port), None)
        self.assertEqual(len(self.backoff), MOST_REMEMBERED)
        self.assertEqual(self.backoff.wait(Endpoint("192.0.2.1", 10), None), 0.0)
        self.assertEqual(self.backoff.wait(Endpoint("192.0.2.1", 11), None), 1)

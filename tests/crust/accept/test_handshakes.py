"""When TLS handshakes begin: a number a second for each prefix, the others in turn."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.crust.accept.handshakes import MIN_WAIT_SECONDS, HandshakeTurns

from ..addresses import at


class HandshakeTurnsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.turns = HandshakeTurns(2, self.clock)  # a burst of 6; in all 10 a second, a burst of 30
        self.begun: list[str] = []

    def come(self, *hosts: str, wanted: bool = True) -> None:
        for host in hosts:

            def begin(host: str = host) -> bool:
                if wanted:
                    self.begun.append(host)
                return wanted

            self.turns.take(at(f"{host}:1"), begin)

    def take(self) -> list[str]:
        begun, self.begun = self.begun, []
        return begun

    def test_first_ones_begin_at_once_and_the_others_at_the_rate(self) -> None:
        self.come(*["192.0.2.1"] * 9)
        self.assertEqual(len(self.take()), 6)
        self.clock.advance(0.5)
        self.assertEqual(len(self.take()), 1)
        self.clock.advance(1)
        self.assertEqual(len(self.take()), 2)
        self.assertEqual((len(self.turns), self.clock.getDelayedCalls()), (0, []))

    def test_another_rate_is_for_those_who_wait_too(self) -> None:
        self.come(*["192.0.2.1"] * 30)
        self.assertEqual(len(self.take()), 6)
        self.turns.change(4)
        self.assertEqual(len(self.take()), 12)
        self.clock.advance(1)
        self.assertEqual(len(self.take()), 4)
        self.turns.change(1)
        self.assertEqual(len(self.take()), 3)

    def test_same_rate_again_forgets_nothing(self) -> None:
        self.come(*["192.0.2.1"] * 9)
        self.take()
        self.turns.change(2)
        self.assertEqual(self.take(), [])

    def test_next_turn_is_never_at_the_time_that_it_is(self) -> None:
        """At large times, small waits are lost in the rounding, and the turns would never end."""
        turns = HandshakeTurns(3, self.clock)
        self.clock.rightNow = 1.7e9 + 1 / 3
        for _ in range(60):
            turns.take(at("192.0.2.1:1"), lambda: True)
        while turns:
            (call,) = self.clock.getDelayedCalls()
            self.assertGreaterEqual(call.getTime() - self.clock.seconds(), MIN_WAIT_SECONDS / 2)
            # as early as a clock may be
            self.clock.rightNow = call.getTime() - 3e-7
            turns._serve()

    def test_other_prefixes_do_not_wait_for_a_full_one(self) -> None:
        self.come(*["192.0.2.1"] * 50)
        self.take()
        self.come("198.51.100.1", "2001:db8::1".join("[]"))
        self.assertEqual(self.take(), ["198.51.100.1", "[2001:db8::1]"])

    def test_addresses_of_one_prefix_take_turns(self) -> None:
        """A neighbour of the flood waits for one turn, not for the whole queue."""
        self.come(*["192.0.2.1"] * 50)
        self.take()
        self.come("192.0.2.2")
        self.clock.advance(1)
        self.assertEqual(self.take(), ["192.0.2.1", "192.0.2.2"])

    def test_prefixes_take_turns_when_all_together_are_too_many(self) -> None:
        for number in range(6):
            self.come(*[f"192.0.{number}.1"] * 20)
        self.take()
        self.come("198.51.100.1")
        self.clock.advance(0.5)
        begun = self.take()
        self.assertLessEqual(len(begun), 5)
        self.clock.advance(0.5)
        self.assertIn("198.51.100.1", begun + self.take())

    def test_one_that_is_gone_costs_no_turn(self) -> None:
        self.come(*["192.0.2.1"] * 6)
        self.come(*["192.0.2.1"] * 5, wanted=False)
        self.come("192.0.2.1")
        self.take()
        self.clock.advance(0.5)
        self.assertEqual(self.take(), ["192.0.2.1"])

    def test_nothing_begins_after_the_stop(self) -> None:
        self.come(*["192.0.2.1"] * 9)
        self.take()
        self.turns.stop()
        self.clock.advance(10)
        self.assertEqual((self.take(), self.clock.getDelayedCalls()), ([], []))
        self.come("192.0.2.1")
        self.assertEqual(self.take(), ["192.0.2.1"])

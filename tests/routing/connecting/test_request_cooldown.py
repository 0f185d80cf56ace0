"""Who did not answer."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.names import NAME_BYTES, Name
from routing_crust.routing.connecting.request_cooldown import (
    FIRST_SECONDS,
    MOST_NODES,
    MOST_SECONDS,
    RequestCooldown,
)


def name(number: int) -> Name:
    return Name(number.to_bytes(NAME_BYTES, "big"))


class RequestCooldownTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.cooldown = RequestCooldown(self.clock.seconds)

    def test_longer_each_time(self) -> None:
        """Twice as long as before, up to a limit."""
        for seconds in (10, 20, 40, 60, 60):
            self.cooldown.note(name(1))
            self.assertEqual(self.cooldown.left(name(1)), seconds)
            self.clock.advance(seconds - 1)
            self.assertEqual(self.cooldown.left(name(1)), 1)
            self.clock.advance(1)
            self.assertEqual(self.cooldown.left(name(1)), 0)
            self.assertIn(name(1), self.cooldown)
        self.assertEqual((FIRST_SECONDS, MOST_SECONDS), (10, 60))

    def test_forgotten(self) -> None:
        """After a link, and after a change of the network, all is as if it had answered."""
        for forget in (lambda: self.cooldown.forget(name(1)), self.cooldown.clear):
            self.cooldown.note(name(1))
            forget()
            self.assertEqual((self.cooldown.left(name(1)), name(1) in self.cooldown), (0, False))
        self.cooldown.forget(name(2))

    def test_lifted(self) -> None:
        """After a link for less it may be asked at once; that it was silent is still known."""
        for _ in range(3):
            self.cooldown.note(name(1))
        self.cooldown.lift(name(1))
        self.assertEqual((self.cooldown.left(name(1)), name(1) in self.cooldown), (0, True))
        self.cooldown.lift(name(2))
        self.assertNotIn(name(2), self.cooldown)

    def test_clock_set_back(self) -> None:
        """Nobody is left alone for longer because of the clock."""
        self.cooldown.note(name(1))
        self.clock.rightNow -= 500
        self.assertEqual(self.cooldown.left(name(1)), 0)

    def test_bounded(self) -> None:
        """The one that was silent longest ago makes room; to be silent again counts as new."""
        for number in range(MOST_NODES):
            self.cooldown.note(name(number))
        self.cooldown.note(name(0))
        self.cooldown.note(name(MOST_NODES))
        self.assertIn(name(0), self.cooldown)
        self.assertNotIn(name(1), self.cooldown)

"""For how long a node that did not answer a request is not asked again."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.names import NAME_BYTES, Name
from routing_crust.routing.connecting.outgoing_requests import (
    FIRST_SECONDS,
    MAX_NODES,
    MAX_SECONDS,
    RequestCooldown,
)


def name(number: int) -> Name:
    return Name(number.to_bytes(NAME_BYTES, "big"))


class RequestCooldownTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.cooldown = RequestCooldown(self.clock.seconds)

    def test_cooldown_doubles_with_each_silence_up_to_a_limit(self) -> None:
        """When it is over, the node is still known to have been silent."""
        for seconds in (10, 20, 40, 60, 60):
            self.cooldown.note(name(1))
            self.assertEqual(self.cooldown.left(name(1)), seconds)
            self.clock.advance(seconds - 1)
            self.assertEqual(self.cooldown.left(name(1)), 1)
            self.clock.advance(1)
            self.assertEqual(self.cooldown.left(name(1)), 0)
            self.assertIn(name(1), self.cooldown)
        self.assertEqual((FIRST_SECONDS, MAX_SECONDS), (10, 60))

    def test_link_or_change_of_network_ends_the_cooldown(self) -> None:
        """Afterwards it is as if the node had answered."""
        for forget in (lambda: self.cooldown.forget(name(1)), self.cooldown.clear):
            self.cooldown.note(name(1))
            forget()
            self.assertEqual((self.cooldown.left(name(1)), name(1) in self.cooldown), (0, False))
        self.cooldown.forget(name(2))

    def test_link_for_a_lesser_use_lifts_the_cooldown(self) -> None:
        """The node may be asked at once, and is still known to have been silent."""
        for _ in range(3):
            self.cooldown.note(name(1))
        self.cooldown.lift(name(1))
        self.assertEqual((self.cooldown.left(name(1)), name(1) in self.cooldown), (0, True))
        self.cooldown.lift(name(2))
        self.assertNotIn(name(2), self.cooldown)

    def test_silence_after_a_lift_begins_with_the_shortest_cooldown(self) -> None:
        """The earlier silences do not count towards it."""
        for _ in range(3):
            self.cooldown.note(name(1))
        self.cooldown.lift(name(1))
        self.cooldown.note(name(1))
        self.assertEqual(self.cooldown.left(name(1)), FIRST_SECONDS)

    def test_clock_that_is_set_back_prolongs_no_cooldown(self) -> None:
        """The cooldown ends instead."""
        self.cooldown.note(name(1))
        self.clock.rightNow -= 500
        self.assertEqual(self.cooldown.left(name(1)), 0)

    def test_node_silent_longest_ago_is_forgotten_first(self) -> None:
        """A node that is silent again counts as new."""
        for number in range(MAX_NODES):
            self.cooldown.note(name(number))
        self.cooldown.note(name(0))
        self.cooldown.note(name(MAX_NODES))
        self.assertIn(name(0), self.cooldown)
        self.assertNotIn(name(1), self.cooldown)

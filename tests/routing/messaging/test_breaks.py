"""Messages and requests that are under way when paths break for 30 s arrive soon after these are back."""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.defer import succeed
from twisted.trial.unittest import SynchronousTestCase

from ..net import Net

BREAK_SECONDS: Final = 30.0
SOON_SECONDS: Final = 15.0
"""An isolated node joins again first; the tries of a message, 20 s apart, must not add to that."""


class BreakTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.net = Net()
        self.addCleanup(self.net.stop)
        self.one, self.two, self.three = self.net.grow(3)
        self.two.set_request_handler(lambda request: succeed(b"pong"))

    def across(self, what: Any, *, alone: Any, cut: bool) -> Any:
        """What comes of C{what}, which is under way when one node is cut off from the others."""
        results: list[Any] = []
        what(self.two.node_name, b"ping").addBoth(results.append)
        others = [self.net.crust(each) for each in (self.one, self.two, self.three) if each is not alone]
        self.net.network.partition([[self.net.crust(alone)], others])
        if cut:
            for each in list(self.net.network.links):
                self.net.network.cut(each)
        self.net.settle(BREAK_SECONDS)
        self.net.network.heal()
        self.net.run(lambda: results, timeout=SOON_SECONDS)
        return results[0]

    def test_they_succeed_where_the_sender_was_cut_off(self) -> None:
        self.assertIsNone(self.across(self.one.send, alone=self.one, cut=True))

    def test_they_succeed_where_the_peer_was_cut_off(self) -> None:
        self.assertEqual(self.across(self.one.request, alone=self.two, cut=True), b"pong")

    def test_they_succeed_where_nobody_is_told_of_the_break(self) -> None:
        self.assertIsNone(self.across(self.one.send, alone=self.two, cut=False))
        self.assertEqual(self.across(self.one.request, alone=self.two, cut=False), b"pong")

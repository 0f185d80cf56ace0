"""A link to a peer is asked for until there is one."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.errors import NotConnected
from routing_crust.streams.survival.reconnection import (
    FIRST_WAIT_SECONDS,
    LONGEST_WAIT_SECONDS,
    MANY_PEERS,
    Reconnection,
)


class ReconnectionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.asked: list[Deferred[Any]] = []
        self.cancelled = self.again = 0
        self.peers = 1
        self.unreachable: list[Exception] = []
        self.reconnection = self.made()

    def made(self) -> Reconnection:
        return Reconnection(
            self.clock,
            Random(1),
            self.connect,
            self.ask_again,
            lambda: self.peers,
            self.unreachable.append,
        )

    def ask_again(self) -> None:
        self.again += 1

    async def connect(self) -> Any:
        self.asked.append(Deferred(self.cancel))
        return await self.asked[-1]

    def cancel(self, asked: Deferred[Any]) -> None:
        self.cancelled += 1

    def test_first_attempt_comes_soon_but_not_at_once(self) -> None:
        """The other end asks, too."""
        self.assertEqual(self.asked, [])
        self.clock.advance(FIRST_WAIT_SECONDS)
        self.assertEqual(len(self.asked), 1)
        self.clock.advance(1000)
        self.assertEqual(len(self.asked), 1)

    def test_peer_is_asked_again_while_an_attempt_is_under_way(self) -> None:
        """The request may have been lost with the path; when there is an answer, there is no need."""
        self.clock.advance(FIRST_WAIT_SECONDS)
        for _ in range(40):
            self.clock.advance(LONGEST_WAIT_SECONDS / 2)
        self.assertGreaterEqual(self.again, 20)
        self.assertLessEqual(self.again, 40)
        self.asked[-1].errback(NotConnected())
        before = self.again
        self.clock.advance(0.001)
        self.assertEqual((len(self.clock.getDelayedCalls()), self.again), (1, before))

    def test_many_peers_are_asked_less_often_each(self) -> None:
        self.peers = 10 * MANY_PEERS
        self.reconnection.stop()
        self.reconnection = self.made()
        self.clock.advance(10 * FIRST_WAIT_SECONDS)
        for _ in range(40):
            self.clock.advance(LONGEST_WAIT_SECONDS / 2)
        self.assertTrue(1 <= self.again <= 4, self.again)

    def test_failed_attempts_are_repeated_for_ever_at_growing_intervals(self) -> None:
        self.clock.advance(FIRST_WAIT_SECONDS)
        for count, error in enumerate([ConnectError(), NotConnected()] * 10, 1):
            self.asked[-1].errback(error)
            self.assertEqual(len(self.asked), count)
            self.clock.advance(LONGEST_WAIT_SECONDS)
            self.assertEqual(len(self.asked), count + 1)

    def test_link_that_was_lost_at_once_is_asked_for_again(self) -> None:
        self.clock.advance(FIRST_WAIT_SECONDS)
        self.asked[-1].callback(None)
        self.clock.advance(LONGEST_WAIT_SECONDS)
        self.assertEqual(len(self.asked), 2)

    def test_stopping_cancels_what_is_under_way_and_asks_no_more(self) -> None:
        self.clock.advance(FIRST_WAIT_SECONDS)
        self.reconnection.stop()
        self.assertEqual((self.cancelled, self.clock.getDelayedCalls()), (1, []))
        again = self.made()
        again.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

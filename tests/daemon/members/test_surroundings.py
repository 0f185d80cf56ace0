"""What the invitation desk hears of its node."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.daemon.control.member_messages import ROUTERS_SECONDS
from routing_crust.daemon.members.surroundings import NodeSurroundings
from routing_crust.errors import ServiceStopped


class RouterTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.asked: Deferred[None] = Deferred()
        self.routing: Any = mock.Mock(clock=self.clock, running=True)
        self.routing.when_routers_asked.return_value = self.asked
        self.answered = NodeSurroundings(self.routing, Path("state")).when_routers_asked()

    def test_waits_for_the_routers(self) -> None:
        self.assertNoResult(self.answered)
        self.asked.callback(None)
        self.assertIsNone(self.successResultOf(self.answered))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_waits_no_longer_than_it_says(self) -> None:
        self.clock.advance(ROUTERS_SECONDS - 1)
        self.assertNoResult(self.answered)
        self.clock.advance(1)
        self.assertIsNone(self.successResultOf(self.answered))

    def test_stop_meanwhile_is_told(self) -> None:
        self.routing.running = False
        self.asked.callback(None)
        self.failureResultOf(self.answered, ServiceStopped)

"""
Draining: what is open may finish, and nothing new begins.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from routing_crust.daemon.live.drain import WHY, Drain
from routing_crust.daemon.live.source import SettingsSource
from routing_crust.errors import ConfigurationError, NotConnected
from routing_crust.streams import StreamReason, StreamRefused, streams_of
from tests.daemon.forward.carrying_case import CarryingCase
from tests.streams.protocols import Keeping


class DrainTests(CarryingCase):
    """The server drains, and the client has a connection with it."""

    def setUp(self) -> None:
        super().setUp()
        for each in (signal.SIGTERM, signal.SIGINT):
            self.addCleanup(signal.signal, each, signal.getsignal(each))
        self.both()
        self.near, self.far = self.open()
        clock = self.net.clock
        clock.callFromThread = self.call  # type: ignore[attr-defined]
        self.drain = Drain(self.registries[0], clock, 10.0)

    def call(self, function: Callable[[], Any]) -> None:
        function()

    def begin(self) -> Deferred[None]:
        over = self.drain.start()
        self.assertNoResult(over)
        return over

    def test_what_is_open_finishes_and_then_it_is_over(self) -> None:
        before = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)]
        over = self.begin()
        self.near.send(b"the rest")
        self.net.run(lambda: self.far.written == b"the rest")
        self.assertNoResult(over)
        self.near.end()
        self.far.end()
        self.net.run(self.over)
        self.net.settle(1)
        self.assertIsNone(self.successResultOf(over))
        self.assertEqual([signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)], before)
        self.assertIsNone(self.drain.left)

    def test_new_streams_are_refused_both_ways_with_the_reason(self) -> None:
        self.begin()
        client, server = streams_of(self.client), streams_of(self.server)
        asked = client.open(self.server.node_name, "ssh", Keeping())
        self.net.settle(1)
        refused = self.failureResultOf(asked, StreamRefused)
        self.assertIs(refused.value.reason, StreamReason.FAILED)
        self.assertIn(WHY, refused.getErrorMessage())
        self.failureResultOf(server.open(self.client.node_name, "ssh", Keeping()), NotConnected)
        self.drain.end()

    def test_time_that_is_over_ends_it(self) -> None:
        over = self.begin()
        self.net.settle(9)
        self.assertNoResult(over)
        left = self.drain.left
        assert left is not None
        self.assertTrue(0 < left <= 1)
        self.net.settle(2)
        self.assertIsNone(self.successResultOf(over))

    def test_second_signal_ends_it_at_once(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            over = Drain(self.registries[0], self.net.clock, 10.0).start()
            os.kill(os.getpid(), number)
            self.assertIsNone(self.successResultOf(over))

    def test_without_a_time_nothing_is_waited_for(self) -> None:
        self.assertIsNone(self.successResultOf(Drain(self.registries[0], self.net.clock, 0.0).start()))

    def test_without_streams_nothing_is_waited_for(self) -> None:
        self.near.lose()
        self.net.run(self.over)
        self.assertIsNone(self.successResultOf(self.drain.start()))


class TimeTests(CarryingCase):
    def test_time_is_read_with_its_unit(self) -> None:
        for text, seconds in (("10s", 10), ("2m", 120), ("0", 0), (5, 5), (1.5, 1.5)):
            self.assertEqual(SettingsSource({}, {"drain": text}).read().drain, seconds)
        for bad in ("soon", "2h", -1, True, "-1"):
            self.assertRaises(ConfigurationError, SettingsSource({}, {"drain": bad}).read)

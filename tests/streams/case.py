"""A network in memory for tests of streams."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from routing_crust import Name, Role, RoutingService
from routing_crust.streams import (
    streams_of,
)
from tests.routing.net import Net

from .protocols import Keeping, Noting


class StreamsCase(SynchronousTestCase):
    """A network in memory. What is left at the end of a test is looked for."""

    def setUp(self) -> None:
        self.net = Net()
        self.addCleanup(self.stop)

    def stop(self) -> None:
        everyone = [streams_of(node) for node in self.net.nodes]
        self.net.stop()
        for each in everyone:
            self.assertEqual(len(each._peers), 0)
        self.assertEqual(self.net.clock.getDelayedCalls(), [])

    def two(self, **options: Any) -> tuple[RoutingService, RoutingService]:
        one, two = self.net.grow(2, **options)
        return one, two

    def client(self, **options: Any) -> RoutingService:
        client = self.net.node(role=Role.CLIENT, listen=(), **options)
        self.net.result(client.when_connected())
        return client

    def open(self, here: RoutingService, there: Name, protocol: str = "echo", kind: Any = Noting) -> Any:
        return self.net.result(streams_of(here).open(there, protocol, Keeping(kind)))

    def fails(self, deferred: Deferred[Any], *kinds: type[Exception]) -> Any:
        error: Any = self.assertRaises(kinds, self.net.result, deferred)
        return error

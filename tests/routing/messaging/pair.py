"""Two linked nodes that send each other messages."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.wire.codec import encode

from .messaging_net import FakeLink, FakeNet


class Pair(SynchronousTestCase):
    """Two linked nodes."""

    def setUp(self) -> None:
        self.start()

    def start(self, **settings: object) -> None:
        self.net = FakeNet(**settings)
        self.one, self.two = self.net.node("00"), self.net.node("11")
        self.link = self.net.link(self.one, self.two)
        self.addCleanup(self.at_end, self.net)

    def at_end(self, net: FakeNet) -> None:
        net.stop()
        self.assertEqual(net.timers, [])
        for node in net.nodes:
            self.assertEqual(node.messenger.outstanding, 0)
            self.assertEqual(node.messenger.requests_running, 0)
            self.assertEqual(len(node.messenger._queues), 0)
            self.assertEqual(node.messenger.relaying_bytes, 0)

    def lose(self, kind: int, count: int = 1) -> None:
        """Lose the next frames of a kind."""
        left = [count]

        def fate(link: FakeLink, frame_kind: int, payload: bytes) -> list[float]:
            if frame_kind == kind and left[0]:
                left[0] -= 1
                return []
            return [0.0]

        self.net.fate = fate

    def arrive(self, kind: int, payload: Any, at: FakeLink | None = None) -> None:
        """Have a frame arrive at the second node, encoded if it is not bytes."""
        end = at or self.link.other
        end.arrived(kind, payload if isinstance(payload, bytes) else encode(payload))
        self.net.run()

"""Four nodes in a line, whose messages go over other nodes."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.identity import Identity
from routing_crust.names import Name
from routing_crust.routing.envelopes import Sealer
from routing_crust.wire.codec import encode
from routing_crust.wire.end_to_end import (
    Flavour,
    MessagePart,
)
from routing_crust.wire.messages import Envelope, EnvelopeKind

from .messaging_net import FakeLink, FakeNet, FakeNode


class Routed(SynchronousTestCase):
    """Four nodes in a line."""

    def setUp(self) -> None:
        self.start()

    def start(self, **settings: object) -> None:
        self.net = FakeNet(**settings)
        self.one, self.two, self.three, self.four = self.net.line()
        self.addCleanup(self.at_end, self.net)

    def at_end(self, net: FakeNet) -> None:
        net.stop()
        self.assertEqual(net.timers, [])
        for node in net.nodes:
            self.assertEqual(node.messenger.outstanding, 0)
            self.assertEqual(node.messenger.relaying_bytes, 0)

    def between(self, one: FakeNode, other: FakeNode) -> FakeLink:
        return one.links[other.name]

    def lose_between(self, one: FakeNode, other: FakeNode) -> None:
        """From now on what the first sends to the other is lost, in silence."""
        before = self.net.fate

        def fate(link: FakeLink, kind: int, payload: bytes) -> list[float]:
            lost = link.node is one and link.peer == other.name
            return [] if lost else before(link, kind, payload)

        self.net.fate = fate

    def sealed(
        self,
        by: FakeNode | Identity,
        to: Name,
        part: object,
        kind: EnvelopeKind = EnvelopeKind.CONNECT_GO,
        **other: Any,
    ) -> Envelope:
        """An envelope that some node has signed."""
        who = by.identity if isinstance(by, FakeNode) else by
        sealer = Sealer(who, other.pop("network", "default"), 20, Random(5))
        return sealer.seal(other.pop("id", 1 << 16), kind, to, encode(part), **other)

    def join(self, one: FakeNode, other: FakeNode) -> None:
        """Have a session between two nodes, as if they had exchanged messages before."""
        sent = one.messenger.send(other.name, b"joined")
        self.net.run()
        self.successResultOf(sent)
        other.got.clear()
        for node in self.net.nodes:
            for link in node.links.values():
                link.sent.clear()

    def arrive(self, link: FakeLink, envelope: Envelope) -> None:
        """An envelope arrives at the far end of a link."""
        link.send(6, encode(envelope))
        self.net.run()


PART = MessagePart(7, 0, 1, Flavour.SEND, b"", b"x")

"""Junk through a relay."""

from __future__ import annotations

from routing_crust.wire.end_to_end import (
    Flavour,
    MessagePart,
)

from .messaging_net import envelopes
from .routed import Routed


class CrowdedLinkTests(Routed):
    """Junk through a relay, for a peer whose link takes it slowly."""

    def test_honest_message_passes_junk_that_waits_for_the_same_peer(self) -> None:
        self.join(self.one, self.three)
        hostile = self.net.node("1100")
        attachment = self.net.attach(hostile, self.two)
        way = self.between(self.two, self.three)
        way.queued = 1 << 20
        junk = MessagePart(7, 0, 2, Flavour.SEND, b"", bytes(16_000))
        for number in range(200):
            self.arrive(attachment, self.sealed(hostile, self.three.name, junk, id=number << 20))
        sent = self.one.messenger.send(self.three.name, b"x")
        self.net.run(1)
        self.assertEqual(envelopes(way), [])
        self.assertEqual(self.two.messenger.relay_status["waiting"], 201)
        way.queued = 0
        self.net.run(0.2)
        self.successResultOf(sent)
        self.assertIn(self.one.name.raw, [each.source for each in envelopes(way)[:10]])

    def test_envelope_that_waited_goes_over_the_link_that_has_replaced_its_own(self) -> None:
        self.between(self.two, self.three).queued = 1 << 20
        sent = self.one.messenger.send(self.three.name, b"x")
        self.net.run(0.1)
        self.net.link(self.two, self.three)
        self.net.run(0.1)
        self.successResultOf(sent)

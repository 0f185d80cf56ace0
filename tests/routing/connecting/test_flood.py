"""Connection requests of made-up keys through another node: who is kept out by them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from routing_crust import Identity
from routing_crust.errors import CloseReason
from routing_crust.limits import EXPECTED_TIMEOUT_SECONDS
from routing_crust.routing.core import RoutingCore
from routing_crust.routing.envelopes import REQUEST_LABEL
from routing_crust.routing.service import RoutingService
from routing_crust.wire.codec import encode
from routing_crust.wire.messages import ConnectRequest, Envelope, EnvelopeKind, LinkUse, Signed
from tests.routing.net import Net

KEYS = 140
REQUESTS = 2
"""Of each key: as many as one peer may have expected."""


class FloodTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.net = Net()
        self.addCleanup(self.net.stop)
        _, self.victim, self.through = self.net.grow(3)

    def flood(self) -> None:
        """Ask the victim for connections in the names of all keys, through another node."""
        core = self.core(self.victim)
        link = core.links.link_to(self.through.node_name)
        for number in range(KEYS):
            identity = self.net.identity()
            for _ in range(REQUESTS):
                envelope = self.request(identity, self.victim, number)
                core.validator.request_received(envelope, identity.name, link)

    def request(self, identity: Identity, node: RoutingService, number: int) -> Envelope:
        now = self.net.clock.seconds()
        nonce = self.net.random.randbytes(16)
        expiry = now + EXPECTED_TIMEOUT_SECONDS
        body = encode(ConnectRequest(node.node_name.raw, nonce, now, expiry, 1, LinkUse.DIRECT, ()))
        signature = identity.sign(REQUEST_LABEL, node.settings.network, body)
        signed = encode(Signed(identity.name.raw, body, signature))
        return Envelope(
            id=number,
            hops_left=9,
            destination=node.node_name.raw,
            nearest=False,
            destination_proxy=b"",
            source_proxy=b"",
            kind=EnvelopeKind.CONNECT_REQUEST,
            source=identity.name.raw,
            body=signed,
            signature=b"",
        )

    def test_newcomer_and_own_requests_get_through_a_flood_of_requests(self) -> None:
        """Both find a place while the flood has as many as it may."""
        self.flood()
        core = self.core(self.victim)
        self.assertLess(len(core.attempts.expected), self.victim.settings.max_expected)
        newcomer = self.net.node()
        self.net.run(lambda: core.links.peer(newcomer.node_name) is not None, 5)
        self.net.settle(3)
        core.links.drop(newcomer.node_name, CloseReason.NO_LONGER_NEEDED)
        self.flood()
        self.net.result(self.victim.connect(newcomer.node_name), 5)

    def core(self, node: RoutingService) -> RoutingCore:
        """What a running node is made of."""
        assert node._core is not None
        return node._core

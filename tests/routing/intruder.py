"""The intruder: a bare crust with a proven name, as all have who get this far. It sends what it likes."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from routing_crust import Identity, RoutingService, Settings
from routing_crust.crust.interfaces import ICrustEvents, ILink
from routing_crust.crust.reachability import Reachability
from routing_crust.endpoints import Endpoint
from routing_crust.errors import CloseReason, LinkClosed
from routing_crust.identity import PROTOCOL_VERSION
from routing_crust.routing.events import LinkLost
from routing_crust.routing.links.handshake import LABEL
from routing_crust.testing.memory.crust import MemoryCrust
from routing_crust.timing.shares import OURSELVES
from routing_crust.wire.codec import decode, encode, to_wire
from routing_crust.wire.framing import FrameKind
from routing_crust.wire.messages import (
    Confirmation,
    ConfirmationAck,
    ConnectRequest,
    Envelope,
    EnvelopeKind,
    Hello,
    LinkUse,
    Sealed,
    Signed,
    WireRole,
)
from tests.routing.net import Net


@implementer(ICrustEvents)
class Intruder:
    """A bare crust, which keeps what it hears."""

    def __init__(self, net: Net, identity: Identity | None = None) -> None:
        self.net = net
        self.identity = identity or net.identity()
        self.settings = Settings(lan_discovery=False)
        self.crust = MemoryCrust(net.network, self.settings, self.identity)
        self.frames: list[tuple[int, bytes]] = []
        self.lost: list[LinkClosed] = []
        self.accepted: list[ILink] = []
        self.crust.start(self)

    def on_connect(self, link: ILink) -> None:
        link.verified()

    def on_accept(self, link: ILink) -> None:
        link.verified()
        self.accepted.append(link)

    def new_message(self, link: ILink, kind: int, payload: bytes) -> None:
        self.frames.append((kind, payload))

    def link_doubted(self, link: ILink) -> None:
        """Nothing to do."""

    def lost_connection(self, link: ILink, reason: LinkClosed) -> None:
        self.lost.append(reason)

    def bootstrap_finished(self, links: int, problem: str) -> None:
        raise AssertionError("nobody asked for it")

    def external_endpoints(self, endpoints: tuple[Endpoint, ...]) -> None:
        """It knows where it is."""

    def reachability_changed(self, reachability: Reachability) -> None:
        """It does not care."""

    def network_changed(self) -> None:
        """Nor of this."""

    def kinds(self) -> list[int]:
        return [kind for kind, _ in self.frames]

    def dial(self, node: RoutingService, token: bytes = b"") -> ILink:
        return self.net.result(self.crust.connect(node.endpoints, node.node_name, token, OURSELVES))

    def confirm(self, link: ILink) -> None:
        """Confirm the link, whichever end decides."""
        for kind, payload in self.frames:
            if kind == FrameKind.CONFIRMATION:
                epoch = decode(Confirmation, payload).epoch
                link.send(FrameKind.CONFIRMATION_ACK, encode(ConfirmationAck(epoch)))
        if FrameKind.CONFIRMATION not in self.kinds():
            link.send(FrameKind.CONFIRMATION, encode(Confirmation(1, LinkUse.ATTACHED, False)))

    def hello(self, link: ILink, **changes: Any) -> bytes:
        fields: dict[str, Any] = {
            "versions": (PROTOCOL_VERSION,),
            "network": "default",
            "role": WireRole.NODE,
            "incarnation": 1,
            "purpose": b"",
            "observed": to_wire(link.connection.peer),
            "listening": (),
        } | {name: value for name, value in changes.items() if name not in ("binding", "label")}
        body = encode(Hello(**fields))
        binding = changes.get("binding", link.binding)
        signature = self.identity.sign(changes.get("label", LABEL), fields["network"], binding, body)
        return encode(Sealed(body, signature))

    def signed(self, label: str, message: Any) -> bytes:
        body = encode(message)
        return encode(Signed(self.identity.name.raw, body, self.identity.sign(label, "default", body)))

    def request(self, node: RoutingService, **changes: Any) -> ConnectRequest:
        now = self.net.clock.seconds()
        fields: dict[str, Any] = {
            "recipient": node.node_name.raw,
            "nonce": self.net.random.randbytes(16),
            "issued": now,
            "expiry": now + 90,
            "incarnation": 1,
            "use": LinkUse.MEMBER,
            "candidates": tuple(to_wire(each) for each in self.crust.endpoints),
        }
        return ConnectRequest(**(fields | changes))

    def envelope(self, node: RoutingService, kind: EnvelopeKind, body: bytes, **changes: Any) -> bytes:
        return encode(self.open_envelope(node, kind, body, **changes))

    def open_envelope(
        self, node: RoutingService, kind: EnvelopeKind, body: bytes, **changes: Any
    ) -> Envelope:
        fields: dict[str, Any] = {
            "id": self.net.random.getrandbits(60),
            "hops_left": 20,
            "destination": node.node_name.raw,
            "nearest": False,
            "destination_proxy": b"",
            "source_proxy": node.node_name.raw,
            "kind": kind,
            "source": self.identity.name.raw,
            "body": body,
            "signature": b"",
        }
        return Envelope(**(fields | changes))


class IntruderCase(SynchronousTestCase):
    """Three honest nodes; the intruder may not disturb the links of the two others to the first."""

    def setUp(self) -> None:
        self.net = Net()
        self.nodes = self.net.grow(3)
        self.node = self.nodes[0]
        self.net.settle(2)
        self.honest_losses: list[LinkLost] = []
        for node in self.nodes[1:]:
            node.observe(LinkLost, self.honest_losses.append)
        self.intruder = Intruder(self.net)

    def tearDown(self) -> None:
        self.assertIsNone(self.net.result(self.nodes[1].send(self.node.node_name, b"still there?")))
        self.assertEqual(self.honest_losses, [])
        self.assertEqual(self.flushLoggedErrors(), [])
        self.net.stop()
        self.net.result(self.intruder.crust.stop())
        self.assertEqual(self.net.clock.getDelayedCalls(), [])

    def attached(self, **changes: Any) -> ILink:
        """A link of the intruder's that the first node has confirmed."""
        link = self.intruder.dial(self.node)
        link.send(FrameKind.HELLO, self.intruder.hello(link, **changes))
        self.net.settle(0.1)
        self.intruder.confirm(link)
        self.net.settle(0.1)
        return link

    def assert_closed(self, reason: CloseReason) -> None:
        self.net.settle(0.2)
        self.assertEqual([each.reason for each in self.intruder.lost], [reason])
        self.assertTrue(self.intruder.lost[0].by_peer)

"""Small private networks, and who is no member of them."""

from __future__ import annotations

from typing import Any

from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.errors import CloseReason
from routing_crust.identity import Identity
from routing_crust.routing.private.membership import Membership
from routing_crust.routing.private.network import PrivateNetwork
from routing_crust.testing.host import SimulatedNode
from routing_crust.testing.play.raider import Raider, RaiderLink
from routing_crust.testing.private import Founder
from routing_crust.testing.simulation import SimulatedNetwork
from routing_crust.trust.codec import encode_certificate
from routing_crust.trust.statement import SignedStatement
from routing_crust.wire.codec import decode
from routing_crust.wire.framing import FrameKind
from routing_crust.wire.members import Refused
from routing_crust.wire.messages import Goodbye

DAY = 86_400.0


class PrivateCase(SynchronousTestCase):
    """
    Three members, of which the first is an admin, and a log.

    @ivar lines: all that was logged, as texts.
    """

    members = 3

    def setUp(self) -> None:
        self.lines: list[str] = []
        self.net = SimulatedNetwork(5, private=True, latency=0.02)
        founder = self.net.founder
        assert founder is not None
        self.founder: Founder = founder
        globalLogPublisher.addObserver(self.note)
        self.addCleanup(globalLogPublisher.removeObserver, self.note)
        self.nodes = self.net.nodes(self.members)
        self.net.run_until(self.net.joined)
        self.net.run_for(10)  # until all have links with all
        self.admin = self.nodes[0]
        self.addCleanup(self.net.stop)

    def note(self, event: Any) -> None:
        self.lines.append(str(formatEvent(event)))

    def logged(self, *parts: str) -> list[str]:
        """The lines that have all of these parts."""
        return [line for line in self.lines if all(part in line for part in parts)]

    def private(self, node: SimulatedNode) -> PrivateNetwork:
        assert node.core is not None
        assert node.core.private is not None
        return node.core.private

    def membership_of(self, node: SimulatedNode) -> Membership:
        assert node.membership is not None
        return node.membership

    def ban(self, node: SimulatedNode, by: SimulatedNode | None = None, note: str = "") -> SignedStatement:
        """Ban a member, at the admin's node or another one."""
        roster = self.membership_of(self.admin).roster
        statement = self.founder.issuer().ban(node.name, roster, self.net.clock.seconds(), note)
        self.private(by or self.admin).add_statements([statement])
        return statement

    def links_to(self, node: SimulatedNode) -> list[SimulatedNode]:
        """Who has a confirmed link to this node."""
        return [
            each
            for each in self.net.alive
            if each.core is not None and each.core.links.peer(node.name) is not None
        ]


class Stranger:
    """
    Dials members, and shows what it likes.

    @ivar frames: the frames that have come.
    """

    def __init__(self, case: PrivateCase, identity: Identity | None = None) -> None:
        self.case = case
        self.raider = Raider(case.net, 1)
        self.identity = identity or self.raider.new_key()
        self.frames: list[tuple[int, bytes]] = []
        case.addCleanup(self.raider.stop)

    def shows(self, membership: Membership) -> Stranger:
        """Show this certificate."""
        self.raider.certificate = encode_certificate(membership.certificate)
        return self

    def dial(self, node: SimulatedNode, **hello: Any) -> RaiderLink:
        """Dial a node and say Hello; what comes back is kept."""

        def up(link: RaiderLink, kind: int, payload: bytes) -> None:
            link.on_frame = self.received
            link.hello(**hello)

        link = self.raider.dial(node, self.identity, up)
        self.case.net.run_for(1)
        return link

    def received(self, link: RaiderLink, kind: int, payload: bytes) -> None:
        self.frames.append((kind, payload))

    @property
    def kinds(self) -> list[int]:
        return [kind for kind, _ in self.frames]

    @property
    def refusal(self) -> Refused:
        """Why it was told that it is no member."""
        (payload,) = (payload for kind, payload in self.frames if kind == FrameKind.REFUSED)
        return decode(Refused, payload)

    @property
    def goodbye(self) -> CloseReason:
        (payload,) = (payload for kind, payload in self.frames if kind == FrameKind.GOODBYE)
        return CloseReason(decode(Goodbye, payload).reason)

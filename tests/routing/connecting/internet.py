"""Nodes on a fake clock, each with a crust that is told what it would find out on the internet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from routing_crust import Role, RoutingService, Settings
from routing_crust.crust.interfaces import ILink, Rendezvous
from routing_crust.crust.reachability import Dialable, Reachability
from routing_crust.endpoints import Endpoint
from routing_crust.errors import CloseReason, ConnectFailed
from routing_crust.identity import Identity
from routing_crust.names import Name
from routing_crust.routing.connecting.reachability_checks import SOON_SECONDS
from routing_crust.timing.shares import Account
from routing_crust.wire.codec import decode, encode
from routing_crust.wire.framing import FrameKind
from routing_crust.wire.messages import DialBack, DialFor, Dialled, NatKind

from ..net import Net, RecordingCrust


class InternetCrust(RecordingCrust):
    """
    A crust on the internet at large.

    @ivar dialable: what it knows of itself.
    @ivar dial_back_gives: the result of dials for others: whether they succeed, or a failure; C{None} if they
        do not end.
    @ivar dialled_for: the nodes that it has dialled for others, with their endpoints.
    @ivar useful: the endpoints that it would dial to be seen there.
    """

    def __init__(self, *arguments: Any, **rest: Any) -> None:
        super().__init__(*arguments, **rest)
        self.outside = self.listening
        self.nat = NatKind.UNKNOWN
        self.dialable = Dialable.UNKNOWN
        self.dial_back_gives: bool | Exception | None = True
        self.dialled_for: list[tuple[Name, tuple[Endpoint, ...]]] = []
        self.waiting: list[Deferred[Endpoint]] = []
        self.useful: set[Endpoint] = set()
        self.dialled: list[Endpoint] = []

    @property
    def reachability(self) -> Reachability:
        return Reachability(self.nat, self.dialable, 0.0)

    def set_dialable(self, dialable: Dialable) -> None:
        self.dialable = dialable
        self.nat = NatKind.OPEN if dialable is Dialable.YES else NatKind.UNKNOWN
        self._ending.tell(self._events.reachability_changed, self.reachability)

    def may_observe(self, endpoint: Endpoint) -> bool:
        return endpoint in self.useful

    def connect(
        self,
        endpoints: Sequence[Endpoint],
        peer: Name | None,
        token: bytes,
        asked_by: Account,
        rendezvous: Rendezvous | None = None,
    ) -> Deferred[ILink]:
        if not token:
            self.dialled += endpoints
        return super().connect(endpoints, peer, token, asked_by, rendezvous)

    def dial_back(self, endpoints: Sequence[Endpoint], peer: Name, asked_by: Account) -> Deferred[Endpoint]:
        self.dialled_for.append((peer, tuple(endpoints)))
        if self.dial_back_gives is None:
            self.waiting.append(Deferred())
            return self.waiting[-1]
        if self.dial_back_gives is True:
            return succeed(endpoints[0])
        return fail(self.dial_back_gives or ConnectFailed(()))


class Internet(Net):
    """A network of nodes with such a crust."""

    def __init__(self, seed: int = 1) -> None:
        super().__init__(seed)
        self.last = 0

    def make(self, identity: Identity, settings: Settings, **options: Any) -> RoutingService:
        self.last += 1
        options.setdefault("endpoints", (Endpoint(f"9.0.{self.last}.1", 5483),))
        crust = InternetCrust(self.network, settings, identity, **options)
        return RoutingService(
            settings, reactor=self.clock, identity=identity, crust=crust, random=self.random
        )

    def node(self, role: Role | None = None, **options: Any) -> RoutingService:
        return super().node(role, **options)

    def crust(self, node: RoutingService) -> InternetCrust:
        crust = node._crust
        assert isinstance(crust, InternetCrust)
        return crust


class Frames:
    """The frames of dialling back that a node sends."""

    def __init__(self, net: Internet, node: RoutingService) -> None:
        self.sent: list[tuple[Name, int, Any]] = []
        types = {20: DialBack, 21: DialFor, 22: Dialled, 23: Dialled}
        for link in net.crust(node).links:
            self._watch(link, types)

    def _watch(self, link: Any, types: dict[int, type]) -> None:
        send = link.send

        def watched(kind: int, payload: bytes) -> None:
            if kind in types:
                self.sent.append((link.peer, int(kind), decode(types[kind], payload)))
            send(kind, payload)

        link.send = watched

    def of(self, kind: int) -> list[tuple[Name, Any]]:
        return [(peer, message) for peer, each, message in self.sent if each == kind]


class InternetCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.net = Internet()
        self.addCleanup(self.net.stop)

    def star(self, arms: int) -> tuple[RoutingService, list[RoutingService]]:
        """One node that is linked with all others, and these with no other; no check is under way."""
        first, *others = self.net.grow(1 + arms)
        for each in (first, *others):
            each._core.joiner.wake = lambda: None  # type: ignore[method-assign]
            each._core.joiner.rest()
            each._core.prober.stop()
            each._core.reachability.rest()
        for one in others:
            for other in others:
                one._core.links.drop(other.node_name, CloseReason.NO_LONGER_NEEDED)
        self.net.settle(1)
        self.assertEqual(len(first._core.links.peers), arms)
        for one in others:
            self.assertEqual([each.name for each in one._core.links.peers], [first.node_name])
        for each in self.net.nodes:
            self.net.crust(each).dialled.clear()
            self.net.crust(each).dialled_for.clear()
        return first, others

    def check(self, node: RoutingService) -> Frames:
        """Have a check made, soon."""
        frames = Frames(self.net, node)
        node._core.reachability.start()
        self.net.settle(SOON_SECONDS * 2)
        return frames

    def send(self, node: RoutingService, peer: RoutingService, kind: FrameKind, message: Any) -> None:
        """Have a node send a frame of its own making."""
        link = node._core.links.link_to(peer.node_name)
        assert link is not None
        link.send(kind, encode(message))

"""What the tests of tunnels share."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from routing_crust import RoutingService
from routing_crust.crust.interfaces import ILink
from routing_crust.endpoints import PathKind
from routing_crust.wire.messages import NatKind

from ..net import Net


class TunnelCase(SynchronousTestCase):
    """A network in which two nodes, C{a} and C{b}, cannot dial each other."""

    def setUp(self) -> None:
        self.net = Net(7)
        self.addCleanup(self.net.stop)
        self.addCleanup(lambda: self.assertEqual(self.flushLoggedErrors(), []))

    def keep_apart(self, one: RoutingService, two: RoutingService, nat: NatKind = NatKind.SYMMETRIC) -> None:
        """Let neither dial the other, and both know why."""
        here, there = self.net.crust(one), self.net.crust(two)
        self.net.network.block(here, there)
        self.net.network.block(there, here)
        here.nat = there.nat = nat

    def let_together(self, one: RoutingService, two: RoutingService) -> None:
        """Let each dial the other again."""
        here, there = self.net.crust(one), self.net.crust(two)
        self.net.network.unblock(here, there)
        self.net.network.unblock(there, here)

    def make(self, relays: int = 1, **options: Any) -> list[RoutingService]:
        """Make this number of nodes that others can dial, and then two that cannot dial each other."""
        self.net.grow(relays)
        for each in self.net.nodes:
            self.net.crust(each).nat = NatKind.OPEN
        self.make_apart(**options)
        return self.net.nodes

    def make_apart(self, nat: NatKind = NatKind.SYMMETRIC, **options: Any) -> None:
        """Make two nodes that cannot dial each other."""
        a = self.net.node(**options)
        b = self.net.node(**options)
        self.keep_apart(a, b, nat)
        self.a, self.b = a, b

    def link(self, node: RoutingService, peer: RoutingService) -> ILink | None:
        assert node._core is not None
        return node._core.links.link_to(peer.node_name)

    def path_kind(self, node: RoutingService, peer: RoutingService) -> PathKind | None:
        link = self.link(node, peer)
        return None if link is None else link.path_kind

    def both(self, path_kind: PathKind | None) -> bool:
        """Whether the two have a link of this kind, or none, at both ends."""
        return self.path_kind(self.a, self.b) is path_kind and self.path_kind(self.b, self.a) is path_kind

    def until(self, path_kind: PathKind | None, timeout: float = 60) -> float:
        """Wait for that, and return how many seconds it took."""
        before = self.net.clock.seconds()
        self.net.run(lambda: self.both(path_kind), timeout)
        return self.net.clock.seconds() - before

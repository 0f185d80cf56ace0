"""Many nodes behind one address, linked by tunnels with a node elsewhere, until better links replace them."""

from __future__ import annotations

from routing_crust import Identity, RoutingService, Settings
from routing_crust.endpoints import Endpoint, PathKind
from routing_crust.wire.messages import NatKind

from .tunnel_case import TunnelCase

HOSTS_IN_THE_OFFICE = 5
MAX_SECONDS_WITH_A_TUNNEL = 60.0
MAX_SECONDS_BY_REQUESTS = 20.0


class OfficeTests(TunnelCase):
    def host(self, identity: Identity, host: str, **options: float) -> RoutingService:
        """Make and start a node with this address."""
        contacts = [self.net.contact(each) for each in self.net.nodes[:1]]
        settings = Settings(lan_discovery=False, contacts=tuple(contacts), **options)
        node = self.net.make(identity, settings, endpoints=(Endpoint(host, 5483),))
        self.net.nodes.append(node)
        node.startService()
        return node

    def identity_far_from(self, node: RoutingService) -> Identity:
        """One that is in the same bucket of that node's table as all others of these."""
        while True:
            identity = self.net.identity()
            if node.node_name.common_prefix(identity.name) == 0:
                return identity

    def test_strangers_cannot_keep_a_tunnel_from_being_replaced(self) -> None:
        """
        Only the node at home can dial, and only the hosts of the office ask: it dials for all of them at
        once, although it dials but one address of a prefix a minute for strangers.
        """
        self.net.grow(1)
        self.net.crust(self.net.nodes[0]).nat = NatKind.OPEN
        home = self.host(self.net.identity(), "9.0.2.1", stranger_dials_per_prefix=1.0)
        hosts = [
            self.host(self.net.identity(), f"9.0.3.{1 + number}") for number in range(HOSTS_IN_THE_OFFICE)
        ]
        for each in hosts:
            self.keep_apart(home, each)
        self.net.run(lambda: all(self.path_kind(home, each) is PathKind.TUNNEL for each in hosts))
        self.patch(home._core.connector, "improve", lambda name, use: None)
        for each in hosts:
            self.net.network.unblock(self.net.crust(home), self.net.crust(each))
            each._core.tunnels.wake()
        self.net.run(
            lambda: all(self.path_kind(home, each) is PathKind.DIRECT for each in hosts),
            MAX_SECONDS_BY_REQUESTS,
        )

    def test_better_link_of_a_member_by_tunnel_is_not_refused_for_its_prefix(self) -> None:
        """The office has more hosts than a bucket takes of a prefix, and all are members by tunnels."""
        (relay,) = self.net.grow(1)
        self.net.crust(relay).nat = NatKind.OPEN
        home = self.host(self.net.identity(), "9.0.2.1")
        hosts = [
            self.host(self.identity_far_from(home), f"9.0.3.{1 + number}")
            for number in range(HOSTS_IN_THE_OFFICE)
        ]
        self.assertGreater(HOSTS_IN_THE_OFFICE, home.settings.max_same_prefix_in_bucket)
        for each in hosts:
            self.keep_apart(home, each)
        self.net.run(lambda: all(self.path_kind(home, each) is PathKind.TUNNEL for each in hosts))
        for each in hosts:
            self.assertIn(each.node_name, home._core.neighbourhood.table)
            self.let_together(home, each)

        def replaced() -> bool:
            return all(self.path_kind(home, each) is PathKind.DIRECT for each in hosts)

        self.net.run(replaced, MAX_SECONDS_WITH_A_TUNNEL)
        self.net.settle(MAX_SECONDS_WITH_A_TUNNEL)
        self.assertTrue(replaced())
        for each in hosts:
            self.assertIn(each.node_name, home._core.neighbourhood.table)

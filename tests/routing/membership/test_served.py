"""A node that nobody makes a member, though its proxy lets it in: it is served as a client is."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from routing_crust import RoutingService, TwoWay
from routing_crust.routing.events import LinkLost
from routing_crust.routing.membership.attachment import SERVED_AFTER_SECONDS
from routing_crust.testing.memory.nat import PORT_RESTRICTED
from routing_crust.testing.simulation import SimulatedNetwork


class ServedTests(SynchronousTestCase):
    """Behind a NAT that lets no dial in, and in a network whose nodes want links in both directions."""

    def setUp(self) -> None:
        self.net = SimulatedNetwork(seed=5, internet=True)
        self.addCleanup(self.net.stop)
        self.public = [self.net.node(two_way=TwoWay.REQUIRED) for _ in range(3)]
        self.net.run_until(self.net.joined, 60)
        self.node = self.net.node(nat=PORT_RESTRICTED, setup=_answer)

    def served(self) -> None:
        self.net.run_until(lambda: self.node.connected, SERVED_AFTER_SECONDS + 2)

    def table(self) -> int:
        assert self.node.core is not None
        return len(self.node.core.table)

    def test_it_is_connected_and_reached_by_name_within_12_seconds(self) -> None:
        """Messages go both ways, also from nodes that are not its proxy."""
        self.served()
        self.assertEqual(self.table(), 0)
        self.net.run_for(3)
        for other in self.public:
            self.assertEqual(self.net.result_of(other.service.request(self.node.name, b"?")), b"here")
            self.net.result_of(self.node.service.send(other.name, b"hello"))

    def test_it_gets_links_within_3_seconds(self) -> None:
        """To a node that can be dialled, and through the proxy to one that cannot."""
        self.served()
        other = self.net.node(nat=PORT_RESTRICTED)
        self.net.run_until(lambda: other.connected, SERVED_AFTER_SECONDS + 2)
        for peer in (*self.public, other):
            began = self.net.clock.now
            self.net.result_of(self.node.service.connect(peer.name))
            self.assertLess(self.net.clock.now - began, 3)

    def test_its_proxy_is_kept_while_nobody_makes_it_a_member(self) -> None:
        """What goes through it would be lost, and there is no better one."""
        self.served()
        lost: list[LinkLost] = []
        self.node.service.observe(LinkLost, lost.append)
        self.net.run_for(300)
        self.assertTrue(self.node.connected)
        self.assertEqual(lost, [])

    def test_it_lets_nobody_in_meanwhile(self) -> None:
        """It would be a dead end for them. Those who can dial it are turned away, with the reason."""
        self.node.stop()
        net = SimulatedNetwork(seed=6)
        self.addCleanup(net.stop)
        first = net.node(two_way=TwoWay.REQUIRED)
        node = net.node(start=False)
        net.network.block(first.crust, node.crust)
        node.start()
        net.run_until(lambda: node.connected, SERVED_AFTER_SECONDS + 2)
        assert node.contact is not None
        late = net.node(contacts=(node.contact,))
        net.run_for(30)
        self.assertFalse(late.connected)
        self.assertEqual(late.service.status()["links"], [])

    def test_it_becomes_a_member_once_somebody_takes_it(self) -> None:
        """It has gone on asking, and publishes no proxy any more."""
        self.served()
        self.public.append(self.net.node())
        self.net.run_until(lambda: self.table() > 0, 60)
        self.net.run_until(lambda: self.node.service.group_connected, 120)


def _answer(service: RoutingService) -> None:
    service.set_request_handler(lambda message: b"here")

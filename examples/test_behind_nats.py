"""How nodes behind NATs are tested. Run it with: python -m twisted.trial examples/test_behind_nats.py"""

from twisted.trial.unittest import SynchronousTestCase

from routing_crust import Message, RoutingService
from routing_crust.endpoints import PathKind
from routing_crust.testing import (
    FULL_CONE,
    PORT_RESTRICTED,
    SYMMETRIC,
    Nat,
    Router,
    SimulatedNetwork,
    SimulatedNode,
)


class BehindNatsTests(SynchronousTestCase):
    """Three nodes that can be dialled from anywhere, and two that cannot."""

    def setUp(self) -> None:
        self.network = SimulatedNetwork(seed=1, internet=True)
        self.network.nodes(3)

    def node(self, nat: Nat | Router) -> SimulatedNode:
        return self.network.node(nat=nat, setup=self.install)

    def install(self, service: RoutingService) -> None:
        service.set_request_handler(self.answer)

    def answer(self, message: Message) -> bytes:
        return b"hello " + message.body

    def talk(self, one: SimulatedNode, two: SimulatedNode) -> PathKind:
        """They talk by name. Returns what kind of link they have."""
        self.network.run_until(self.network.joined, 120)
        link = self.network.result_of(one.service.connect(two.name))
        answer = self.network.result_of(one.service.request(two.name, b"world"))
        self.assertEqual(answer, b"hello world")
        return link.path_kind

    def test_two_behind_nats_punch_through(self) -> None:
        """Both dial at once, and so get through each other's NAT."""
        one, two = self.node(PORT_RESTRICTED), self.node(PORT_RESTRICTED)
        self.assertIs(self.talk(one, two), PathKind.PUNCHED)

    def test_symmetric_nat_takes_a_tunnel(self) -> None:
        """A symmetric NAT takes a new port for each peer, which the other cannot know: a third node helps."""
        one, two = self.node(SYMMETRIC), self.node(PORT_RESTRICTED)
        self.assertIs(self.talk(one, two), PathKind.TUNNEL)

    def test_nodes_meet_again_after_a_change_of_address(self) -> None:
        """Their provider gives one of them another address, and they find each other again, without help."""
        one, two = self.node(PORT_RESTRICTED), self.node(PORT_RESTRICTED)
        self.talk(one, two)
        one.change_address()
        self.network.run_for(120)
        self.assertIsNot(self.talk(one, two), PathKind.TUNNEL)

    def test_two_behind_one_router_need_no_help(self) -> None:
        """Two behind one router, which is behind another, are in one network: they need no help."""
        router = self.network.nat(PORT_RESTRICTED, behind=self.network.nat(FULL_CONE))
        one, two = self.node(router), self.node(router)
        self.assertIs(self.talk(one, two), PathKind.DIRECT)

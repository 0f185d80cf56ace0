"""Direct links that others have asked for: who keeps whom out, and who makes room."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import Role, Settings
from routing_crust.endpoints import Endpoint
from routing_crust.errors import CloseReason
from routing_crust.identity import Identity
from routing_crust.names import Name
from routing_crust.routing.links.granted import GrantedLinks
from routing_crust.routing.links.idle import IdleLinks
from routing_crust.routing.links.peer import Peer
from routing_crust.routing.links.registry import LinkRegistry
from routing_crust.routing.node import Node
from routing_crust.testing.play.raider import Raider, RaiderLink
from routing_crust.testing.simulation import SimulatedNetwork
from routing_crust.wire.messages import LinkUse


class FakeLinks:
    """As much of the registry as is asked; C{len} counts links without a peer, too."""

    def __init__(self) -> None:
        self.peers: list[Any] = []
        self.unconfirmed = 0
        self.dropped: list[tuple[Name, CloseReason]] = []

    def __len__(self) -> int:
        return len(self.peers) + self.unconfirmed

    def link_to(self, name: Name) -> Any:
        return next((each.link for each in self.peers if each.name == name), None)

    def drop(self, name: Name, reason: CloseReason, detail: str = "") -> None:
        self.dropped.append((name, reason))
        self.peers = [each for each in self.peers if each.name != name]


class GrantedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.links = FakeLinks()
        self.idle = IdleLinks(Clock(), 60.0, lambda name: None)
        node = cast(Node, SimpleNamespace(settings=Settings(max_links=8)))
        self.granted = GrantedLinks(node, cast(LinkRegistry, self.links), self.idle)

    def peer(self, host: str, use: LinkUse = LinkUse.DIRECT) -> Peer:
        """One more peer, with everything that follows."""
        number = len(self.links.peers) + len(self.links.dropped) + 1
        link: Any = SimpleNamespace(connection=SimpleNamespace(peer=Endpoint(host, number)))
        name = Identity.from_seed(bytes([number]) * 32).name
        peer: Any = SimpleNamespace(name=name, link=link, use=use, since=float(number))
        self.links.peers.append(peer)
        self.granted.peer_established(peer, None)
        return cast(Peer, peer)

    def stranger(self) -> Name:
        return Identity.from_seed(bytes([200]) * 32).name

    def test_half_of_all_links_is_kept_for_our_own(self) -> None:
        for third in range(4):
            self.assertTrue(self.granted.has_room(self.stranger()))
            self.peer(f"8.8.{third}.1")
        self.assertFalse(self.granted.has_room(self.stranger()))

    def test_unconfirmed_links_and_attached_peers_keep_nobody_out(self) -> None:
        self.links.unconfirmed = 20
        for third in range(8):
            self.peer(f"8.8.{third}.1", LinkUse.ATTACHED)
        self.assertTrue(self.granted.has_room(self.stranger()))

    def test_prefix_that_is_well_ahead_makes_room_with_its_newest_link(self) -> None:
        crowd = [self.peer("8.8.8.1"), self.peer("8.8.8.2"), self.peer("8.8.8.2")]
        self.peer("9.9.9.9")
        self.assertTrue(self.granted.has_room(self.stranger()))
        self.peer("7.7.7.7")
        self.assertEqual(self.links.dropped, [(crowd[2].name, CloseReason.TOO_MANY_LINKS)])

    def test_crowded_prefix_gets_no_more_at_the_expense_of_others(self) -> None:
        for _ in range(3):
            self.peer("8.8.8.8")
        self.peer("9.9.9.9")
        attached = self.peer("8.8.8.8", LinkUse.ATTACHED)
        self.assertFalse(self.granted.has_room(attached.name))
        raised = self.peer("8.8.8.8")
        self.assertEqual([name for name, _ in self.links.dropped], [raised.name])

    def test_links_that_we_use_ourselves_make_no_room(self) -> None:
        for keep in (self.idle.keep, self.idle.borrow, self.idle.keep):
            keep(self.peer("8.8.8.8").name)
        other = self.peer("9.9.9.9")
        self.assertFalse(self.granted.has_room(self.stranger()))
        last = self.peer("9.9.9.9")
        self.assertEqual([name for name, _ in self.links.dropped], [last.name])
        self.assertIn(other, self.links.peers)

    def test_member_that_had_a_direct_link_is_no_newcomer(self) -> None:
        before = self.peer("8.8.8.8")
        for _ in range(5):
            self.links.peers.append(before)
        self.granted.peer_established(before, before)
        self.assertEqual(self.links.dropped, [])


class FloodTests(SynchronousTestCase):
    def test_host_with_unconfirmed_links_keeps_nobody_from_a_direct_link(self) -> None:
        """It has no standing, and says Hello and nothing more on as many links as half of all."""
        network = SimulatedNetwork(3, internet=True, max_links=32)
        self.addCleanup(network.stop)
        nodes = network.nodes(5)
        network.run_until(network.joined)
        client = network.node(role=Role.CLIENT)
        network.result_of(client.service.when_connected())
        assert client.core is not None
        target = next(each for each in nodes if each.name != client.core.proxy)
        raider = Raider(network, 4)
        self.addCleanup(raider.stop)

        def hello(link: RaiderLink, kind: int, payload: bytes) -> None:
            link.hello()

        for _ in range(20):
            raider.dial(target, None, hello)
        network.run_for(2)
        assert target.core is not None
        self.assertGreater(len(target.core.links), 16)
        network.result_of(client.service.connect(target.name), 5)

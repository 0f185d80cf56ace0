"""Who makes room at a full proxy, and who is let go."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from routing_crust import Role
from routing_crust.endpoints import Direction
from routing_crust.errors import CloseReason
from routing_crust.limits import BOOTSTRAP_TIMEOUT_SECONDS
from routing_crust.routing.membership.proxied import JOINING_SECONDS, who_makes_room
from routing_crust.wire.framing import FrameKind
from routing_crust.wire.messages import LinkUse

from ...crust.addresses import at
from ..intruder import Intruder
from ..net import Net


def peer(text: str, since: float = 0.0, *, client: bool = True) -> Any:
    link = SimpleNamespace(connection=SimpleNamespace(peer=at(text)), direction=Direction.ACCEPTED)
    facts = SimpleNamespace(is_client=client)
    return SimpleNamespace(name=text, link=link, since=since, use=LinkUse.ATTACHED, facts=facts)


class WhoMakesRoomTests(SynchronousTestCase):
    def loser(self, rivals: list[Any], newcomer: str, now: float = 0.0) -> str | None:
        chosen = who_makes_room(rivals, at(newcomer), now)
        return None if chosen is None else str(chosen.name)

    def test_newest_client_of_the_fullest_prefix_loses_its_place(self) -> None:
        rivals = [peer("192.0.2.1:1", 1), peer("192.0.2.1:2", 2), peer("198.51.100.1:1", 3)]
        self.assertEqual(self.loser(rivals, "203.0.113.1:1"), "192.0.2.1:2")

    def test_prefix_that_is_one_ahead_keeps_its_places(self) -> None:
        """Otherwise two prefixes would take the last place from each other for ever."""
        rivals = [peer("192.0.2.1:1"), peer("192.0.2.1:2"), peer("198.51.100.1:1")]
        self.assertIsNone(self.loser(rivals, "198.51.100.1:2"))
        self.assertIsNone(self.loser(rivals, "192.0.2.1:3"))

    def test_neighbour_of_a_flood_gets_a_place_from_it(self) -> None:
        """Within a /24 addresses are compared, within a /48 the /56s."""
        for flood, newcomer in (("192.0.2.1", "192.0.2.2:1"), ("[2001:db8::1]", "[2001:db8:0:100::1]:1")):
            rivals = [peer(f"{flood}:{number}", number) for number in range(1, 5)]
            self.assertEqual(self.loser(rivals, newcomer), f"{flood}:4")

    def test_fullest_address_of_the_fullest_prefix_goes_first(self) -> None:
        rivals = [peer("192.0.2.1:1"), peer("192.0.2.2:1"), peer("192.0.2.1:2", 1), peer("192.0.2.3:1", 9)]
        self.assertEqual(self.loser(rivals, "203.0.113.1:1"), "192.0.2.1:2")

    def test_joining_node_goes_before_clients(self) -> None:
        rivals = [peer("192.0.2.1:1", 5), peer("192.0.2.1:2", 1, client=False)]
        self.assertEqual(self.loser(rivals, "203.0.113.1:1", 6), "192.0.2.1:2")

    def test_node_that_had_time_to_join_makes_room_where_all_prefixes_are_alike(self) -> None:
        rivals = [peer("192.0.2.1:1"), peer("198.51.100.1:1", 3, client=False)]
        self.assertIsNone(self.loser(rivals, "203.0.113.1:1", 2 + JOINING_SECONDS))
        self.assertEqual(self.loser(rivals, "203.0.113.1:1", 3 + JOINING_SECONDS), "198.51.100.1:1")

    def test_nobody_loses_a_place_that_there_is_not(self) -> None:
        self.assertIsNone(self.loser([], "203.0.113.1:1"))


class ProxyTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.net = Net(seed=11)
        self.addCleanup(self.net.stop)

    def network(self, **settings: Any) -> Any:
        first = self.net.node(**settings)
        self.net.node()
        self.net.until_joined()
        self.net.settle(2)
        return first

    def attach(self, node: Any, **hello: Any) -> Intruder:
        """An intruder with a confirmed link; all of them are in one prefix."""
        intruder = Intruder(self.net)
        link = intruder.dial(node)
        link.send(FrameKind.HELLO, intruder.hello(link, **hello))
        self.net.settle(1)
        intruder.confirm(link)
        self.net.settle(1)
        return intruder

    def test_node_that_does_not_join_keeps_its_place_while_there_are_others(self) -> None:
        """It may use the link for its application; once the places get scarce, its time is over."""
        node = self.network(max_clients=3)
        intruder = self.attach(node)
        self.net.settle(2 * BOOTSTRAP_TIMEOUT_SECONDS)
        self.assertEqual(intruder.lost, [])
        self.attach(node)
        self.net.settle(BOOTSTRAP_TIMEOUT_SECONDS)
        self.assertEqual([each.reason for each in intruder.lost], [CloseReason.NO_LONGER_NEEDED])

    def test_node_that_does_not_join_is_let_go(self) -> None:
        node = self.network(max_clients=1)
        intruder = self.attach(node)
        self.net.settle(BOOTSTRAP_TIMEOUT_SECONDS - 5)
        self.assertEqual(intruder.lost, [])
        self.net.settle(10)
        self.assertEqual([each.reason for each in intruder.lost], [CloseReason.NO_LONGER_NEEDED])

    def test_client_is_not_let_go(self) -> None:
        node = self.network()
        client = self.net.node(role=Role.CLIENT, listen=())
        self.net.result(client.when_connected())
        self.net.settle(2 * BOOTSTRAP_TIMEOUT_SECONDS)
        self.assertEqual(client.state.value, "connected")
        self.assertTrue(node.running)

    def test_a_quarter_of_the_places_is_kept_for_joining_nodes(self) -> None:
        node = self.network(max_clients=4)
        clients = [self.attach(node, role=1) for _ in range(4)]
        self.assertEqual([len(each.lost) for each in clients], [0, 0, 0, 1])
        joining = self.attach(node)
        self.assertEqual(joining.lost, [])

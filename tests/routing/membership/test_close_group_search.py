"""Close groups of which one node, or several, say what is not true, or say nothing."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase

from routing_crust import RoutingService
from routing_crust.errors import ServiceStopped
from routing_crust.names import Name
from routing_crust.wire.framing import FrameKind

from ..net import Net


class CloseGroupSearchTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.net = Net()
        self.addCleanup(self.net.stop)
        self.nodes = self.net.grow(10)
        self.target = self.net.identity().name
        self.ranked = sorted(self.nodes, key=lambda each: self.target.distance(each.node_name))
        self.asker = self.ranked[-1]

    def core(self, node: RoutingService) -> Any:
        assert node._core is not None
        return node._core

    def true_group(self, *without: RoutingService) -> tuple[Name, ...]:
        return tuple(each.node_name for each in self.ranked if each not in without)[:8]

    def make_liar(self, node: RoutingService) -> list[Name]:
        """It names nodes that are not there, nearer than any that is."""
        near = [Name((self.target.number ^ number).to_bytes(32, "big")) for number in range(1, 9)]
        self.core(node).neighbourhood.told_about = lambda target, asker: dict.fromkeys(near, b"")
        return near

    def silence(self, node: RoutingService) -> None:
        self.core(node).links.handle_frames((FrameKind.ENVELOPE,), lambda *_: None)

    def test_group_is_that_of_the_network(self) -> None:
        self.assertEqual(self.net.result(self.asker.close_group(self.target), 2), self.true_group())

    def test_made_up_names_are_not_believed(self) -> None:
        """Not even if the nearest three nodes name them."""
        for liar in self.ranked[:3]:
            self.make_liar(liar)
        self.assertEqual(self.net.result(self.asker.close_group(self.target), 10), self.true_group())

    def test_silent_nearest_node_delays_a_group_little(self) -> None:
        self.silence(self.ranked[0])
        self.assertEqual(self.net.result(self.asker.close_group(self.target), 5), self.true_group())

    def test_client_believes_no_made_up_names(self) -> None:
        client = self.net.make_client()
        self.net.run(lambda: client.bootstrapped)
        self.make_liar(self.ranked[0])
        group = self.net.result(client.close_group(self.target), 10)
        self.assertLessEqual(set(group), {each.node_name for each in self.nodes})
        self.net.result(client.stopService())

    def test_group_message_reaches_who_is_there(self) -> None:
        """Although the nearest node lies, and the next is silent."""
        heard: list[Name] = []
        for node in self.nodes:
            node.set_message_handler(lambda _, name=node.node_name: heard.append(name))
        self.make_liar(self.ranked[0])
        self.silence(self.ranked[1])
        reached = self.asker.send_to_group(self.target, b"hello")
        self.net.settle(10)
        self.assertLessEqual(set(self.true_group()) - {self.ranked[1].node_name}, set(heard))
        reached.addErrback(lambda _: None)

    def test_cancelled_search_asks_nobody_any_more(self) -> None:
        for node in self.ranked[:3]:
            self.silence(node)
        found = self.asker.close_group(self.target)
        self.net.settle(0.5)
        found.cancel()
        self.failureResultOf(found, CancelledError)
        self.net.settle(1)
        waiting = self.core(self.asker).lookup._queries.values()
        self.assertNotIn(self.target, [each.target for each in waiting])

    def test_stop_fails_a_search(self) -> None:
        for node in self.ranked[:3]:
            self.silence(node)
        found = self.asker.close_group(self.target)
        self.asker.stopService()
        self.failureResultOf(found, ServiceStopped)

"""An answer goes back the way that the question came, where no node is nearer."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from routing_crust import Name
from routing_crust.routing.messaging import return_paths
from routing_crust.routing.messaging.return_paths import ReturnPaths
from tests.routing.net import Net

ONE, TWO = (Name(bytes([number]) * 32) for number in (1, 2))


class ReturnPathTests(SynchronousTestCase):
    def setUp(self) -> None:
        net = Net()
        nodes = net.grow(3)
        self.core = nodes[0]._core
        assert self.core is not None
        self.links = [self.core.links.link_to(node.node_name) for node in nodes[1:]]
        self.paths = ReturnPaths(self.core.links)

    def test_latest_link_of_a_source_counts(self) -> None:
        self.assertIsNone(self.paths.back_to(ONE))
        for link in self.links:
            assert link is not None
            self.paths.came_by(ONE, link)
        self.assertIs(self.paths.back_to(ONE), self.links[1])

    def test_lost_link_is_no_way_back(self) -> None:
        """A link that is gone, or does not count any more, is no way back."""
        first, second = self.links
        assert first is not None
        assert second is not None
        self.paths.came_by(ONE, first)
        self.paths.came_by(TWO, second)
        self.paths.link_lost(first)
        self.assertIsNone(self.paths.back_to(ONE))
        assert self.core is not None
        self.core.links.link_lost(second, None, "")  # type: ignore[arg-type]
        self.assertIsNone(self.paths.back_to(TWO))
        self.assertEqual(len(self.paths), 0)

    def test_too_many_paths_forget_the_oldest(self) -> None:
        self.patch(return_paths, "MAX_RETURN_PATHS", 2)
        assert self.core is not None
        paths = ReturnPaths(self.core.links)
        link = self.links[0]
        assert link is not None
        names = [Name(bytes([number]) * 32) for number in range(4)]
        for name in names:
            paths.came_by(name, link)
        self.assertEqual([paths.back_to(name) for name in names], [None, None, link, link])


class JoiningTests(SynchronousTestCase):
    def test_answers_reach_nodes_that_are_joining(self) -> None:
        """While many nodes join at once, no request is repeated because an answer found no way back."""
        for seed in (26, 27):
            waits = self.ask_while_joining(Net(seed))
            self.assertGreater(len(waits), 900)
            self.assertLess(max(waits), 5)

    def ask_while_joining(self, net: Net) -> list[float]:
        """How long each of a thousand requests took."""
        net.network.latency = 0.001
        nodes = [net.node() for _ in range(8)]
        waits: list[float] = []

        def ask() -> None:
            live = [node for node in nodes if node.bootstrapped]
            if len(live) > 1:
                one, other = net.random.sample(live, 2)
                began = net.clock.seconds()
                asked = one.request(other.node_name, b"x")
                asked.addCallback(lambda _: waits.append(net.clock.seconds() - began))

        for node in nodes:
            node.set_request_handler(lambda message: message.body)
        for _ in range(1000):
            ask()
            net.settle(0.002)
        net.settle(5)
        net.stop()
        return waits

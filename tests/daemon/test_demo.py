"""
The demonstration, with nodes that do nothing by themselves and a clock that stands still.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.logger import Logger, LogPublisher, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import Role, Settings
from routing_crust.daemon.demo import (
    BODY,
    FAILURE_PAUSE_SECONDS,
    GRACE_SECONDS,
    DemoService,
    Traffic,
    TrafficFigures,
    make_nodes,
)
from routing_crust.errors import PeerUnreachable, ServiceStopped
from routing_crust.routing.events import GroupConnectedChanged, StateChanged
from routing_crust.routing.state import State

from .fakes import IDENTITIES, FakeService, message


class FiguresTests(SynchronousTestCase):
    """What is counted."""

    def test_quantiles_are_in_milliseconds(self) -> None:
        figures = TrafficFigures()
        self.assertEqual(figures.latency(0.5), 0)
        figures.latencies.extend(number / 1000 for number in range(101, 0, -1))
        self.assertEqual((figures.latency(0.5), figures.latency(0.99)), (51, 100))

    def test_figures_of_two_periods_add_up(self) -> None:
        total, other = TrafficFigures(3, 1), TrafficFigures(2, 4)
        other.latencies.append(0.5)
        total.add(other)
        self.assertEqual((total.acknowledged, total.failed, list(total.latencies)), (5, 5, [0.5]))


class Net:
    """Makes the nodes, and keeps them."""

    def __init__(self) -> None:
        self.nodes: list[FakeService] = []

    def make(self, settings: Settings) -> Any:
        node = FakeService(settings, IDENTITIES[len(self.nodes)])
        self.nodes.append(node)
        return node

    def pending(self) -> Iterator[tuple[str, Deferred[Any]]]:
        for node in self.nodes:
            for method, _, _, result in list(node.calls):
                if not result.called:
                    yield method, result

    def succeed(self, methods: tuple[str, ...] = ("send", "request", "connect")) -> None:
        for method, result in list(self.pending()):
            if method in methods:
                result.callback(BODY if method == "request" else None)


class MakeNodesTests(SynchronousTestCase):
    """How a network is made."""

    def test_the_others_have_the_contact_of_the_first(self) -> None:
        net = Net()
        nodes = list(make_nodes(3, net.make))
        self.assertEqual([each.settings.role for each in nodes], [Role.FIRST, Role.NODE, Role.NODE])
        self.assertEqual(nodes[0].settings.contacts, ())
        for each in nodes[1:]:
            self.assertEqual(each.settings.contacts, (nodes[0].contact,))
        for each in nodes:
            self.assertTrue(each.running)
            self.assertFalse(each.settings.lan_discovery)
            self.assertIsNone(each.settings.state_dir)
            self.assertEqual([str(where) for where in each.settings.listen], ["127.0.0.1:0"])


class TrafficTests(SynchronousTestCase):
    """What is sent."""

    def setUp(self) -> None:
        self.net, self.clock = Net(), Clock()
        self.traffic = Traffic(list(make_nodes(3, self.net.make)), self.clock, Random(1))

    def test_each_node_has_one_message_under_way(self) -> None:
        self.traffic.start()
        for _ in range(200):
            under_way = [method for method, _ in self.net.pending() if method != "connect"]
            self.assertEqual(len(under_way), 3)
            self.net.succeed()
        methods = {call[0] for node in self.net.nodes for call in node.calls}
        self.assertEqual(methods, {"send", "request", "connect"})
        for node in self.net.nodes:
            self.assertNotIn(node.node_name, [call[1] for call in node.calls])

    def test_a_link_is_not_waited_for_and_need_not_come(self) -> None:
        self.traffic.start()
        while not self.links():
            self.net.succeed(("send", "request"))
        (node, link) = self.links()[0]
        self.assertEqual([call[0] for call in node.calls if not call[3].called], ["connect", "send"])
        link.errback(PeerUnreachable("no"))
        self.net.succeed()
        self.assertEqual(self.traffic.take_figures().failed, 0)

    def test_link_that_a_stop_prevents_is_no_failure(self) -> None:
        self.traffic.start()
        while not self.links():
            self.net.succeed(("send", "request"))
        (node, link) = self.links()[0]
        node.stopService()
        link.errback(ServiceStopped("stopped"))
        self.assertEqual(self.flushLoggedErrors(), [])

    def links(self) -> list[tuple[FakeService, Deferred[Any]]]:
        """The links that are waited for."""
        return [
            (node, call[3])
            for node in self.net.nodes
            for call in node.calls
            if call[0] == "connect" and not call[3].called
        ]

    def test_latency_is_from_the_call_to_the_acknowledgement(self) -> None:
        self.traffic.start()
        self.clock.advance(0.25)
        self.net.succeed()
        figures = self.traffic.take_figures()
        self.assertEqual((figures.acknowledged, figures.failed), (3, 0))
        self.assertEqual(list(figures.latencies), [0.25] * 3)
        self.assertEqual(self.traffic.take_figures().acknowledged, 0)

    def test_a_failure_is_counted_and_followed_by_a_pause(self) -> None:
        for node in self.net.nodes:
            node.send = node.request = node.connect = lambda *_: fail(PeerUnreachable("no"))  # type: ignore
        self.traffic.start()
        self.assertEqual(self.traffic.take_figures().failed, 3)
        self.clock.advance(FAILURE_PAUSE_SECONDS)
        self.assertEqual(self.traffic.take_figures().failed, 3)

    def test_stop_waits_for_what_is_under_way(self) -> None:
        done = self.traffic.start()
        self.traffic.stop()
        self.assertNoResult(done)
        while any(True for _ in self.net.pending()):
            self.net.succeed()
        self.successResultOf(done)
        self.assertEqual(self.traffic.take_figures().acknowledged, 3)

    def test_cancelling_gives_up_what_is_under_way(self) -> None:
        done = self.traffic.start()
        self.traffic.stop()
        done.cancel()
        self.successResultOf(done)
        self.assertEqual(self.traffic.take_figures().failed, 3)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_what_fails_because_a_node_stops_is_no_failure(self) -> None:
        done = self.traffic.start()
        self.traffic.stop()
        for node in self.net.nodes:
            node.stopService()
        for _, result in list(self.net.pending()):
            result.errback(ServiceStopped("stopped"))
        self.successResultOf(done)
        self.assertEqual(self.traffic.take_figures().failed, 0)

    def test_nodes_answer_with_the_body(self) -> None:
        for node in self.net.nodes:
            assert node.request_handler is not None
            assert node.message_handler is not None
            self.assertEqual(node.request_handler(message(b"x")), b"x")
            self.assertIsNone(node.message_handler(message(b"x")))


class DemoServiceTests(SynchronousTestCase):
    """The service around it."""

    def setUp(self) -> None:
        self.lines: list[str] = []
        self.patch(
            DemoService,
            "log",
            Logger(observer=LogPublisher(lambda event: self.lines.append(formatEvent(event)))),
        )
        self.net, self.clock = Net(), Clock()
        self.ended: list[bool] = []

    def demo(self, seconds: float | None = None) -> DemoService:
        demo = DemoService(
            2, seconds, self.ended.append, reactor=self.clock, make_node=self.net.make, random=Random(1)
        )
        demo.startService()
        return demo

    def join(self) -> None:
        for node in self.net.nodes:
            node.group_connected = True
            node.links = [object()]
            node.waiting_for_group.callback(None)

    def stop(self, demo: DemoService) -> None:
        stopped = demo.stopService()
        for _, result in list(self.net.pending()):
            result.errback(ServiceStopped("stopped"))
        self.assertIsNone(self.successResultOf(stopped))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertFalse(any(node.running for node in self.net.nodes))

    def test_it_says_how_the_nodes_join(self) -> None:
        demo = self.demo()
        first, second = self.net.nodes
        self.assertEqual(
            self.lines[0], f"node 0 ({first.node_name.short}): waiting for the first peer, {first.contact}"
        )
        self.lines.clear()
        second.observers.tell(StateChanged(State.BOOTSTRAPPING, State.CONNECTED))
        second.observers.tell(GroupConnectedChanged(True))
        second.observers.tell(GroupConnectedChanged(False))
        name = second.node_name.short
        self.assertEqual(
            self.lines,
            [
                f"node 1 ({name}): connected",
                f"node 1 ({name}): linked with all neighbours",
                f"node 1 ({name}): not linked with all neighbours any more",
            ],
        )
        self.stop(demo)
        self.lines.clear()
        second.observers.tell(GroupConnectedChanged(False))
        self.assertEqual(self.lines, [])

    def test_nothing_is_sent_before_all_have_joined(self) -> None:
        demo = self.demo()
        self.net.nodes[0].waiting_for_group.callback(None)
        self.assertEqual(list(self.net.pending()), [])
        self.stop(demo)

    def test_stopped_before_all_have_joined(self) -> None:
        demo = self.demo()
        for node in self.net.nodes:
            node.waiting_for_group.errback(ServiceStopped("stopped"))
        self.stop(demo)
        self.assertEqual(list(self.net.pending()), [])

    def test_line_of_figures_comes_every_second(self) -> None:
        demo = self.demo()
        self.join()
        self.clock.advance(0.5)
        self.net.succeed()
        self.lines.clear()
        self.clock.advance(0.5)
        self.clock.advance(1)
        self.assertEqual(
            self.lines,
            [
                "2 messages/s: 2 acknowledged, 0 failed; latency 500.0 ms median, 500.0 ms p99; 1 links; "
                "2 of 2 linked with all neighbours",
                "0 messages/s: 0 acknowledged, 0 failed; latency 0.0 ms median, 0.0 ms p99; 1 links; "
                "2 of 2 linked with all neighbours",
            ],
        )
        self.stop(demo)
        self.assertEqual(self.ended, [])

    def test_it_ends_by_itself_with_a_summary(self) -> None:
        demo = self.demo(seconds=3)
        self.join()
        self.clock.advance(1)
        self.net.succeed()
        self.clock.pump([1, 1])
        self.assertEqual(self.ended, [])
        self.lines.clear()
        while any(True for _ in self.net.pending()):
            self.net.succeed()
        self.assertEqual(self.ended, [True])
        self.assertEqual(
            self.lines[1:],
            [
                "in all, in 3 s:",
                "1 messages/s: 4 acknowledged, 0 failed; latency 1000.0 ms median, 2000.0 ms p99; 1 links; "
                "2 of 2 linked with all neighbours",
            ],
        )
        self.stop(demo)

    def test_what_never_arrives_is_a_failure(self) -> None:
        demo = self.demo(seconds=3)
        self.join()
        self.clock.advance(3)
        self.clock.advance(GRACE_SECONDS)
        self.assertEqual(self.ended, [False])
        self.assertIn("2 failed", self.lines[-1])
        self.stop(demo)

    def test_nodes_that_never_join_are_a_failure(self) -> None:
        demo = self.demo(seconds=3)
        self.clock.advance(3)
        self.assertEqual(self.ended, [False])
        self.assertEqual(
            self.lines[-1], "the time is over, and not all nodes are linked with their neighbours"
        )
        self.stop(demo)

    def test_stopped_while_it_ends(self) -> None:
        demo = self.demo(seconds=3)
        self.join()
        self.clock.advance(3)
        self.stop(demo)
        self.assertEqual(self.ended, [])

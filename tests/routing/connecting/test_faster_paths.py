"""Links that are in use move to the address of their peer that is nearest, in a network in memory."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from routing_crust import Role, RoutingService, Settings
from routing_crust.endpoints import Endpoint
from routing_crust.routing.connecting.faster_paths import JUDGEMENTS, LOOK_SECONDS, MAX_WAIT_SECONDS
from routing_crust.streams.service import streams_of
from routing_crust.testing.latency import ByPair

from ...streams.protocols import Echo, Keeping, Noting
from ..net import Net

FAR_SECONDS, NEAR_SECONDS = 0.05, 0.005


class PathsCase(SynchronousTestCase):
    """
    Two nodes, of which the first has two addresses; their link leads to the one that is further away.

    @ivar far: that address.
    @ivar near: the other.
    """

    def setUp(self) -> None:
        self.net = Net()
        self.addCleanup(self.stop)
        self.latency = self.net.network.latency = ByPair(FAR_SECONDS)
        self.far, self.near = self.net.network.new_endpoint(), self.net.network.new_endpoint()
        settings = Settings(role=Role.FIRST, lan_discovery=False)
        self.there = self.net.make(self.net.identity(), settings, endpoints=(self.far, self.near))
        self.net.nodes.append(self.there)
        self.there.startService()
        self.here = self.net.node()
        self.net.until_joined()

    def stop(self) -> None:
        self.net.stop()
        self.assertEqual(self.net.clock.getDelayedCalls(), [])

    def bring_near(self, endpoint: Endpoint, seconds: float = NEAR_SECONDS) -> None:
        self.latency.place(self.net.crust(self.here).host, endpoint.host, seconds)

    def stream(self) -> Any:
        streams_of(self.there).listen("echo", Keeping(Echo))
        opening = streams_of(self.here).open(self.there.node_name, "echo", Keeping(Noting))
        return self.net.result(opening)

    def path(self) -> str:
        """The host that the link leads to."""
        core = self.here._core
        assert core is not None
        link = core.links.link_to(self.there.node_name)
        assert link is not None
        return link.connection.peer.host

    def links(self, node: RoutingService) -> list[Any]:
        return [each for each in self.net.crust(node).links if each.is_open]

    def look(self, times: int = JUDGEMENTS + 1) -> None:
        self.net.settle(times * LOOK_SECONDS + 5)


class MovingTests(PathsCase):
    def test_link_of_a_stream_moves_to_the_nearer_address_and_loses_nothing(self) -> None:
        self.bring_near(self.near)
        stream = self.stream()
        self.assertEqual(self.path(), self.far.host)
        sent = b""
        for number in range(JUDGEMENTS * 40):
            sent += b"%05d" % number
            stream.transport.write(b"%05d" % number)
            self.net.settle(1)
        self.assertEqual(stream.received, sent)
        self.assertEqual(self.path(), self.near.host)
        self.assertEqual(len(self.links(self.there)), 1)

    def test_link_moves_back_when_the_way_there_becomes_longer(self) -> None:
        self.bring_near(self.near)
        self.stream()
        self.look()
        self.assertEqual(self.path(), self.near.host)
        self.bring_near(self.near, 0.2)
        self.net.run(lambda: self.path() == self.far.host, MAX_WAIT_SECONDS + JUDGEMENTS * LOOK_SECONDS + 10)

    def test_link_that_nobody_uses_stays_and_nobody_is_dialled_for_it(self) -> None:
        self.bring_near(self.near)
        self.net.settle(1)
        dials = self.net.network.dials
        self.look()
        self.assertEqual((self.path(), self.net.network.dials), (self.far.host, dials))

    def test_small_gain_or_a_short_one_moves_nothing(self) -> None:
        self.bring_near(self.near, FAR_SECONDS * 0.85)
        self.stream()
        self.look(2 * JUDGEMENTS)
        self.assertEqual(self.path(), self.far.host)
        # nearer for two looks, and then as far as before
        self.bring_near(self.near)
        self.look(JUDGEMENTS - 1)
        self.bring_near(self.near, FAR_SECONDS)
        self.look(2 * JUDGEMENTS)
        self.assertEqual(self.path(), self.far.host)

    def test_address_that_does_not_answer_is_no_path(self) -> None:
        self.bring_near(self.near)
        self.stream()
        self.net.network.listen_no_more([self.near])
        tried: list[Any] = []
        for node in (self.here, self.there):
            self.patch(
                self.net.crust(node), "connect", lambda *arguments: tried.append(arguments) or Deferred()
            )
        self.look(2 * JUDGEMENTS)
        self.assertEqual((self.path(), tried), (self.far.host, []))

    def test_link_stays_where_its_own_address_does_not_answer_any_more(self) -> None:
        """A firewall may let in nothing but what is open: how far it is cannot be compared."""
        self.bring_near(self.near)
        self.stream()
        self.net.network.listen_no_more([self.far])
        self.look(2 * JUDGEMENTS)
        self.assertEqual(self.path(), self.far.host)

    def test_quiet_links_are_judged_less_and_less_often(self) -> None:
        self.stream()
        self.look(1)
        dials = self.net.network.dials
        self.net.settle(MAX_WAIT_SECONDS * 6)
        # a look dials both addresses
        self.assertLess(self.net.network.dials - dials, 2 * 6 + 10)

    def test_link_that_has_become_slower_is_judged_at_once(self) -> None:
        stream = self.stream()
        self.net.settle(3 * MAX_WAIT_SECONDS)
        self.bring_near(self.near)
        self.latency.common = 3 * FAR_SECONDS
        # a link in use is measured every half minute, by a probe that nothing else answers
        for _ in range((JUDGEMENTS + 3) * round(LOOK_SECONDS)):
            stream.transport.write(b"x")
            self.net.settle(0.97)
        self.assertEqual(self.path(), self.near.host)

    def test_change_of_the_network_has_links_judged_soon(self) -> None:
        self.stream()
        self.net.settle(3 * MAX_WAIT_SECONDS)
        self.bring_near(self.near)
        core = self.here._core
        assert core is not None
        core.network_changed()
        self.look()
        self.assertEqual(self.path(), self.near.host)

    def test_address_that_no_stranger_may_have_us_dial_is_no_path(self) -> None:
        self.bring_near(self.near)
        core = self.here._core
        assert core is not None
        self.patch(core.candidates, "refusal", lambda name, endpoint: "it is a third party's")
        self.stream()
        self.look(2 * JUDGEMENTS)
        self.assertEqual(self.path(), self.far.host)

    def test_stop_in_the_middle_of_a_look_leaves_nothing_behind(self) -> None:
        self.stream()
        dials = self.net.network.dials
        self.net.run(lambda: self.net.network.dials > dials, 2 * LOOK_SECONDS)
        self.net.result(self.here.stopService())

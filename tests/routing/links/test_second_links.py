"""Links that may be dead, in a network in memory: a second one is made beside them; slow ones are kept."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from routing_crust import RoutingService
from routing_crust.config import Role
from routing_crust.crust.link.round_trip import RoundTrip
from routing_crust.endpoints import Endpoint
from routing_crust.errors import CloseReason
from routing_crust.names import Name
from routing_crust.routing.links.peer import Peer
from routing_crust.routing.links.second_links import (
    AGAIN_AFTER_SECONDS,
    AT_ONCE,
    DIAL_ALONE_ROUND_TRIPS,
    DIAL_ALONE_SECONDS,
    MAX_SPREAD_SECONDS,
    SecondLinks,
)
from routing_crust.streams.service import streams_of
from routing_crust.testing.memory.nat import PORT_RESTRICTED
from routing_crust.testing.memory.transport import MemoryTransport
from routing_crust.testing.simulation import SimulatedNetwork

from ...streams.protocols import Echo, Keeping, Noting
from ..net import Net

MAX_SECONDS = 8.0
"""From a new connection's first try until it works, whatever has happened to the links."""


class SecondLinkCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.net = Net()
        self.addCleanup(self.stop)

    def stop(self) -> None:
        self.net.stop()
        self.assertEqual(self.net.clock.getDelayedCalls(), [])

    def offering(self, *nodes: RoutingService) -> None:
        for each in nodes:
            streams_of(each).listen("echo", Keeping(Echo))

    def open(self, here: RoutingService, there: RoutingService) -> tuple[Any, float]:
        """Open a stream, and say how long it took."""
        begun = self.net.clock.seconds()
        opened = self.net.result(streams_of(here).open(there.node_name, "echo", Keeping(Noting)), 60)
        return opened, self.net.clock.seconds() - begun

    def echoes(self, stream: Any, text: bytes) -> None:
        """What is sent over a stream comes back."""
        stream.transport.write(text)
        self.net.run(lambda: stream.received.endswith(text))

    def links_between(self, one: RoutingService, other: RoutingService) -> list[Any]:
        return [each for each in self.net.crust(one).links if each.peer == other.node_name]


class CrowdTests(SynchronousTestCase):
    """Many links are doubted in one moment, as when the path of their host breaks."""

    def setUp(self) -> None:
        self.clock, self.asked, self.peers = Clock(), [], {}
        node: Any = SimpleNamespace(clock=self.clock, random=Random(1), crust=None)
        links: Any = SimpleNamespace(peers=[], peer=self.peers.get, dialled_at=lambda name: None)
        self.links = links
        self.node = node
        self.second = SecondLinks(node, links, lambda peer: self.asked.append(peer.name))

    def doubted(self, count: int, round_trip: float | None = None) -> list[Any]:
        known = RoundTrip(self.clock.seconds)
        known.smoothed = round_trip
        made = [
            SimpleNamespace(
                name=Name(bytes([number]) * 32),
                link=SimpleNamespace(is_doubted=True, binding=bytes(32), round_trip=known),
            )
            for number in range(count)
        ]
        self.peers.update({each.name: each for each in made})
        self.links.peers[:] = made
        for each in made:
            self.second.peer_doubted(cast(Peer, each))
        return made

    def test_a_few_are_tried_at_once(self) -> None:
        self.doubted(AT_ONCE)
        self.assertEqual(len(self.asked), AT_ONCE)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def dialled(self) -> list[Deferred[Any]]:
        """Have each peer be one that we have dialled. Returns the dials that are made from now on."""
        made: list[Deferred[Any]] = []
        self.links.dialled_at = lambda name: Endpoint("8.8.8.8", 5483)
        self.node.crust = SimpleNamespace(connect=lambda *_: made.append(Deferred()) or made[-1])
        return made

    def test_peer_that_cannot_be_dialled_any_more_is_asked_by_others(self) -> None:
        """Soon: it may be behind another address, where nobody answers the dial."""
        dials = self.dialled()
        (peer,) = self.doubted(1)
        self.clock.advance(DIAL_ALONE_SECONDS - 0.01)
        self.assertEqual((len(dials), self.asked), (1, []))
        self.clock.advance(0.01)
        self.assertEqual((len(dials), self.asked), (1, [peer.name]))
        self.second.stop()

    def test_near_peer_is_asked_sooner(self) -> None:
        """A dial that it answers would have brought a link by then."""
        self.dialled()
        (peer,) = self.doubted(1, round_trip=0.05)
        self.clock.advance(0.05 * DIAL_ALONE_ROUND_TRIPS - 0.01)
        self.assertEqual(self.asked, [])
        self.clock.advance(0.01)
        self.assertEqual(self.asked, [peer.name])
        self.second.stop()

    def test_peer_that_answers_the_dial_or_the_probe_is_not_asked(self) -> None:
        self.dialled()
        one, other = self.doubted(2)
        other.link.is_doubted = False
        self.second.peer_established(cast(Peer, one), None)
        one.link.is_doubted = False
        self.clock.advance(DIAL_ALONE_SECONDS)
        self.assertEqual(self.asked, [])
        self.second.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_dial_of_a_broken_path_begins_again_when_another_link_comes_up(self) -> None:
        """The kernel would repeat its first packet seconds later. A dial that has just begun goes on."""
        dials = self.dialled()
        (peer,) = self.doubted(1)
        other = cast(Peer, SimpleNamespace(name=Name(b"o" * 32), link=None))
        self.clock.advance(AGAIN_AFTER_SECONDS / 2)
        self.second.peer_established(other, None)
        self.assertEqual(len(dials), 1)
        self.clock.advance(AGAIN_AFTER_SECONDS)
        self.second.peer_established(other, None)
        self.assertEqual([each.called for each in dials], [True, False])
        self.second.peer_lost(cast(Peer, peer), CloseReason.CONNECTION_LOST, "")
        self.assertTrue(dials[1].called)

    def test_others_are_tried_at_random_times_and_each_of_them_is(self) -> None:
        self.doubted(100)
        self.assertEqual(len(self.asked), AT_ONCE)
        most = 0
        for _ in range(40):
            before = len(self.asked)
            self.clock.advance(MAX_SPREAD_SECONDS / 40)
            most = max(most, len(self.asked) - before)
        self.assertEqual(sorted(self.asked), sorted(self.peers))
        self.assertLess(most, 20)

    def test_one_that_has_answered_meanwhile_or_is_lost_is_not_tried(self) -> None:
        made = self.doubted(AT_ONCE + 2)
        made[-2].link.is_doubted = False
        self.second.peer_lost(cast(Peer, made[-1]), CloseReason.CONNECTION_LOST, "")
        self.clock.advance(MAX_SPREAD_SECONDS)
        self.assertEqual(len(self.asked), AT_ONCE)

    def test_new_link_has_no_more_than_a_few_of_them_asked(self) -> None:
        made = self.doubted(100)
        self.second.peer_established(cast(Peer, made[0]), None)
        self.assertEqual(len(self.asked), 2 * AT_ONCE)

    def test_doubts_of_long_ago_keep_nobody_waiting(self) -> None:
        self.doubted(50)
        self.clock.advance(MAX_SPREAD_SECONDS)
        self.asked.clear()
        self.second.peer_doubted(cast(Peer, next(iter(self.peers.values()))))
        self.assertEqual(len(self.asked), 1)

    def test_stop_leaves_no_timer(self) -> None:
        self.doubted(50)
        self.second.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class SlowTests(SecondLinkCase):
    """A stall: nothing gets through for a while, and then everything does."""

    def stall(self, seconds: float, clients: bool = False) -> None:
        nodes = self.net.grow(3)
        one, other = nodes[1:]
        if clients:
            other = self.net.node(role=Role.CLIENT, listen=())
            self.net.result(other.when_connected())
        self.offering(one, nodes[0])
        peer = nodes[0] if clients else one
        stream, _ = self.open(other, peer)
        self.echoes(stream, b"before")
        self.net.settle(30)
        self.net.network.sleep(self.net.crust(other))
        second = streams_of(other).open(peer.node_name, "echo", Keeping(Noting))
        stream.transport.write(b"meanwhile")
        self.net.settle(seconds)
        self.assertIsNone(stream.reason)
        self.net.network.wake(self.net.crust(other))
        self.net.run(lambda: stream.received.endswith(b"meanwhile"), timeout=5)
        self.echoes(self.net.result(second, 5), b"in the second")
        self.net.settle(60)
        self.assertIsNone(stream.reason)
        self.echoes(stream, b"after")

    def test_stall_of_a_peer_ends_no_stream_when_another_is_opened(self) -> None:
        """A browser's new tab costs no session: the doubt that it gives rise to cuts nothing."""
        self.stall(11)

    def test_stall_of_a_client_ends_no_stream(self) -> None:
        self.stall(11, clients=True)

    def test_stall_that_is_longer_than_every_doubt_ends_no_stream(self) -> None:
        self.stall(25)


class DeadTests(SecondLinkCase):
    """A link that is dead, of which neither end hears, while the two can reach each other otherwise."""

    def dead(self, here: RoutingService, there: RoutingService) -> None:
        self.offering(there)
        self.open(here, there)
        self.net.settle(40)
        (link,) = self.links_between(here, there)
        self.net.network.half_open(link)
        stream, seconds = self.open(here, there)
        self.assertLess(seconds, MAX_SECONDS)
        self.echoes(stream, b"there")
        self.net.settle(90)
        self.assertEqual(len(self.links_between(here, there)), 1)
        self.echoes(stream, b"and still there")

    def test_new_stream_works_within_eight_seconds(self) -> None:
        """Whichever end opens it."""
        _, one, other = self.net.grow(3)
        self.dead(one, other)
        self.dead(other, one)

    def test_new_stream_works_where_no_other_node_can_help(self) -> None:
        """The second link is dialled where the first one was."""
        one, other = self.net.grow(2)
        (link,) = self.links_between(one, other)
        dialler = one if self.net.crust(one).listening[0].port != link.connection.local.port else other
        self.dead(dialler, one if dialler is other else other)

    def test_client_finds_its_proxy_again(self) -> None:
        one = self.net.grow(2)[0]
        client = self.net.node(role=Role.CLIENT, listen=())
        self.net.result(client.when_connected())
        self.dead(client, one)

    def test_idle_link_is_found_dead_at_the_next_heartbeat(self) -> None:
        """And another one is there, in the same use, without a storm of dials."""
        _, one, other = self.net.grow(3)
        self.net.settle(60)
        (link,) = self.links_between(one, other)
        self.net.network.half_open(link)
        dials = self.net.network.dials
        self.net.settle(35)
        (now,) = self.links_between(one, other)
        self.assertIsNot(now, link)
        self.assertLess(self.net.network.dials - dials, 8)


class ForgetfulRouterTests(SynchronousTestCase):
    """A router that forgets a connection when it has been idle for 15 s, before a node with many links."""

    IDLE_SECONDS = 15.0

    def setUp(self) -> None:
        self.net = SimulatedNetwork(seed=5, internet=True)
        self.addCleanup(self.net.stop)
        self.net.nodes(8)
        self.inside = self.net.node(nat=self.net.nat(PORT_RESTRICTED))
        self.net.run_until(self.net.joined)
        self.used: dict[MemoryTransport, float] = {}
        write = MemoryTransport.write

        def noted(end: MemoryTransport, data: bytes) -> None:
            self.used[end] = self.used[end.other] = self.net.clock.now
            write(end, data)

        self.patch(MemoryTransport, "write", noted)

    def forgotten(self, seconds: int) -> int:
        """Let time pass, and count the connections that the router forgets."""
        count = 0
        done: set[MemoryTransport] = set()
        for _ in range(seconds):
            self.net.run_for(1)
            now = self.net.clock.now
            for end in self.net.network.links:
                inside = self.inside.host in (end.host.host, end.other.host.host)
                if inside and end not in done and now - self.used.setdefault(end, now) > self.IDLE_SECONDS:
                    self.net.network.half_open(end)
                    done.add(end)
                    count += 1
        return count

    def test_links_die_no_more_once_heartbeats_come_often_enough(self) -> None:
        self.assertGreater(self.forgotten(120), 0)
        self.assertEqual(self.forgotten(300), 0)
        self.assertTrue(self.net.joined())


class SilentPeerTests(SecondLinkCase):
    def test_dead_peer_is_asked_a_few_times_and_then_dropped(self) -> None:
        """Its host is gone. Each doubt has a dial or a request made, and the doubts grow rare."""
        nodes = self.net.grow(4)
        self.net.settle(60)
        gone = nodes[3]
        dials = self.net.network.dials
        self.net.crash(gone, silently=True)
        self.net.settle(85)
        for node in nodes[:3]:
            self.assertEqual(self.links_between(node, gone), [])
        # three peers, at 2, 4, 8, 16 and 32 s of doubt each, and what joining and its back-off add
        self.assertLess(self.net.network.dials - dials, 3 * 12)

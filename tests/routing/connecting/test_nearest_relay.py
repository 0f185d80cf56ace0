"""A tunnel goes through the relay by which a round trip is the shortest, and is moved to it."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from random import Random

from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import LoopingCall
from twisted.trial.unittest import SynchronousTestCase

from routing_crust import Name
from routing_crust.routing.connecting.relay_choice import MIN_MOVE_SECONDS, RelayChoice
from routing_crust.routing.links.peer import Peer
from routing_crust.streams import streams_of
from routing_crust.wire.codec import to_wire
from routing_crust.wire.messages import WireRelay

from .nearest import NearNet

MOVED_WITHIN = MIN_MOVE_SECONDS + 120
LONG_SECONDS = 800


class NearCase(SynchronousTestCase):
    def make(self, *round_trips: tuple[float, float]) -> NearNet:
        """Make relays at these round trips from two ends, which get a tunnel."""
        near = NearNet(7, round_trips)
        self.addCleanup(near.net.stop)
        self.addCleanup(lambda: self.assertEqual(self.flushLoggedErrors(), []))
        near.until_through(None, 120)
        return near

    def choice(self, near: NearNet) -> RelayChoice:
        assert near.a._core is not None
        return near.a._core.relays

    def tell(self, near: NearNet, milliseconds: Sequence[int]) -> None:
        """Have one end say that it is so far from the relays."""
        told = zip(near.relays, milliseconds, strict=True)
        endpoints = [near.net.crust(each).endpoints[0] for each in near.relays]
        self.choice(near).told(
            near.b.node_name,
            [
                WireRelay(each.node_name.raw, to_wire(endpoint), number)
                for (each, number), endpoint in zip(told, endpoints, strict=True)
            ],
        )


class ChoosingTests(NearCase):
    def test_sum_of_both_halves_decides(self) -> None:
        """The nearest relay of each end is far from the other end."""
        near = self.make((0.08, 0.08), (0.004, 0.3), (0.03, 0.03), (0.3, 0.004))
        near.until_through(2, MOVED_WITHIN)

    def test_relay_whose_link_may_be_dead_is_tried_last(self) -> None:
        near = self.make((0.01, 0.01), (0.08, 0.08))
        names = [each.node_name for each in near.relays]
        self.assertEqual(self.choice(near).to_try(near.b.node_name, names[::-1]), names)
        near.kill(near.relays[0], silently=True)
        link = near.link(near.a, near.relays[0])
        assert link is not None
        near.net.run(lambda: link.is_doubted)
        self.assertEqual(self.choice(near).to_try(near.b.node_name, names), names[::-1])

    def test_relay_of_a_silent_tunnel_is_tried_last(self) -> None:
        """Our own link to it is not doubted as soon."""
        near = self.make((0.01, 0.01), (0.08, 0.08))
        near.until_through(0, MOVED_WITHIN)
        tunnel, half = near.link(near.a, near.b), near.link(near.a, near.relays[0])
        assert tunnel is not None
        assert half is not None
        near.send_every(0.1)
        near.kill(near.relays[0], silently=True)
        near.net.run(lambda: tunnel.is_doubted)
        self.assertFalse(half.is_doubted)
        names = [each.node_name for each in near.relays]
        self.assertEqual(self.choice(near).to_try(near.b.node_name, names), names[::-1])

    def test_both_ends_measure_a_quiet_tunnel_and_their_halves(self) -> None:
        """One end of a link would else only answer the other's heartbeats."""
        near = self.make((0.01, 0.01), (0.08, 0.08), (0.2, 0.2))
        probed = set[Name]()
        probe = RelayChoice.probe

        def noted(choice: RelayChoice, peer: Peer) -> None:
            probed.add(peer.name)
            probe(choice, peer)

        self.patch(RelayChoice, "probe", noted)
        near.net.settle(MIN_MOVE_SECONDS)
        self.assertEqual(probed, {near.a.node_name, near.b.node_name})
        for one, other in ((near.a, near.b), (near.b, near.a)):
            for peer in (other, *near.relays):
                link = near.link(one, peer)
                assert link is not None
                self.assertIsNotNone(link.round_trip.variation)

    def test_both_ends_say_how_far_the_relays_are(self) -> None:
        near = self.make((0.01, 0.03), (0.08, 0.05))
        near.net.settle(MIN_MOVE_SECONDS)
        for relay, seconds in zip(near.relays, (0.04, 0.13), strict=True):
            took = self.choice(near).seconds(near.b.node_name, relay.node_name)
            # each half is rounded up to milliseconds, and measured on a clock that rounds, too
            self.assertApproximates(took, seconds, 0.005)


class MovingTests(NearCase):
    def test_tunnel_whose_relay_becomes_slow_is_moved_and_loses_nothing(self) -> None:
        """There is a tunnel at both ends all the time, and each message arrives once, in its order."""
        near = self.make((0.01, 0.01), (0.08, 0.08))
        near.until_through(0, MOVED_WITHIN)
        # the attempts to replace it by a better kind of link are rare by now
        near.net.settle(LONG_SECONDS)
        arrived = near.send_every(0.5)
        near.place(near.a, near.relays[0], 0.4)

        def moved() -> bool:
            self.assertIsNotNone(near.link(near.a, near.b))
            self.assertIsNotNone(near.link(near.b, near.a))
            return near.number == 1

        near.net.run(moved, MOVED_WITHIN)
        near.net.settle(5)
        numbers = [int(each) for each in arrived]
        self.assertEqual(numbers, list(range(len(numbers))))
        self.assertGreater(len(numbers), 2 * 5)

    def test_stream_arrives_intact_while_its_tunnel_is_moved(self) -> None:
        """Its bytes keep coming until after the move, and then have one hash at both ends."""
        near = self.make((0.01, 0.01), (0.08, 0.08))
        near.until_through(0, MOVED_WITHIN)
        arrived = sha256()
        port = Protocol()
        self.patch(port, "dataReceived", arrived.update)
        streams_of(near.b).listen("sink", Factory.forProtocol(lambda: port))
        opened = streams_of(near.a).open(near.b.node_name, "sink", Factory.forProtocol(Protocol))
        near.net.run(lambda: opened.called)
        transport = self.successResultOf(opened).transport
        assert transport is not None
        random, sent = Random(3), sha256()

        def write() -> None:
            data = random.randbytes(20_000)
            sent.update(data)
            transport.write(data)

        writing = LoopingCall(write)
        writing.clock = near.net.clock
        writing.start(0.1)
        self.addCleanup(lambda: writing.running and writing.stop())
        near.place(near.a, near.relays[0], 0.4)
        near.until_through(1, 2 * MOVED_WITHIN)
        near.net.settle(2)
        writing.stop()
        near.net.settle(10)
        self.assertEqual(arrived.hexdigest(), sent.hexdigest())

    def test_tunnel_is_not_moved_for_a_small_gain_or_soon(self) -> None:
        """It is moved for a fifth and 10 ms, after a minute."""
        near = self.make((0.05, 0.05), (0.06, 0.06))
        near.until_through(0, MOVED_WITHIN)
        choice, peer, other = self.choice(near), near.b.node_name, near.relays[1].node_name
        near.net.settle(MIN_MOVE_SECONDS / 2)
        self.tell(near, (50, 5))
        self.assertEqual(choice.better(peer), [])
        near.net.settle(MIN_MOVE_SECONDS)
        self.tell(near, (50, 25))
        self.assertEqual(choice.better(peer), [])
        self.tell(near, (50, 5))
        self.assertEqual(choice.better(peer), [other])

    def test_end_that_lies_has_a_slow_tunnel_and_no_more(self) -> None:
        """What a tunnel takes longer than was told is remembered for this peer alone, and it is moved."""
        near = self.make((0.2, 0.2), (0.03, 0.03))
        near.until_through(1, MOVED_WITHIN)
        near.net.settle(MIN_MOVE_SECONDS)
        choice, peer = self.choice(near), near.b.node_name
        far, close = (each.node_name for each in near.relays)
        self.assertEqual(choice.better(peer), [])
        self.tell(near, (1, 500))
        core = near.a._core
        assert core is not None
        tunnel = core.links.peer(peer)
        assert tunnel is not None
        self.assertLess(choice.seconds(peer, close), 0.6)
        choice.measured(tunnel)
        # it is no faster than its halves are said to be
        self.assertGreater(choice.seconds(peer, close), 0.5)
        self.tell(near, (1, 1))
        choice.measured(tunnel)
        self.assertGreater(choice.seconds(peer, close), 0.055)
        self.assertEqual(choice.seconds(near.relays[0].node_name, close), float("inf"))
        self.assertLess(choice.seconds(peer, far), 0.25)

    def test_explanation_says_why_it_is_that_relay(self) -> None:
        near = self.make((0.01, 0.01), (0.08, 0.08))
        near.until_through(0, MOVED_WITHIN)
        near.net.settle(MIN_MOVE_SECONDS)
        said = near.a.explain(near.b.node_name).summary
        self.assertIn("why that relay: 21 ms through it, ", said)
        self.assertIn(f"160 ms through {near.relays[1].node_name.short}", said)


class DyingTests(NearCase):
    def test_peer_is_asked_by_the_next_relay_when_the_first_is_silent(self) -> None:
        """The routing table may lead to the dead one."""
        near = self.make((0.01, 0.01), (0.08, 0.08), (0.2, 0.2))
        near.until_through(0, MOVED_WITHIN)
        core = near.a._core
        assert core is not None
        tunnel = core.links.peer(near.b.node_name)
        assert tunnel is not None
        self.assertIs(self.choice(near).way_round(tunnel), near.link(near.a, near.relays[1]))
        near.kill(near.relays[0], silently=True)
        near.until_through(1, 60)

"""Many nodes behind symmetric NATs, and one that carries their tunnels."""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.streams import streams_of

from .fleet import Fleet

MAX_SECONDS = 2.0
MIB = 1 << 20


class Sink(Protocol):
    """Counts what comes."""

    received = 0

    def dataReceived(self, data: bytes) -> None:
        self.received += len(data)


class FleetTests(SynchronousTestCase):
    def test_every_pair_opens_a_stream_within_two_seconds_and_all_at_once(self) -> None:
        """The tables have tunnels by then, and requests of theirs are under way."""
        fleet = Fleet(12)
        fleet.settle(40)
        fleet.open_all()
        fleet.network.run_for(MAX_SECONDS)
        self.assertEqual(len(fleet.took), len(fleet.pairs))

    def test_pairs_far_apart_in_small_tables_open_a_stream_within_two_seconds(self) -> None:
        """The nearest node in the table of one end may be a dead end: the public member knows them all."""
        fleet = Fleet(9, places=2)
        fleet.settle(30)
        fleet.open_all()
        fleet.network.run_for(MAX_SECONDS)
        self.assertEqual(len(fleet.took), len(fleet.pairs))

    def test_laptop_reaches_all_others_one_after_the_other(self) -> None:
        fleet = Fleet(7)
        fleet.settle(40)
        laptop, *others = fleet.nodes
        for other in others:
            fleet.open(laptop, other)
            fleet.network.run_for(MAX_SECONDS)
        self.assertEqual(len(fleet.took), len(others))

    def test_tunnel_is_as_fast_as_the_relay_allows_over_a_long_way(self) -> None:
        """No setting of any node needs to be changed for that: the windows grow with the round trip."""
        fleet = Fleet(2, latency=0.1, relay_rate=MIB)
        fleet.settle(20)
        one, other = fleet.nodes
        sink = Sink()
        streams_of(other.service).listen("sink", Factory.forProtocol(lambda: sink))
        opening = streams_of(one.service).open(other.name, "sink", Factory.forProtocol(Protocol))
        source: Any = fleet.network.result_of(opening)
        source.transport.write(bytes(8 * MIB))
        fleet.network.run_for(3)
        before = sink.received
        fleet.network.run_for(4)
        self.assertGreater(sink.received - before, 3.5 * MIB)

    def test_explanation_names_the_setting_and_the_node_that_refused(self) -> None:
        fleet = Fleet(2, tunnel_memory=0)
        fleet.settle(20)
        one, other = fleet.nodes
        fleet.open(one, other)
        fleet.network.run_for(5)
        tried = [each.outcome for each in one.service.explain(other.name).attempts]
        self.assertIn(f"tunnel_memory of node {fleet.relay.name.short} may be 0", " ".join(tried))

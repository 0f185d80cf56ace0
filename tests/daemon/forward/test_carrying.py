"""Connections that are carried from a forward to an exposed program."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import ISSLTransport
from zope.interface import directlyProvides

from routing_crust.config import MIB
from routing_crust.daemon.forward.connections import Change, Suspension
from routing_crust.daemon.forward.exposer import Exposer
from routing_crust.daemon.forward.forwarder import PortForwarder
from routing_crust.streams import streams_of

from ..control.wires import Wire
from .carrying_case import CarryingCase


class FlowTests(CarryingCase):
    def test_bytes_pass_both_ways_and_are_counted(self) -> None:
        """Bytes both ways, as the status tells; a clean end at one side is one at the other."""
        self.both()
        near, far = self.open()
        near.send(b"question")
        self.net.run(lambda: far.written)
        far.send(b"the answer")
        self.net.run(lambda: near.written)
        self.assertEqual((far.written, near.written), (b"question", b"the answer"))
        status = self.registries[1].status()
        ((stream),) = status["streams"]  # type: ignore[misc]
        self.assertEqual(
            {key: stream[key] for key in ("kind", "protocol", "sent", "received")},
            {"kind": "forwarded", "protocol": "ssh", "sent": 8, "received": 10},
        )
        self.assertEqual(status["forwarded"][0]["open"], 1)  # type: ignore[index]
        self.assertEqual(status["stream_counts"], {str(self.server.node_name): 1})
        exposed = self.registries[0].status()
        self.assertEqual(exposed["exposed"][0]["open"], 1)  # type: ignore[index]
        self.assertEqual(exposed["exposed"][0]["allowed"], [str(self.client.node_name)])  # type: ignore[index]
        self.assertEqual(exposed["offered"], ["ssh"])
        near.end()
        far.end()
        self.net.run(self.over)
        self.assertEqual((near.closed, far.closed), ("closed", "closed"))

    def test_program_has_a_request_before_the_answer_to_the_stream_is_there(self) -> None:
        """It takes one way through the network and not three: more is read when the stream is open."""
        self.both()
        self.open()
        self.net.network.latency = 0.1
        near = self.port.connect()
        near.send(b"GET /")
        self.assertTrue(near.paused)
        self.net.run(lambda: len(self.program.wires) == 2 and self.program.wires[-1].written, 0.15)
        self.assertTrue(near.paused)
        self.net.run(lambda: not near.paused, 0.15)
        near.send(b" HTTP/1.1")
        self.net.run(lambda: self.program.wires[-1].written == b"GET / HTTP/1.1", 0.15)

    def test_long_request_arrives_whole_and_in_order(self) -> None:
        self.both()
        near = self.port.connect()
        sent = bytes(range(256)) * 1024
        near.send(sent)
        near.end()
        self.net.run(lambda: self.program.wires and self.program.wires[-1].written == sent)

    def test_status_has_the_nicknames_of_those_peers(self) -> None:
        self.client.directory.change_nicknames({"home": self.server.node_name})
        self.both()
        self.open()
        self.assertEqual(self.registries[1].status()["nicknames"], {str(self.server.node_name): "home"})
        self.assertEqual(self.registries[0].status()["nicknames"], {})

    def test_totals_never_become_less(self) -> None:
        """While a connection is open, when it is over, and when the forward itself has ended."""
        self.both()
        near, far = self.open()
        near.send(b"question")
        self.net.run(lambda: far.written)
        totals = {"forwarded": {"connections": 1, "sent": 8, "received": 0, "dropped": 0}}
        registry = self.registries[1]
        none = dict.fromkeys(totals["forwarded"], 0)
        self.assertEqual(registry.status()["carried"], {**totals, "local": none})
        near.end()
        far.end()
        self.net.run(self.over)
        self.assertEqual(registry.status()["carried"]["forwarded"], totals["forwarded"])  # type: ignore[index]
        (forwarder,) = registry._forwarders
        self.net.result(registry.end(forwarder))
        self.assertEqual(registry.status()["carried"]["forwarded"], totals["forwarded"])  # type: ignore[index]

    def test_half_closed_side_still_gets_the_answer(self) -> None:
        """The side that has sent all still gets the answer, whichever of the two it is."""
        self.both()
        for turned in (False, True):
            ends = self.open()
            one, two = ends[::-1] if turned else ends
            one.send(b"all")
            one.end()
            self.net.run(lambda two=two: two.ended)
            self.assertEqual((two.written, one.ended, one.closed, two.closed), (b"all", False, "", ""))
            two.send(b"late")
            two.end()
            self.net.run(self.over)
            self.assertEqual((one.written, one.ended), (b"late", True))

    def test_what_came_before_the_far_end_is_kept(self) -> None:
        """What a transport delivers although it was paused, and its end, are kept."""
        self.both()
        near = self.port.connect()
        near.protocol.dataReceived(b"early")
        near.end()
        self.net.run(lambda: self.program.wires and self.program.wires[0].ended)
        self.assertEqual(self.program.wires[0].written, b"early")

    def test_a_slow_reader_stops_the_sender(self) -> None:
        """Bytes that nobody takes stay with the program that sends them."""
        self.both()
        near, far = self.open()
        far.producer.pauseProducing()
        sent = 0
        while not near.paused and sent < 16 * MIB:
            near.send(bytes(65536))
            sent += 65536
            self.net.settle(0.1)
        self.assertLess(sent, 2 * MIB)
        far.producer.resumeProducing()
        self.net.run(lambda: len(far.written) == sent)
        self.assertFalse(near.paused)
        near.end()
        near.producer.resumeProducing()  # a socket that is read at its end says so once more
        self.assertFalse(near.paused)

    def test_client_that_read_nothing_may_go(self) -> None:
        """The server's program waits for it to read, and reads nothing itself meanwhile, as an echo does."""
        self.both()
        near, far = self.open()
        near.producer.pauseProducing()
        far.producer.pauseProducing()
        near.send(bytes(100_000))
        while not far.paused:
            far.send(bytes(65536))
            self.net.settle(0.1)
        near.lose(ConnectionDone())
        self.net.run(lambda: not far.paused)
        self.net.settle(1)
        self.assertFalse(self.over())
        far.send(b"more")
        self.net.run(self.over)
        self.assertEqual(far.closed, "aborted")

    def test_lost_connection_aborts_the_other_side(self) -> None:
        """A connection that is lost at one side is aborted at the other, behind what had come."""
        self.both()
        for turned in (False, True):
            ends = self.open()
            one, two = ends[::-1] if turned else ends
            one.send(b"last words")
            one.lose()
            self.net.run(self.over)
            self.assertEqual((two.written, two.closed, two.ended), (b"last words", "aborted", False))

    def test_programs_notice_nothing_of_a_lost_link(self) -> None:
        """Their connections go on over the next one, and the status shows the wait for it."""
        self.both()
        near, far = self.open()
        self.net.network.cut(self.net.network.links[0])
        near.send(b"meanwhile")
        self.net.run(lambda: self.registries[1].status()["suspended"], timeout=1)
        waiting: Any = self.registries[1].status()["suspended"]
        self.assertEqual(list(waiting), [str(self.server.node_name)])
        self.net.run(lambda: far.written == b"meanwhile", timeout=20)
        self.assertEqual((near.closed, far.closed), ("", ""))

    def watch(self, owner: Exposer | PortForwarder) -> list[Suspension]:
        told: list[Suspension] = []
        owner.connections.watcher = told.append
        return told

    def suspended(self) -> list[bool]:
        """Of each connection of the forward, whether it waits for a link."""
        streams: Any = self.registries[1].status()["streams"]
        return [each["suspended"] for each in streams]

    def test_suspension_and_resumption_are_told_once_for_all_connections(self) -> None:
        at_server = self.watch(self.expose(self.client.node_name))
        at_client = self.watch(self.forward())
        for _ in range(3):
            self.open()
        self.assertEqual(self.suspended(), [False] * 3)
        self.net.network.cut(self.net.network.links[0])
        self.net.run(lambda: at_client)
        self.assertEqual(self.suspended(), [True] * 3)
        self.net.settle(20)
        self.assertEqual(self.suspended(), [False] * 3)
        for told, peer in ((at_server, self.client), (at_client, self.server)):
            self.assertEqual([each.change for each in told], [Change.SUSPENDED, Change.RESUMED])
            self.assertEqual({(each.peer, each.count) for each in told}, {(peer.node_name, 3)})
            self.assertIn("the connection was lost", told[0].because)
            self.assertGreater(told[1].seconds, 0)

    def test_forward_has_a_time_of_its_own(self) -> None:
        """Its connections end when it is over, which is told once."""
        self.expose(self.client.node_name)
        told = self.watch(self.forward(keep=30))
        ends = [self.open(), self.open()]
        self.net.network.partition([[self.net.crust(self.server)], [self.net.crust(self.client)]])
        self.net.network.cut(self.net.network.links[0])
        self.net.settle(29)
        self.assertEqual([near.closed for near, _ in ends], ["", ""])
        self.net.settle(2)
        self.assertEqual([near.closed for near, _ in ends], ["aborted", "aborted"])
        self.assertEqual(
            [(each.change, each.count) for each in told], [(Change.SUSPENDED, 2), (Change.ENDED, 2)]
        )
        self.assertIn("no other link came in time", told[1].because)

    def test_exposed_program_bounds_what_a_forward_asks_for(self) -> None:
        self.expose(self.client.node_name, keep=0)
        self.forward(keep=3600)
        near, far = self.open()
        self.net.network.cut(self.net.network.links[0])
        self.net.run(self.over)
        self.assertEqual((near.closed, far.closed), ("aborted", "aborted"))

    def test_lost_link_cuts_both_programs_where_streams_may_not_wait(self) -> None:
        """Both programs hear; the next connection has a new link."""
        self.both()
        near, far = self.open()
        for node in (self.client, self.server):
            for peer in streams_of(node)._peers:
                for stream in peer.mux.streams.values():
                    stream.survival = 0
        self.net.network.cut(self.net.network.links[0])
        self.net.run(self.over)
        self.assertEqual((near.closed, far.closed), ("aborted", "aborted"))
        near, far = self.open()
        near.send(b"again")
        self.net.run(lambda: far.written == b"again")

    def test_stopped_node_cuts_both_programs(self) -> None:
        """When a node stops, both programs hear."""
        self.both()
        near, far = self.open()
        self.net.result(self.client.stopService())
        self.net.run(self.over)
        self.assertEqual((near.closed, far.closed), ("aborted", "aborted"))

    def test_transport_without_half_close_is_closed(self) -> None:
        """A transport with one close only, as TLS has, is closed when the other end has sent all."""
        self.both()
        near, far = self.open()
        far.__class__ = type("Whole", (Wire,), {"loseWriteConnection": property()})
        near.end()
        self.net.run(self.over)
        self.assertEqual(far.closed, "closed")
        near, far = self.open()
        directlyProvides(far, ISSLTransport)
        near.end()
        self.net.run(self.over)
        self.assertEqual((far.closed, far.ended), ("closed", False))

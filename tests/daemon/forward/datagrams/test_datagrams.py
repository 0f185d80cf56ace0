"""
UDP across two nodes in memory, with the programs at both ends played by the test.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger, LogPublisher, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from routing_crust import RoutingService
from routing_crust.config import Settings
from routing_crust.daemon.forward.changing import ProgramChanges
from routing_crust.daemon.forward.datagrams import exposer as exposing
from routing_crust.daemon.forward.datagrams.exposer import DatagramExposer
from routing_crust.daemon.forward.datagrams.forwarder import DatagramForwarder
from routing_crust.daemon.forward.datagrams.framing import MAX_DATAGRAM_BYTES, QUEUE_DATAGRAMS
from routing_crust.daemon.forward.datagrams.session import ASKING_SECONDS, TALKING_SECONDS
from routing_crust.daemon.forward.registry import ForwardRegistry
from routing_crust.errors import CannotListen
from routing_crust.forwarding_rules import Exposure, Forward, Permission
from routing_crust.names import Name
from routing_crust.streams import StreamReason, StreamRefused, StreamReset, streams_of
from tests.routing.net import Net
from tests.streams.protocols import Keeping

from .sockets import Socket, UdpReactor

ALICE, BOB = ("127.0.0.1", 4001), ("127.0.0.1", 4002)


class DatagramCase(SynchronousTestCase):
    """A node that exposes a program, and one that forwards a port to it."""

    def setUp(self) -> None:
        self.lines: list[str] = []
        observer = LogPublisher(lambda event: self.lines.append(formatEvent(event)))
        for kind in (DatagramExposer, DatagramForwarder, ForwardRegistry):
            self.patch(kind, "log", Logger(observer=observer))
        self.net = Net()
        self.server, self.client = self.net.grow(2, max_streams=8)
        self.reactors = [UdpReactor(), UdpReactor()]
        self.registries = [
            ForwardRegistry(node, reactor)
            for node, reactor in zip((self.server, self.client), self.reactors, strict=True)
        ]
        self.addCleanup(self.stop)

    def stop(self) -> None:
        for registry, reactor in zip(self.registries, self.reactors, strict=True):
            self.net.result(registry.stop())
            self.assertEqual(registry.status()["streams"], [])
            self.assertEqual(reactor.open, [])
        self.net.stop()
        self.assertEqual(self.net.clock.getDelayedCalls(), [])

    def expose(
        self, target: str = "udp:127.0.0.1:53", allow: bool = True, more: tuple[Name, ...] = ()
    ) -> None:
        allowed = (self.client.node_name, *more) if allow else ()
        self.registries[0].start(
            Settings(
                expose=(Exposure("dns", target),),
                allow_peer=tuple(Permission("dns", each) for each in allowed),
            )
        )

    def forward(self, listen: str = "udp:5353") -> Socket:
        self.registries[1].start(Settings(forward=(Forward(listen, self.server.node_name, "dns"),)))
        return self.reactors[1].sockets[-1]

    def both(self) -> Socket:
        self.expose()
        return self.forward()

    @property
    def programs(self) -> list[Socket]:
        """The sockets that are connected to the program."""
        return self.reactors[0].open

    def status(self, at: int = 1) -> Any:
        return self.registries[at].status()

    def forwarded(self) -> Any:
        return self.status()["forwarded"][0]

    def asked(self, port: Socket, datagram: bytes = b"question", source: Any = ALICE) -> Socket:
        """Have a datagram arrive at the program, by a socket that is new."""
        before = len(self.reactors[0].sockets)
        port.sends(datagram, source)
        self.net.run(lambda: len(self.reactors[0].sockets) > before)
        socket = self.reactors[0].sockets[-1]
        self.net.run(lambda: socket.datagrams)
        return socket


class FlowTests(DatagramCase):
    def test_each_source_has_its_own_answers(self) -> None:
        port = self.both()
        self.assertEqual((port.port, port.interface), (5353, "127.0.0.1"))
        one = self.asked(port, b"one", ALICE)
        two = self.asked(port, b"two", BOB)
        self.assertEqual((one.datagrams, two.datagrams, one.to), ([b"one"], [b"two"], ("127.0.0.1", 53)))
        two.sends(b"second")
        one.sends(b"first")
        self.net.run(lambda: len(port.written) == 2)
        self.assertEqual(dict(port.written), {b"first": ALICE, b"second": BOB})
        port.sends(b"more", ALICE)
        self.net.run(lambda: one.datagrams == [b"one", b"more"])
        stream = self.status()["streams"][0]
        self.assertEqual(
            {key: stream[key] for key in ("kind", "protocol", "sent", "received", "dropped")},
            {"kind": "forwarded", "protocol": "dns", "sent": 7, "received": 5, "dropped": 0},
        )
        self.assertEqual((self.forwarded()["open"], self.status(0)["exposed"][0]["open"]), (2, 2))
        self.assertEqual(self.status(0)["offered"], ["dns+udp"])

    def test_datagrams_stay_whole_whatever_their_size(self) -> None:
        port = self.both()
        program = self.asked(port, b"")
        self.assertEqual(program.datagrams, [b""])
        sizes = [MAX_DATAGRAM_BYTES, 1, 0, 1472, 40_000]
        for size in sizes:
            port.sends(bytes(size), ALICE)
            program.sends(bytes(size))
        self.net.run(lambda: len(program.written) == len(port.written) + 1 == len(sizes) + 1)
        self.assertEqual([len(each) for each in program.datagrams[1:]], sizes)
        self.assertEqual([len(each) for each in port.datagrams], sizes)

    def test_longer_datagrams_than_streams_carry_are_dropped_and_counted(self) -> None:
        """UDP over IPv6 carries some."""
        port = self.both()
        self.asked(port)
        port.sends(bytes(MAX_DATAGRAM_BYTES + 1), ALICE)
        self.assertEqual(self.forwarded()["dropped"], 1)

    def test_question_and_answer_end_after_half_a_minute(self) -> None:
        """At both ends, with their sockets."""
        port = self.both()
        program = self.asked(port)
        program.sends(b"answer")
        self.net.settle(ASKING_SECONDS - 1)
        self.assertEqual((len(self.programs), self.forwarded()["open"]), (1, 1))
        self.net.settle(2)
        self.assertEqual((self.programs, self.forwarded()["open"]), ([], 0))
        self.assertEqual(self.status(0)["stream_counts"], {})
        self.assertEqual(self.status()["carried"]["forwarded"]["connections"], 1)
        self.asked(port)

    def test_conversation_may_be_silent_for_longer(self) -> None:
        port = self.both()
        program = self.asked(port)
        for _ in range(2):
            program.sends(b"answer")
            port.sends(b"question", ALICE)
            self.net.settle(1)
        self.net.settle(TALKING_SECONDS - 3)
        port.sends(b"still there", ALICE)
        self.net.settle(TALKING_SECONDS - 1)
        self.assertEqual(self.forwarded()["open"], 1)
        self.net.settle(2)
        self.assertEqual((self.programs, self.forwarded()["open"]), ([], 0))

    def test_program_that_answers_nothing_holds_nothing_for_long(self) -> None:
        port = self.both()
        for number in range(4):
            self.asked(port, source=("127.0.0.1", number))
        self.net.settle(ASKING_SECONDS + 1)
        self.assertEqual((self.programs, self.status()["streams"]), ([], []))

    def test_newer_datagrams_push_out_the_oldest_while_the_stream_is_opened(self) -> None:
        port = self.both()
        for number in range(QUEUE_DATAGRAMS + 5):
            port.sends(number.to_bytes(2, "big"), ALICE)
        self.assertEqual(self.forwarded()["dropped"], 5)
        self.net.run(lambda: self.programs and len(self.programs[0].written) == QUEUE_DATAGRAMS)
        self.assertEqual(self.programs[0].datagrams[0], b"\0\5")
        self.assertEqual(self.status()["carried"]["forwarded"]["dropped"], 5)

    def test_datagrams_wait_for_a_lost_link_and_the_newest_arrive(self) -> None:
        port = self.both()
        program = self.asked(port)
        self.net.network.cut(self.net.network.links[0])
        self.net.run(lambda: self.status()["suspended"], timeout=1)
        for number in range(QUEUE_DATAGRAMS + 5):
            port.sends(number.to_bytes(2, "big"), ALICE)
        self.assertEqual(self.forwarded()["dropped"], 5)
        self.net.run(lambda: len(program.written) == QUEUE_DATAGRAMS + 1)
        self.assertEqual(program.datagrams[1], b"\0\5")

    def test_what_the_system_does_not_take_is_dropped_and_counted(self) -> None:
        port = self.both()
        program = self.asked(port)
        program.problem = BlockingIOError(11, "again")
        port.sends(b"lost", ALICE)
        self.net.settle(1)
        self.assertEqual(self.status(0)["exposed"][0]["dropped"], 1)
        program.problem = None
        port.sends(b"found", ALICE)
        self.net.run(lambda: program.datagrams == [b"question", b"found"])


class BoundTests(DatagramCase):
    def test_source_that_is_idle_for_longest_makes_room(self) -> None:
        """Half of max_streams, so that connections have their share."""
        port = self.both()
        sources = [("127.0.0.1", number) for number in range(1, 6)]
        for source in sources[:4]:
            self.asked(port, source=source)
            self.net.settle(1)
        port.sends(b"again", sources[0])
        self.asked(port, source=sources[4])
        self.net.settle(1)
        self.assertEqual(self.forwarded()["open"], 4)
        self.assertEqual([each.is_open for each in self.reactors[0].sockets], [True, False, True, True, True])

    def test_peer_has_so_many_sockets_at_the_program_and_no_more(self) -> None:
        self.patch(exposing, "MAX_SESSIONS_OF_PEER", 2)
        port = self.both()
        for number in range(4):
            self.asked(port, source=("127.0.0.1", number))
            self.net.settle(1)
        self.assertEqual([each.is_open for each in self.reactors[0].sockets], [False, False, True, True])

    def test_all_peers_have_so_many_and_who_has_most_makes_room(self) -> None:
        self.patch(exposing, "MAX_SESSIONS", 2)
        port = self.both()
        for number in range(3):
            self.asked(port, source=("127.0.0.1", number))
            self.net.settle(1)
        self.assertEqual([each.is_open for each in self.reactors[0].sockets], [False, True, True])

    def test_many_keys_of_one_prefix_take_no_place_of_a_peer_elsewhere(self) -> None:
        """Each has one session, and the honest peer two: by name it would be the honest one's turn."""
        self.patch(exposing, "MAX_SESSIONS", 5)
        crowd, elsewhere = self.net.grow(4)[-4:], self.net.grow(1)[-1]
        names = {each.node_name for each in crowd}
        self.patch(streams_of(self.server), "prefix_of", lambda name: "crowd" if name in names else str(name))
        self.expose(more=(*names, elsewhere.node_name))
        port = self.forward()
        for number in range(2):
            self.asked(port, source=("127.0.0.1", number))
        for each in crowd[:3]:
            self.net.result(self.opened_by(each))
        self.net.result(self.opened_by(elsewhere))
        self.net.settle(1)
        self.assertEqual(
            [each.is_open for each in self.reactors[0].sockets], [True, True, False, True, True, True]
        )
        refused = self.failureResultOf(self.settled(self.opened_by(crowd[3])), StreamRefused).value
        self.assertIs(refused.reason, StreamReason.TOO_MANY)
        self.assertIn("no other has more", str(refused))
        self.assertEqual(self.forwarded()["open"], 2)

    def opened_by(self, node: RoutingService) -> Deferred[Any]:
        return streams_of(node).open(self.server.node_name, "dns+udp", Keeping())

    def settled(self, opened: Deferred[Any]) -> Deferred[Any]:
        self.net.settle(5)
        return opened

    def test_peer_that_sends_what_is_no_datagram_is_cut_off(self) -> None:
        self.expose()
        factory = Keeping()
        opened = streams_of(self.client).open(self.server.node_name, "dns+udp", factory)
        protocol = self.net.result(opened)
        protocol.transport.write(b"\0\1x\xff\xff" + bytes(10))
        self.net.run(lambda: protocol.reason)
        self.assertIsInstance(protocol.reason, StreamReset)
        self.assertIn("a datagram of 65535 bytes is over the limit of 65507", str(protocol.reason))
        self.assertEqual(self.programs, [])


class RefusalTests(DatagramCase):
    def said(self, text: str) -> bool:
        return any(text in line for line in self.lines)

    def test_closed_port_of_the_program_is_told_at_both_ends(self) -> None:
        """The peer learns nothing of the address; a second later it is tried again."""
        port = self.both()
        program = self.asked(port)
        program.protocol.connectionRefused()
        self.net.run(lambda: self.said("datagrams to 127.0.0.1:5353 were not carried"))
        (here,) = [line for line in self.lines if "udp:127.0.0.1:53 cannot be reached" in line]
        self.assertIn("port unreachable: no program takes datagrams there", here)
        self.assertIn("the program there cannot be reached", self.lines[-1])
        self.assertNotIn("127.0.0.1:53 ", self.lines[-1])
        self.assertEqual(self.programs, [])
        port.sends(b"too soon", ALICE)
        self.net.settle(0.5)
        self.assertEqual((len(self.reactors[0].sockets), self.forwarded()["dropped"]), (1, 1))
        self.net.settle(1)
        self.asked(port)

    def test_socket_that_the_reactor_closes_is_taken_for_a_closed_port(self) -> None:
        """As Twisted's does with epoll, for an ICMP message."""
        program = self.asked(self.both())
        program.stopListening()
        self.net.run(lambda: self.said("the program there cannot be reached"))
        self.assertTrue(self.said("port unreachable"))
        self.assertEqual(self.status(0)["streams"], [])

    def test_peer_that_is_not_allowed_is_told_so(self) -> None:
        self.expose(allow=False)
        port = self.forward()
        port.sends(b"question", ALICE)
        self.net.run(lambda: self.said("this protocol is not for this peer"))
        self.assertEqual((self.reactors[0].sockets, self.status()["streams"]), ([], []))

    def test_tcp_and_udp_are_told_apart(self) -> None:
        """A peer that wants one where the other is offered hears what to do."""
        self.expose()
        opened = streams_of(self.client).open(self.server.node_name, "dns", Keeping())
        refused = self.assertRaises(StreamRefused, self.net.result, opened)
        self.assertIs(refused.reason, StreamReason.NOT_OFFERED)
        self.assertIn("dns is UDP there: forward it with udp:PORT=NAME/dns", str(refused))
        self.registries[0].streams.listen("web", Keeping())
        opened = streams_of(self.client).open(self.server.node_name, "web+udp", Keeping())
        refused = self.assertRaises(StreamRefused, self.net.result, opened)
        self.assertIn("web is no UDP there: forward it with tcp:PORT=NAME/web", str(refused))

    def test_peer_that_may_not_have_it_does_not_hear_what_kind_it_is(self) -> None:
        self.expose(allow=False)
        opened = streams_of(self.client).open(self.server.node_name, "dns", Keeping())
        refused = self.assertRaises(StreamRefused, self.net.result, opened)
        self.assertEqual(refused.detail, "")

    def test_host_without_an_address_is_a_refusal(self) -> None:
        self.expose("udp:nowhere.example:53")
        port = self.forward()
        port.sends(b"question", ALICE)
        self.net.run(lambda: self.said("the program there cannot be reached"))
        self.assertTrue(self.said("the host nowhere.example has no address"))

    def test_session_that_ends_while_the_host_is_looked_up_leaves_nothing(self) -> None:
        self.expose("udp:localhost:53")
        resolver = self.reactors[0].nameResolver
        resolver.later = []
        port = self.forward()
        port.sends(b"question", ALICE)
        self.net.run(lambda: resolver.later)
        self.net.settle(ASKING_SECONDS + 1)
        resolver.later.pop()()
        self.net.settle(1)
        self.assertEqual((self.programs, self.status(0)["streams"]), ([], []))

    def test_port_that_is_taken_is_named(self) -> None:
        self.reactors[1].taken = [5353]
        error = self.assertRaises(CannotListen, self.forward)
        self.assertIn("cannot listen on udp:5353: Address already in use: stop the program", str(error))


class ChangeTests(DatagramCase):
    def change(self, at: int, **values: Any) -> int:
        changes = ProgramChanges(self.registries[at])
        prepared = self.net.result(Deferred.fromCoroutine(changes.prepare(Settings(**values))))
        return changes.commit(prepared)

    def test_another_program_ends_the_sessions_with_the_old_one(self) -> None:
        port = self.both()
        self.asked(port)
        permissions = (Permission("dns", self.client.node_name),)
        ended = self.change(0, expose=(Exposure("dns", "udp:127.0.0.1:54"),), allow_peer=permissions)
        self.net.settle(1)
        self.assertEqual((ended, self.programs), (1, []))
        self.assertEqual(self.asked(port).to, ("127.0.0.1", 54))

    def test_protocol_may_change_from_udp_to_tcp(self) -> None:
        port = self.both()
        self.asked(port)
        permissions = (Permission("dns", self.client.node_name),)
        ended = self.change(0, expose=(Exposure("dns", "tcp:127.0.0.1:53"),), allow_peer=permissions)
        self.net.settle(1)
        self.assertEqual((ended, self.status(0)["offered"]), (1, ["dns"]))

    def test_forward_that_leads_elsewhere_leaves_no_source_behind(self) -> None:
        port = self.both()
        self.asked(port)
        other = self.net.identity().name
        self.change(1, forward=(Forward("udp:5353", other, "dns"),))
        self.net.settle(1)
        self.assertEqual((self.programs, self.status()["streams"]), ([], []))
        self.assertTrue(port.is_open)

    def test_forward_that_is_removed_closes_its_port(self) -> None:
        port = self.both()
        self.asked(port)
        self.change(1)
        self.net.settle(1)
        self.assertEqual((port.is_open, self.programs, self.status()["forwarded"]), (False, [], []))

    def test_daemon_that_drains_takes_no_new_source(self) -> None:
        port = self.both()
        program = self.asked(port)
        self.registries[1].drain("it is about to stop")
        program.sends(b"answer")
        self.net.run(lambda: port.written == [(b"answer", ALICE)])
        port.sends(b"new", BOB)
        self.net.settle(1)
        self.assertEqual((len(self.programs), self.forwarded()["dropped"]), (1, 1))

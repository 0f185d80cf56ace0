"""
What the daemon exposes and forwards: two nodes in memory, with the programs at both ends played by the test.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError, ConnectionDone, ConnectionRefusedError
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import Logger, LogPublisher, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides

from routing_crust import Name, RoutingService
from routing_crust.config import MIB, Settings
from routing_crust.crust.accept.descriptors import RESERVED_DESCRIPTORS
from routing_crust.daemon.forward import exposer as exposing
from routing_crust.daemon.forward import forwarder as forwarding
from routing_crust.daemon.forward import registry as carrying
from routing_crust.daemon.forward.connections import Change, Suspension
from routing_crust.daemon.forward.exposer import Exposer
from routing_crust.daemon.forward.forwarder import PortForwarder
from routing_crust.daemon.forward.registry import ForwardRegistry
from routing_crust.errors import CannotListen, ConfigurationError
from routing_crust.forwarding_rules import Exposure, Forward, Permission
from routing_crust.limits import UNREACHABLE_SECONDS
from routing_crust.routing.naming.directory import PeerDirectory
from routing_crust.streams import StreamReason, StreamRefused, streams_of
from routing_crust.trust.certificate import Certificate, MemberRole
from tests.routing.net import Net
from tests.streams.protocols import HalfCloseable, Keeping

from ..control.wires import Port, Program, Wire


class CarryingCase(SynchronousTestCase):
    """One node exposes, another forwards."""

    def setUp(self) -> None:
        self.lines: list[str] = []
        observer = LogPublisher(lambda event: self.lines.append(formatEvent(event)))
        for module, kind in ((exposing, Exposer), (forwarding, PortForwarder), (carrying, ForwardRegistry)):
            self.assertIs(getattr(module, kind.__name__), kind)
            self.patch(kind, "log", Logger(observer=observer))
        self.net = Net()
        self.server, self.client = self.net.grow(2, max_streams=8)
        self.program, self.port = Program(self.net.clock), Port(self.net.clock)
        self.registries = [ForwardRegistry(each, MemoryReactorClock()) for each in (self.server, self.client)]
        self.addCleanup(self.stop)

    def stop(self) -> None:
        for each in self.registries:
            self.net.result(each.stop())
            self.assertEqual(each.status()["streams"], [])
        self.net.stop()
        self.assertEqual(self.net.clock.getDelayedCalls(), [])

    def expose(self, *allowed: Name, everyone: bool = False, keep: float | None = None) -> Exposer:
        exposer = Exposer(
            Exposure("ssh", "tcp:localhost:22", keep),
            self.server.directory.allowance(["*"] if everyone else allowed),
            self.program,
            streams_of(self.server),
        )
        self.registries[0].expose(exposer)
        return exposer

    def forward(
        self, to: RoutingService | None = None, protocol: str = "ssh", keep: float | None = None
    ) -> PortForwarder:
        forward = Forward("tcp:2222", (to or self.server).node_name, protocol, keep)
        forwarder = PortForwarder(forward, self.port, self.client)
        self.successResultOf(self.registries[1].forward(forwarder))
        return forwarder

    def both(self) -> None:
        self.expose(self.client.node_name)
        self.forward()

    def open(self) -> tuple[Wire, Wire]:
        """A connection: the ends of the two programs."""
        near = self.port.connect()
        self.assertTrue(near.paused)
        self.net.run(lambda: not near.paused and self.program.wires and not self.program.wires[-1].paused)
        return near, self.program.wires[-1]

    def over(self) -> bool:
        states = [each.status() for each in self.registries]
        return not any(each["streams"] or each["stream_counts"] for each in states)


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

    def test_what_came_before_the_far_end(self) -> None:
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

    def test_a_client_goes_that_read_nothing(self) -> None:
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
        """A connection that is lost at one side is aborted at the other, whichever it is."""
        self.both()
        for turned in (False, True):
            ends = self.open()
            one, two = ends[::-1] if turned else ends
            one.lose()
            self.net.run(self.over)
            self.assertEqual(two.closed, "aborted")

    def test_programs_notice_nothing_of_a_lost_link(self) -> None:
        """Their connections go on over the next one, and the status shows the wait for it."""
        self.both()
        near, far = self.open()
        self.net.network.cut(self.net.network.links[0])
        near.send(b"meanwhile")
        self.net.settle(0.1)
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


class RefusalTests(CarryingCase):
    def test_no_peer_is_allowed_by_default(self) -> None:
        """A peer that is not named is refused; every peer can be allowed."""
        exposer = self.expose()
        self.forward()
        self.assertIn("exposing tcp:localhost:22 as ssh to nobody: --allow-peer lets peers in", self.lines)
        near = self.port.connect()
        self.net.run(lambda: near.over)
        self.assertEqual((near.closed, self.program.wires), ("aborted", []))
        self.assertIn("this protocol is not for this peer", self.lines[-1])
        self.assertIn(
            f"a connection to tcp:2222 was not carried to ssh of {self.server.node_name}", self.lines[-1]
        )
        self.net.result(self.registries[0].end(exposer))
        self.expose(everyone=True)
        self.open()
        exposed: Any = self.registries[0].status()["exposed"]
        self.assertEqual(exposed[0]["allowed"], ["*"])

    def test_member_that_was_invited_to_a_protocol_may_have_it_and_no_other(self) -> None:
        registry = self.registries[0]
        invited = {(self.client.node_name, "ssh")}
        registry.is_invited = lambda name, protocol: (name, protocol) in invited
        nobody = self.server.directory.allowance(())
        for protocol in ("ssh", "web"):
            exposer = registry.exposer("expose", Exposure(protocol, "tcp:localhost:22"), nobody)
            exposer._endpoint = self.program  # type: ignore[assignment]
            registry.expose(exposer)
        forwarder = self.forward(protocol="web")
        near = self.port.connect()
        self.net.run(lambda: near.over)
        self.assertIn("this protocol is not for this peer", self.lines[-1])
        self.net.result(self.registries[1].end(forwarder))
        self.forward()
        self.open()

    def test_missing_program_refuses_the_stream(self) -> None:
        """The stream is refused, and both logs say why; where the program is, is not told to the peer."""
        self.both()
        self.program.problem = ConnectionRefusedError()
        near = self.port.connect()
        self.net.run(lambda: near.over)
        said = [line for line in self.lines if "cannot be reached" in line]
        self.assertIn(
            "asked for ssh, and tcp:localhost:22 cannot be reached: Connection was refused", said[0]
        )
        self.assertIn("it failed: the program there cannot be reached", said[1])
        self.assertNotIn("localhost", said[1])

    def test_last_descriptors_are_not_for_exposed_programs(self) -> None:
        """The peer is told of the limit, and the program is not connected to."""
        self.both()
        self.patch(exposing, "descriptors_left", lambda: RESERVED_DESCRIPTORS - 1)
        near = self.port.connect()
        self.net.run(lambda: near.over)
        self.assertEqual(self.program.wires, [])
        self.assertIn("keeps its last 64 descriptors, by RLIMIT_NOFILE", self.lines[-1])
        self.patch(exposing, "descriptors_left", lambda: RESERVED_DESCRIPTORS)
        self.open()

    def test_program_hangs_up_at_once(self) -> None:
        """A connection that is gone before the peer is told of it is a refusal too."""
        self.both()
        self.program.waiting = Deferred()
        near = self.port.connect()
        self.net.settle(1)
        self.patch(Program, "_connected", lambda program, factory: factory.buildProtocol(None))
        self.program.waiting.callback(None)
        self.net.run(lambda: near.over)
        self.assertIn("cannot be reached", self.lines[-1])

    def test_a_mistake_of_the_endpoint(self) -> None:
        """Another error is logged with its traceback, and is no business of the peer's."""
        self.both()
        self.program.problem = ZeroDivisionError("secret")
        near = self.port.connect()
        self.net.run(lambda: near.over)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertNotIn("secret", self.lines[-1])

    def test_program_that_hangs_up_ends_the_opening(self) -> None:
        """A program that hangs up before the far end is there ends its opening."""
        self.both()
        self.program.waiting = Deferred()
        near = self.port.connect()
        self.net.settle(1)
        near.lose()
        self.net.run(self.over)
        self.net.settle(1)
        self.assertTrue(self.program.waiting.called)
        self.assertEqual(self.program.wires, [])
        self.assertNotIn("not carried", "".join(self.lines))

    def test_connections_are_limited_as_streams_are(self) -> None:
        """No more connections than streams."""
        self.both()
        wires = [self.open()[0] for _ in range(8)]
        self.assertIsNone(self.port.factory.buildProtocol(None))
        self.assertIn("there are 8, and max_streams allows no more", self.lines[-1])
        wires[0].lose()
        self.net.settle(1)
        self.open()

    def test_unreachable_peer_closes_the_connection(self) -> None:
        """A node that cannot be reached: the program hears when it is given up."""
        gone = self.net.identity().name
        self.forward(to=type("Gone", (), {"node_name": gone})())
        near = self.port.connect()
        self.net.run(lambda: near.over, timeout=200)
        self.assertEqual(near.closed, "aborted")

    def test_connection_waits_for_the_network(self) -> None:
        """A connection waits for the node to find into its network, for as long as for any peer."""
        self.both()
        self.net.crash(self.server, silently=True)
        self.net.settle(70)
        near = self.port.connect()
        self.net.settle(UNREACHABLE_SECONDS - 1)
        self.assertFalse(near.over)
        self.net.settle(2)
        self.assertEqual(near.closed, "aborted")
        self.assertIn("was not reached within 90 s", self.lines[-1])

    def test_connection_to_the_only_other_node_is_closed_early_when_that_is_gone(self) -> None:
        self.both()
        self.net.crash(self.server)
        self.net.settle(1)
        near = self.port.connect()
        self.net.settle(5)
        self.assertEqual(near.closed, "aborted")
        self.assertRegex(self.lines[-1], "was not carried to ssh of .* cannot be reached.*connection refused")

    def named_by_certificate(self) -> list[Certificate]:
        """Let a certificate give the server its nickname, as soon as it is in this list."""
        shown: list[Certificate] = []
        members: Any = SimpleNamespace(
            current=shown, certificate_of=lambda name: None, current_of=lambda name: None
        )
        self.client.directory = PeerDirectory({}, True, lambda: (), lambda: members)
        forward = Forward("tcp:2222", "home", "ssh")
        self.expose(self.client.node_name)
        self.successResultOf(self.registries[1].forward(PortForwarder(forward, self.port, self.client)))
        return shown

    def test_connection_waits_until_it_is_known_whose_nickname_it_is(self) -> None:
        """Just after the start nobody has shown a certificate yet."""
        shown = self.named_by_certificate()
        self.net.until_joined()
        near = self.port.connect()
        self.net.settle(3)
        self.assertFalse(near.over)
        self.assertEqual(self.registries[1].status()["streams"][0]["peer"], "home")  # type: ignore[index]
        network = f"key:{self.server.node_name}"
        roles = frozenset((MemberRole.NODE,))
        shown.append(Certificate(network, self.server.node_name, "home", roles, frozenset(), 0, 1, 1))
        self.net.run(lambda: self.program.wires)
        status = self.registries[1].status()["streams"]
        self.assertEqual(status[0]["peer"], str(self.server.node_name))  # type: ignore[index]

    def test_connection_to_a_nickname_that_nobody_has_is_closed_with_a_reason(self) -> None:
        self.named_by_certificate()
        self.net.until_joined()
        near = self.port.connect()
        self.net.settle(11)
        self.assertEqual(near.closed, "aborted")
        self.assertIn("was not carried to ssh of home: 'home' is not a name", self.lines[-1])

    def test_program_that_hangs_up_ends_the_search_for_a_nickname(self) -> None:
        self.named_by_certificate()
        near = self.port.connect()
        near.lose()
        self.net.settle(1)
        self.assertEqual(self.registries[1].status()["streams"], [])

    def test_two_of_a_name(self) -> None:
        self.expose()
        self.assertRaises(CannotListen, self.expose)

    def test_ended_forward_is_closed_and_withdrawn(self) -> None:
        """What is ended is closed, cut, and not offered any more."""
        exposer, forwarder = self.expose(everyone=True), self.forward()
        near, far = self.open()
        self.net.result(self.registries[1].end(forwarder))
        self.assertEqual((near.closed, self.port.factory), ("aborted", None))
        self.net.run(lambda: far.over)
        self.net.result(self.registries[0].end(exposer))
        self.assertEqual(self.registries[0].status()["offered"], [])
        opened = streams_of(self.client).open(self.server.node_name, "ssh", Keeping(HalfCloseable))
        refused = self.assertRaises(StreamRefused, self.net.result, opened)
        self.assertIs(refused.reason, StreamReason.NOT_OFFERED)


class ListeningTests(CarryingCase):
    def test_taken_port_cannot_be_forwarded(self) -> None:
        self.port.problem = CannotListenError("", 2222, OSError(98, "Address already in use"))
        forwarder = PortForwarder(Forward("tcp:2222", self.server.node_name, "ssh"), self.port, self.client)
        failure = self.failureResultOf(self.registries[1].forward(forwarder), CannotListen)
        self.assertEqual(str(failure.value), "cannot listen on tcp:2222: Address already in use")
        self.assertEqual(self.registries[1].status()["forwarded"], [])
        self.port.problem = OSError("no such user")
        failure = self.failureResultOf(self.registries[1].forward(forwarder), CannotListen)
        self.assertIn("no such user", str(failure.value))

    def test_ended_before_it_listens(self) -> None:
        self.port.waiting = Deferred()
        forwarder = PortForwarder(Forward("tcp:2222", self.server.node_name, "ssh"), self.port, self.client)
        started = self.registries[1].forward(forwarder)
        self.successResultOf(self.registries[1].end(forwarder))
        self.port.waiting.callback(None)
        self.successResultOf(started)
        self.assertIsNone(self.port.factory)


class SettingsTests(CarryingCase):
    """What the settings say is begun, or said to be wrong."""

    def begin(self, **values: Any) -> ForwardRegistry:
        self.reactor = MemoryReactorClock()
        registry = ForwardRegistry(self.client, self.reactor)
        self.registries.append(registry)
        registry.start(Settings(**values))
        return registry

    def test_settings_are_exposed_and_forwarded(self) -> None:
        name = self.server.node_name
        registry = self.begin(
            expose=(
                Exposure("ssh", "tcp:localhost:22"),
                Exposure("web", "unix:/x"),
                Exposure("db", "tcp:h:1"),
            ),
            allow_peer=(Permission("ssh", name), Permission("web", name), Permission("web", None)),
            forward=(Forward("tcp:2222", name, "ssh"), Forward("tcp6:2223", name, "web")),
        )
        status: Any = registry.status()
        self.assertEqual([each["allowed"] for each in status["exposed"]], [[str(name)], ["*"], []])
        self.assertEqual(len(status["forwarded"]), 2)
        listening = [(port, interface) for port, _, _, interface in self.reactor.tcpServers]
        self.assertEqual(listening, [(2222, "127.0.0.1"), (2223, "::1")])

    def test_unusable_endpoint_stops_everything_before_it_begins(self) -> None:
        """An endpoint that cannot be read stops everything before it begins, and the setting is named."""
        name = self.server.node_name
        for setting, values in (
            ("expose", {"expose": (Exposure("ssh", "tcp:localhost"),)}),
            ("expose", {"expose": (Exposure("ssh", "nothing:1"),)}),
            ("forward", {"expose": (Exposure("a", "tcp:h:1"),), "forward": (Forward("tcp:x", name, "a"),)}),
            ("forward", {"forward": (Forward("what", name, "a"),)}),
        ):
            error = self.assertRaises(ConfigurationError, lambda values=values: self.begin(**values))
            self.assertEqual(error.setting, setting)
            self.assertEqual(self.registries[-1].status()["offered"], [])

    def test_a_port_that_is_taken(self) -> None:
        def taken(*arguments: object, **options: object) -> None:
            raise CannotListenError("", 2222, OSError(98, "Address already in use"))

        self.patch(MemoryReactorClock, "listenTCP", taken)
        error = self.assertRaises(
            CannotListen, lambda: self.begin(forward=(Forward("2222", self.server.node_name, "ssh"),))
        )
        self.assertEqual(str(error), "cannot listen on 2222: Address already in use")

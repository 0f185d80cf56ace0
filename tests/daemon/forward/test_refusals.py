"""Connections that are not carried, and why."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError

from routing_crust.crust.accept.descriptors import RESERVED_DESCRIPTORS
from routing_crust.daemon.forward import exposer as exposing
from routing_crust.daemon.forward.forwarder import PortForwarder
from routing_crust.errors import CannotListen
from routing_crust.forwarding_rules import Exposure, Forward
from routing_crust.limits import UNREACHABLE_SECONDS
from routing_crust.routing.naming.directory import PeerDirectory
from routing_crust.streams import StreamReason, StreamRefused, streams_of
from routing_crust.trust.certificate import Certificate, MemberRole
from tests.streams.protocols import HalfCloseable, Keeping

from ..control.wires import Program
from .carrying_case import CarryingCase


class RefusalTests(CarryingCase):
    def test_no_peer_is_allowed_by_default(self) -> None:
        """A peer that is not named is refused; every peer can be allowed."""
        exposer = self.expose()
        self.client.directory.change_nicknames({"home": self.server.node_name})
        self.forward()
        self.assertIn("exposing tcp:localhost:22 as ssh to nobody: --allow-peer lets peers in", self.lines)
        near = self.port.connect()
        self.net.run(lambda: near.over)
        self.assertEqual((near.closed, self.program.wires), ("aborted", []))
        self.assertIn("this protocol is not for this peer", self.lines[-1])
        who = f"home ({self.server.node_name.short})"
        self.assertIn(f"a connection to tcp:2222 was not carried to ssh of {who}", self.lines[-1])
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

    def test_error_of_the_endpoint_is_logged_and_not_told(self) -> None:
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
        self.assertIn("was not carried to ssh of home: 'home' is no nickname", self.lines[-1])

    def test_program_that_hangs_up_ends_the_search_for_a_nickname(self) -> None:
        self.named_by_certificate()
        near = self.port.connect()
        near.lose()
        self.net.settle(1)
        self.assertEqual(self.registries[1].status()["streams"], [])

    def test_second_of_a_name_is_refused(self) -> None:
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

"""What a read brings about is written at once; what the kernel does not take is left to the reactor."""

from __future__ import annotations

from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import Settings
from routing_crust.crust.link import tls
from routing_crust.crust.link.plan import LinkPlan
from routing_crust.crust.link.tls import LinkTlsProtocol
from routing_crust.endpoints import Direction

from ..support import Owner

PLENTY = 1 << 20


class Reactor(Clock):
    """Knows who waits to write."""

    def __init__(self) -> None:
        super().__init__()
        self.writers: list[object] = []

    def addWriter(self, writer: object) -> None:
        if writer not in self.writers:
            self.writers.append(writer)

    def removeWriter(self, writer: object) -> None:
        if writer in self.writers:
            self.writers.remove(writer)

    def removeReader(self, reader: object) -> None:
        """Not looked at."""


class Socket(FileDescriptor):
    """
    A descriptor whose kernel takes as much as the test says.

    @ivar room: how much it takes.
    @ivar problem: what it answers instead, if anything.
    """

    connected = 1
    room = PLENTY
    problem: Exception | None = None

    def __init__(self, reactor: Any) -> None:
        super().__init__(reactor)
        self.calls = 0
        self.taken = b""

    def writeSomeData(self, data: bytes) -> int | Exception:
        self.calls += 1
        if self.problem is not None:
            return self.problem
        taken = bytes(data)[: self.room]
        self.room -= len(taken)
        self.taken += taken
        return len(taken)

    def startReading(self) -> None:
        """Not looked at."""


class Echo(Protocol):
    """Sends back what comes."""

    def dataReceived(self, data: bytes) -> None:
        """Some bytes."""
        assert self.transport is not None
        self.transport.write(data)


class PromptWriteTests(SynchronousTestCase):
    """A client and a server, each with a descriptor of which the test is the kernel."""

    def setUp(self) -> None:
        self.patch(tls, "MAX_UNVERIFIED_BYTES", PLENTY)
        self.reactor = Reactor()
        self.client_end, self.server_end = Socket(self.reactor), Socket(self.reactor)
        self.client = self.end(1, Protocol, initiator=True)
        self.server = self.end(2, Echo, initiator=False)

    def end(self, seed: int, protocol: type[Protocol], initiator: bool) -> LinkTlsProtocol:
        owner = Owner(self.reactor, Settings(), seed)
        plan = LinkPlan(Direction.CONNECTED, initiator)
        factory = owner.tls.wrap(plan, owner, Factory.forProtocol(protocol))
        made = factory.buildProtocol(None)
        assert made is not None
        return made

    def carry(self) -> None:
        """Move what the kernels have taken to the other end, until there is nothing more."""
        while self.client_end.taken or self.server_end.taken:
            data, self.client_end.taken = self.client_end.taken, b""
            if data:
                self.server.dataReceived(data)
            data, self.server_end.taken = self.server_end.taken, b""
            if data:
                self.client.dataReceived(data)

    def shake(self) -> None:
        self.server.makeConnection(self.server_end)
        self.client.makeConnection(self.client_end)
        self.carry()

    def echoed(self) -> None:
        """The client sends something, which the reactor writes, and the server reads it."""
        self.client.write(b"hello")
        self.assertEqual(self.client_end.taken, b"", "who writes without a read leaves that to the reactor")
        self.client_end.doWrite()
        data, self.client_end.taken = self.client_end.taken, b""
        self.server.dataReceived(data)

    def test_whole_handshake_and_an_echo_need_no_turn_of_the_reactor(self) -> None:
        self.shake()
        self.assertEqual(self.reactor.writers, [])
        self.echoed()
        self.assertNotEqual(self.server_end.taken, b"")
        self.assertEqual(self.reactor.writers, [])

    def test_read_that_causes_no_write_costs_no_system_call(self) -> None:
        self.shake()
        self.echoed()
        calls = self.client_end.calls
        self.client.dataReceived(self.server_end.taken)
        self.assertEqual(self.client_end.calls, calls)

    def test_bytes_that_do_not_fit_wait_for_the_reactor(self) -> None:
        self.shake()
        self.server_end.room = 7
        self.echoed()
        self.assertEqual(len(self.server_end.taken), 7)
        self.assertEqual(self.reactor.writers, [self.server_end])
        calls = self.server_end.calls
        self.echoed()
        self.assertEqual(self.server_end.calls, calls)
        self.server_end.room = PLENTY
        while self.reactor.writers:
            self.server_end.doWrite()
        received: list[bytes] = []
        self.patch(self.client.wrappedProtocol, "dataReceived", received.append)
        self.carry()
        self.assertEqual(b"".join(received), b"hellohello")

    def test_verified_ends_write_at_once_and_keep_what_does_not_fit(self) -> None:
        """The reactor is not told of what the kernel takes; the rest is a copy."""
        self.shake()
        for end in (self.client, self.server):
            end.peer_verified()
        received: list[bytes] = []
        self.server.wrappedProtocol.dataReceived = received.append  # type: ignore[assignment, union-attr]
        self.client.write(b"first")
        self.assertNotEqual(self.client_end.taken, b"")
        self.assertEqual(self.reactor.writers, [])
        self.client_end.room = 10
        self.client.write(b"second")
        self.assertEqual(self.reactor.writers, [self.client_end])
        self.client.write(b"third")
        self.client_end.room = PLENTY
        while self.reactor.writers:
            self.client_end.doWrite()
        self.carry()
        self.assertEqual(b"".join(received), b"firstsecondthird")

    def test_write_error_is_left_to_the_reactor(self) -> None:
        self.shake()
        self.server_end.problem = ConnectionLost()
        self.echoed()
        self.assertEqual(self.reactor.writers, [self.server_end])
        self.assertIs(self.server_end.doWrite(), self.server_end.problem)

    def test_closing_descriptor_is_not_written_to(self) -> None:
        """On a descriptor that is being closed, the reactor has to see the last write."""
        self.shake()
        self.server_end.disconnecting = True
        self.echoed()
        self.assertEqual(self.server_end.taken, b"")
        self.assertEqual(self.reactor.writers, [self.server_end])

    def test_transport_without_descriptor_is_only_written_to(self) -> None:
        transport = StringTransport()
        self.client.makeConnection(transport)
        self.assertNotEqual(transport.value(), b"")

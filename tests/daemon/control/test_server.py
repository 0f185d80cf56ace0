"""
The control socket: the protocol in memory, and the server on a real socket.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import UNIXClientEndpoint, connectProtocol
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from routing_crust.config import Settings
from routing_crust.daemon.control import listen_queue
from routing_crust.daemon.control.connection import ControlConnection
from routing_crust.daemon.control.inbox import DaemonInbox
from routing_crust.daemon.control.member_messages import InviteCommand, InvitedReply
from routing_crust.daemon.control.messages import (
    AnswerReply,
    Command,
    DoneReply,
    DroppedReply,
    ExplainCommand,
    ExplainReply,
    FailedReply,
    ListenCommand,
    ListeningReply,
    ReceivedReply,
    Reply,
    RequestCommand,
    SendCommand,
    StatusCommand,
    StatusReply,
    decode_reply,
    encode,
)
from routing_crust.daemon.control.server import CLOSE_TIMEOUT_SECONDS, ControlServer
from routing_crust.errors import CannotListen, PeerUnreachable

from ..fakes import ALICE, BOB, CAROL, FakeService, message, temporary_directory


class Wire(StringTransport):
    """A transport in memory, with the two ways of closing written down."""

    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True


class ProtocolTests(SynchronousTestCase):
    """One connection of the script."""

    def setUp(self) -> None:
        self.service = FakeService(Settings(max_message=1000))
        self.inbox = DaemonInbox()
        self.server = ControlServer(self.service, self.inbox, lambda: {"version": "x"})  # type: ignore[arg-type]
        self.protocol, self.wire = self.connected()

    def connected(self) -> tuple[ControlConnection, Wire]:
        protocol, wire = self.server.buildProtocol(None), Wire()
        protocol.makeConnection(wire)
        return protocol, wire

    def give(self, *commands: Command) -> None:
        for command in commands:
            self.protocol.dataReceived(encode(command) + b"\n")

    def replies(self) -> list[Reply]:
        lines = self.wire.value().splitlines()
        self.wire.clear()
        return [decode_reply(line) for line in lines]

    def received(self, body: bytes, id: int = 0, request: bool = False) -> ReceivedReply:
        return ReceivedReply(id=id, source=str(BOB), body=body, request=request)

    def test_status_is_reported(self) -> None:
        self.inbox.add(self.protocol)
        self.give(StatusCommand(id=4))
        (reply,) = self.replies()
        assert isinstance(reply, StatusReply)
        self.assertEqual(reply.id, 4)
        self.assertEqual(reply.status, {"name": str(ALICE), "links": [], "version": "x", "listeners": 1})

    def test_explanation_is_reported(self) -> None:
        self.give(ExplainCommand(id=5, name=str(BOB)), ExplainCommand(id=6, name="nobody"))
        explained, refused = self.replies()
        assert isinstance(explained, ExplainReply)
        self.assertEqual(explained.id, 5)
        self.assertEqual(explained.explanation["summary"], "there is no link")
        assert isinstance(refused, FailedReply)
        self.assertEqual((refused.id, refused.kind), (6, "InvalidName"))

    def test_send_is_answered_when_it_is_acknowledged(self) -> None:
        self.give(SendCommand(id=4, name=str(BOB), body=b"\xffhi"))
        ((method, name, body, result),) = self.service.calls
        self.assertEqual((method, name, body), ("send", BOB, b"\xffhi"))
        self.assertEqual(self.replies(), [])
        result.callback(None)
        self.assertEqual(self.replies(), [DoneReply(id=4, name=str(BOB), way="through other nodes")])

    def test_acknowledgement_comes_with_the_way_at_the_time_of_sending_and_the_time_it_took(self) -> None:
        direct = {"peer": str(BOB), "rung": "direct", "via": None}
        relayed = {"peer": str(CAROL), "rung": "tunnel", "via": str(BOB)}
        self.service.links = [direct, relayed]
        self.give(SendCommand(id=1, name=str(BOB), body=b""), SendCommand(id=2, name=str(CAROL), body=b""))
        self.service.links = []
        self.service.clock.advance(0.25)
        for *_, result in self.service.calls:
            result.callback(None)
        self.assertEqual(
            self.replies(),
            [
                DoneReply(id=1, name=str(BOB), way="direct", seconds=0.25),
                DoneReply(id=2, name=str(CAROL), way=f"relayed through {BOB}", seconds=0.25),
            ],
        )

    def test_request_is_answered_with_the_answer(self) -> None:
        self.give(RequestCommand(id=4, name=str(BOB), body=b"?"))
        ((method, name, body, result),) = self.service.calls
        self.assertEqual((method, name, body), ("request", BOB, b"?"))
        result.callback(b"\x00")
        self.assertEqual(self.replies(), [AnswerReply(id=4, body=b"\x00")])

    def test_command_about_members_needs_a_private_network(self) -> None:
        self.give(InviteCommand(id=4))
        (reply,) = self.replies()
        assert isinstance(reply, FailedReply)
        self.assertEqual((reply.id, reply.kind), (4, "NotPrivate"))
        self.assertIn("the network 'default' is open", reply.text)

    def test_command_with_a_handler_gets_its_reply_or_its_error(self) -> None:
        waiting: Deferred[Reply] = Deferred()
        answers = [InvitedReply(line="l", expires=1.0, endpoints=()), waiting]
        self.server.handle(InviteCommand, lambda command: answers.pop(0))
        self.give(InviteCommand(id=4), InviteCommand(id=5))
        self.assertEqual(self.replies(), [InvitedReply(id=4, line="l", expires=1.0, endpoints=())])
        waiting.errback(CannotListen("why"))
        self.assertEqual(self.replies(), [FailedReply(id=5, kind="CannotListen", text="why")])

    def test_several_at_once_are_told_apart_by_their_ids(self) -> None:
        self.give(SendCommand(id=1, name=str(BOB), body=b""), SendCommand(id=2, name=str(CAROL), body=b""))
        self.service.calls[1][3].callback(None)
        self.service.calls[0][3].callback(None)
        self.assertEqual(
            [(reply.id, reply.name) for reply in self.replies()], [(2, str(CAROL)), (1, str(BOB))]
        )

    def test_a_failure_is_told(self) -> None:
        self.give(SendCommand(id=4, name=str(BOB), body=b""))
        self.service.calls[0][3].errback(PeerUnreachable("nobody there"))
        self.assertEqual(self.replies(), [FailedReply(id=4, kind="PeerUnreachable", text="nobody there")])

    def test_a_failure_that_nobody_foresaw_is_told_and_logged(self) -> None:
        self.give(SendCommand(id=4, name=str(BOB), body=b""))
        self.service.calls[0][3].errback(ZeroDivisionError("oh"))
        self.assertEqual(self.replies(), [FailedReply(id=4, kind="ZeroDivisionError", text="oh")])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_a_call_that_raises_is_a_failure(self) -> None:
        def send(name: object, body: bytes) -> Deferred[None]:
            raise PeerUnreachable("at once")

        self.service.send = send  # type: ignore[method-assign]
        self.give(SendCommand(name=str(BOB), body=b""))
        self.assertEqual(self.replies(), [FailedReply(kind="PeerUnreachable", text="at once")])

    def test_name_that_is_none_is_told(self) -> None:
        self.give(SendCommand(id=4, name="bob", body=b""))
        (reply,) = self.replies()
        assert isinstance(reply, FailedReply)
        self.assertEqual((reply.id, reply.kind), (4, "InvalidName"))
        self.assertIn("and no name, which has 52 characters", reply.text)
        self.assertEqual(self.service.calls, [])

    def test_line_that_is_not_understood_is_told(self) -> None:
        self.protocol.dataReceived(b"hello\n")
        (reply,) = self.replies()
        assert isinstance(reply, FailedReply)
        self.assertEqual(reply.kind, "BadLine")
        self.give(StatusCommand())
        self.assertEqual(len(self.replies()), 1)

    def test_the_longest_body_fits_in_a_line(self) -> None:
        self.give(SendCommand(name=str(BOB), body=b"x" * 1000))
        self.assertEqual(len(self.service.calls), 1)

    def test_a_line_without_end_ends_the_connection(self) -> None:
        self.protocol.dataReceived(b"x" * 10_000)
        (reply,) = self.replies()
        assert isinstance(reply, FailedReply)
        self.assertEqual(reply.text, "a line may have 5432 bytes; the setting max_message moves it")
        self.assertTrue(self.wire.disconnecting)

    def test_a_reply_after_the_script_has_gone_goes_nowhere(self) -> None:
        self.give(SendCommand(name=str(BOB), body=b""))
        self.protocol.connectionLost(Failure(ConnectionDone()))
        self.protocol.connected = 0
        self.service.calls[0][3].callback(None)
        self.assertEqual(self.replies(), [])

    def test_listener_gets_each_message(self) -> None:
        self.inbox.message_received(message(b"before"))
        self.give(ListenCommand(id=4))
        self.inbox.message_received(message(b"one"))
        self.inbox.message_received(message(b"two", group=True))
        self.assertEqual(
            self.replies(),
            [
                ListeningReply(id=4),
                self.received(b"one", 4),
                ReceivedReply(id=4, source=str(BOB), body=b"two", group=str(CAROL)),
            ],
        )

    def test_a_listener_may_answer_requests(self) -> None:
        self.give(ListenCommand(answer=b"yes"))
        self.assertEqual(self.inbox.request_received(message(b"?")), b"yes")
        self.assertEqual(self.replies()[1:], [self.received(b"?", request=True)])

    def test_listening_twice_is_refused(self) -> None:
        self.give(ListenCommand(id=1), ListenCommand(id=2))
        self.assertEqual(
            self.replies()[1:], [FailedReply(id=2, kind="BadLine", text="this connection listens already")]
        )
        self.assertEqual(len(self.inbox), 1)

    def test_a_listener_that_goes_is_forgotten(self) -> None:
        self.give(ListenCommand())
        self.protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(len(self.inbox), 0)

    def test_a_script_that_does_not_read_is_not_read_from(self) -> None:
        self.assertIs(self.wire.producer, self.protocol)
        self.assertTrue(self.wire.streaming)
        self.protocol.pauseProducing()
        self.assertEqual(self.wire.producerState, "paused")
        self.protocol.resumeProducing()
        self.assertEqual(self.wire.producerState, "producing")
        self.protocol.stopProducing()

    def test_messages_wait_for_a_listener_that_does_not_read(self) -> None:
        self.give(ListenCommand())
        self.replies()
        self.protocol.pauseProducing()
        for body in (b"1", b"2"):
            self.inbox.message_received(message(body))
        self.assertEqual(self.replies(), [])
        self.protocol.resumeProducing()
        self.assertEqual(self.replies(), [self.received(b"1"), self.received(b"2")])

    def test_too_many_are_left_out_and_that_is_told_where_they_would_be(self) -> None:
        self.patch(listen_queue, "LISTEN_QUEUE_MESSAGES", 2)
        self.give(ListenCommand())
        self.replies()
        self.protocol.pauseProducing()
        for body in (b"1", b"2", b"3", b"4"):
            self.inbox.message_received(message(body))
        self.protocol.resumeProducing()
        self.inbox.message_received(message(b"5"))
        self.assertEqual(
            self.replies(),
            [self.received(b"1"), self.received(b"2"), DroppedReply(count=2), self.received(b"5")],
        )

    def test_too_many_bytes_are_left_out(self) -> None:
        self.patch(listen_queue, "LISTEN_QUEUE_BYTES", 300)
        self.give(ListenCommand())
        self.replies()
        self.protocol.pauseProducing()
        self.inbox.message_received(message(b"x" * 500))  # one is always kept
        self.inbox.message_received(message(b"y"))
        self.protocol.resumeProducing()
        self.assertEqual(self.replies(), [self.received(b"x" * 500), DroppedReply(count=1)])

    def test_paused_again_while_the_queue_is_written(self) -> None:
        self.patch(listen_queue, "LISTEN_QUEUE_MESSAGES", 2)
        self.give(ListenCommand())
        self.replies()
        self.protocol.pauseProducing()
        for body in (b"1", b"2", b"3"):
            self.inbox.message_received(message(body))
        write = self.wire.writeSequence

        def full(data: Any) -> None:
            write(data)
            self.protocol.pauseProducing()

        self.wire.writeSequence = full  # type: ignore[method-assign]
        self.protocol.resumeProducing()
        self.assertEqual(self.replies(), [self.received(b"1")])
        self.assertEqual(self.wire.producerState, "paused")
        self.inbox.message_received(message(b"4"))  # the queue holds 2 and the report: too many
        self.wire.writeSequence = write  # type: ignore[method-assign]
        self.protocol.resumeProducing()
        self.assertEqual(self.replies(), [self.received(b"2"), DroppedReply(count=1), DroppedReply(count=1)])


class ServerTests(TestCase):
    """The server on a socket of its own."""

    def setUp(self) -> None:
        self.path = temporary_directory(self) / "control.sock"
        self.service = FakeService()
        self.server = ControlServer(self.service, DaemonInbox(), dict)  # type: ignore[arg-type]
        self.addCleanup(self.server.stop, reactor)

    async def connect(self) -> Script:
        script: Script = await connectProtocol(UNIXClientEndpoint(reactor, str(self.path)), Script())
        return script

    def test_nobody_else_may_connect(self) -> None:
        self.server.listen(self.path, reactor)
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)

    async def test_several_scripts_are_served_at_once(self) -> None:
        self.server.listen(self.path, reactor)
        scripts = [await self.connect() for _ in range(3)]
        for number, script in enumerate(scripts):
            script.give(StatusCommand(id=number))
        for number, script in enumerate(scripts):
            reply = await script.next_reply()
            self.assertEqual((type(reply), reply.id), (StatusReply, number))

    async def test_a_socket_that_a_killed_daemon_left_is_replaced(self) -> None:
        import socket

        with socket.socket(socket.AF_UNIX) as left_over:
            left_over.bind(str(self.path))
        self.server.listen(self.path, reactor)
        (await self.connect()).give(StatusCommand())

    def test_a_folder_in_its_place_is_refused(self) -> None:
        self.path.mkdir()
        error = self.assertRaises(CannotListen, self.server.listen, self.path, reactor)
        self.assertIn(f"the control socket {self.path} cannot be made: ", str(error))

    def test_a_folder_that_is_not_there_is_refused(self) -> None:
        path = Path(self.path.parent, "none", "control.sock")
        error = self.assertRaises(CannotListen, self.server.listen, path, reactor)
        self.assertIn(f"the control socket {path} cannot be made: ", str(error))

    async def test_stop_removes_the_socket_and_ends_the_connections(self) -> None:
        self.server.listen(self.path, reactor)
        script = await self.connect()
        script.give(StatusCommand())
        await script.next_reply()
        await self.server.stop(reactor)
        self.assertEqual(os.listdir(self.path.parent), [])
        await script.gone
        await self.server.stop(reactor)

    async def test_what_was_said_last_still_arrives(self) -> None:
        self.server.listen(self.path, reactor)
        script = await self.connect()
        script.give(SendCommand(name=str(BOB), body=b""), StatusCommand())
        await script.next_reply()
        self.service.calls[0][3].callback(None)
        await self.server.stop(reactor)
        self.assertIsInstance(await script.next_reply(), DoneReply)

    async def test_who_does_not_read_does_not_hold_up_the_end(self) -> None:
        self.server.listen(self.path, reactor)
        script = await self.connect()
        script.transport.pauseProducing()
        script.give(ListenCommand())
        await self.until_listening()
        while not self.server.connections[0].paused:
            self.server.inbox.message_received(message(b"x" * 100_000))
            await self.turn()
        await self.server.stop(reactor)
        script.transport.resumeProducing()
        await script.gone

    async def until_listening(self) -> None:
        while not len(self.server.inbox):
            await self.turn()

    def turn(self) -> Deferred[None]:
        turned: Deferred[None] = Deferred()
        reactor.callLater(0, turned.callback, None)
        return turned


class StopTests(SynchronousTestCase):
    """Scripts that do not let go."""

    def test_after_a_while_they_are_cut_off(self) -> None:
        clock = Clock()
        server = ControlServer(FakeService(), DaemonInbox(), dict)  # type: ignore[arg-type]
        protocol, wire = server.buildProtocol(None), Wire()
        protocol.makeConnection(wire)
        stopped = server.stop(clock)
        self.assertTrue(wire.disconnecting)
        self.assertNoResult(stopped)
        clock.advance(CLOSE_TIMEOUT_SECONDS)
        self.assertTrue(wire.aborted)
        protocol.connectionLost(Failure(ConnectionDone()))
        self.assertIsNone(self.successResultOf(stopped))
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_a_paused_one_is_cut_off_at_once(self) -> None:
        clock = Clock()
        server = ControlServer(FakeService(), DaemonInbox(), dict)  # type: ignore[arg-type]
        protocol, wire = server.buildProtocol(None), Wire()
        protocol.makeConnection(wire)
        protocol.pauseProducing()
        stopped = server.stop(clock)
        self.assertTrue(wire.aborted)
        protocol.connectionLost(Failure(ConnectionDone()))
        self.assertIsNone(self.successResultOf(stopped))
        self.assertEqual(clock.getDelayedCalls(), [])


class Script(LineOnlyReceiver):
    """The other end, as a protocol."""

    delimiter = b"\n"
    transport: Any
    MAX_LENGTH = 2**20

    def __init__(self) -> None:
        self.gone: Deferred[None] = Deferred()
        self._replies: list[Reply] = []
        self._waiting: Deferred[Reply] | None = None

    def give(self, *commands: Command) -> None:
        for command in commands:
            self.transport.write(encode(command) + b"\n")

    def next_reply(self) -> Deferred[Reply]:
        if self._replies:
            return succeed(self._replies.pop(0))
        self._waiting = Deferred()
        return self._waiting

    def lineReceived(self, line: bytes) -> None:
        reply = decode_reply(line)
        if self._waiting is None:
            self._replies.append(reply)
        else:
            waiting, self._waiting = self._waiting, None
            waiting.callback(reply)

    def connectionLost(self, reason: Failure = Protocol.connectionLost.__defaults__[0]) -> None:  # type: ignore
        self.gone.callback(None)

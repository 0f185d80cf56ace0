"""Endpoints whose daemon is not there yet, or refuses."""

from __future__ import annotations

from errno import EACCES, ENOENT
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import (
    CannotListenError,
    ConnectError,
    ConnectingCancelledError,
    NoProtocol,
)
from twisted.logger import Logger, LogPublisher, formatEvent
from zope.interface import implementer

from routing_crust import Role
from routing_crust.daemon.control.messages import StatusCommand
from routing_crust.daemon.control.session_messages import (
    AcceptCommand,
    IncomingStreamReply,
    OfferCommand,
    OfferingReply,
    OpenCommand,
    OpenedReply,
    RefuseCommand,
)
from routing_crust.daemon.endpoints import server as offering
from routing_crust.daemon.endpoints.client import DaemonAbsent, DaemonConnection, DaemonRefused, LocalDaemon
from routing_crust.daemon.node import NodeService
from routing_crust.streams import IStreamAcceptor
from tests.streams.protocols import Echo, Keeping

from ..fakes import ALICE, temporary_directory
from .local_case import LocalCase, reactor


class WaitingTests(LocalCase):
    """A server that is started before its daemon."""

    def setUp(self) -> None:
        self.patch(offering, "RETRY_FIRST_SECONDS", 0.0)
        self.said: list[str] = []
        self.daemons: list[NodeService] = []
        self.sockets: list[str] = []
        log = Logger(observer=LogPublisher(lambda event: self.said.append(formatEvent(event))))
        self.patch(offering.OfferedPort, "log", log)

    async def test_server_waits_for_its_daemon_and_says_so_once(self) -> None:
        folder = temporary_directory(self)
        where = f"socket={folder}/control.sock"
        factory = Keeping(Echo)
        listening = serverFromString(reactor, f"routing:echo:{where}").listen(factory)
        await self.turns()
        self.assertNoResult(listening)
        self.assertEqual(len(self.said), 1)
        self.assertIn(f"echo waits for its daemon: no daemon answers at {folder}/control.sock", self.said[0])
        daemon = self.daemon(folder, role=Role.FIRST)
        port: Any = await listening
        self.addCleanup(port.stopListening)
        assert daemon.routing is not None
        self.assertEqual(self.said[1:], [f"{port.getHost()} is offered"])
        self.assertEqual((await self.status(0))["offered"], ["echo"])

    async def test_server_that_waits_can_be_stopped(self) -> None:
        listening = serverFromString(reactor, "routing:echo:socket=/nowhere/a").listen(Keeping())
        await self.turns()
        listening.cancel()
        await self.fails(listening, CancelledError)

    async def test_what_the_daemon_refuses_is_final_and_said(self) -> None:
        folder = temporary_directory(self)
        text = f"routing:echo:allow=nobody:socket={folder}/control.sock"
        listening = serverFromString(reactor, text).listen(Keeping())
        await self.turns()
        self.daemon(folder, role=Role.FIRST)
        await self.fails(listening, CannotListenError)
        self.assertIn("echo is not offered, and not tried again: ", self.said[-1])
        self.assertIn("nobody", self.said[-1])

    async def test_problem_is_said_once_while_the_daemon_is_away(self) -> None:
        daemon = self.daemon(role=Role.FIRST)
        port = await self.offer(Keeping(Echo))
        host = port.getHost()
        # before it stops: a try that is under way when it is back calls what there was when the try began
        back: Deferred[None] = Deferred()
        before = type(port)._back
        self.patch(type(port), "_back", lambda port, _: (before(port, _), back.callback(None)))
        await daemon.stopService()
        await self.turns()
        self.assertEqual(self.said[0], f"{host} is not offered any more: the daemon is gone")
        self.assertEqual(len(self.said), 2)
        daemon.startService()
        await back
        self.assertEqual(self.said[2:], [f"{host} is offered again"])


class RefusalTests(LocalCase):
    async def test_missing_daemon_is_named_in_the_error(self) -> None:
        """The error says where nobody is, and how to start one."""
        self.sockets = ["socket=/nowhere/a", "socket=/nowhere/b"]
        said = await self.fails(self.connect(), DaemonRefused)
        self.assertIn("no daemon answers at /nowhere/b", said)
        self.assertIn("start one with 'twistd routing-node'", said)

    async def test_daemon_of_a_private_network_is_started_by_the_command(self) -> None:
        folder = temporary_directory(self)
        (folder / "config.toml").touch()
        absent = LocalDaemon(reactor, folder / "control.sock")._unreached(ConnectError(ENOENT))
        self.assertIn("start one with 'routing-crust start'", str(absent))

    async def test_socket_that_may_not_be_used_is_no_reason_to_wait(self) -> None:
        daemon = LocalDaemon(reactor, Path("/nowhere/a"))
        refused = daemon._unreached(ConnectError(EACCES))
        self.assertEqual((type(refused), "permission denied on" in str(refused)), (DaemonRefused, True))
        self.assertIsInstance(daemon._unreached(ConnectError(ENOENT)), DaemonAbsent)

    async def test_refusals_of_the_daemon_reach_the_program(self) -> None:
        await self.begin()
        said = await self.fails(self.connect("nobody"), DaemonRefused)
        self.assertIn("is no nickname that the setting nicknames gives", said)
        said = await self.fails(self.connect(str(self.client_name)), DaemonRefused)
        self.assertIn("no link to itself", said)
        await self.offer(Keeping())
        listening = serverFromString(reactor, f"routing:echo:{self.sockets[0]}").listen(Keeping())
        self.assertIn("offered already", await self.fails(listening, CannotListenError))
        listening = serverFromString(reactor, f"routing:x:allow=nobody:{self.sockets[0]}").listen(Keeping())
        self.assertIn("nickname", await self.fails(listening, CannotListenError))
        listening = serverFromString(reactor, f"routing:{ALICE}/x:{self.sockets[0]}").listen(Keeping())
        self.assertIn(f"not {ALICE}", await self.fails(listening, CannotListenError))
        mine = serverFromString(reactor, f"routing:{self.name}/x:{self.sockets[0]}")
        port: Any = await mine.listen(Keeping())
        await port.stopListening()

    async def test_only_named_peers_are_allowed(self) -> None:
        """Only peers that are named."""
        await self.begin()
        await self.offer(Keeping(), "mine", f":allow={ALICE}")
        await self.offer(Keeping(Echo), "yours", f":allow={self.client_name}")
        self.assertIn("not for this peer", await self.fails(self.connect(protocol="mine"), DaemonRefused))
        mine = await self.connect(protocol="yours")
        mine.transport.loseConnection()

    async def test_program_can_refuse_a_stream(self) -> None:
        """By making no protocol, by an error of its own, and by an acceptor that fails."""
        await self.begin()

        class None_(Keeping):
            def buildProtocol(self, addr: Any) -> Any:
                return None

        class Broken(Keeping):
            def buildProtocol(self, addr: Any) -> Any:
                raise ZeroDivisionError

        @implementer(IStreamAcceptor)
        class Failing(Keeping):
            async def _fail(self) -> None:
                raise ConnectError(string="no database")

            def accept_stream(self, address: object) -> Deferred[Any]:
                return Deferred.fromCoroutine(self._fail())

        for number, (factory, text) in enumerate(
            ((None_(), "it failed"), (Broken(), "it failed"), (Failing(), "no database"))
        ):
            await self.offer(factory, f"p{number}")
            self.assertIn(text, await self.fails(self.connect(protocol=f"p{number}"), DaemonRefused))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        await self.offer(Keeping(Echo))
        await self.fails(self.connect(factory=None_()), NoProtocol)
        await self.fails(self.connect(factory=Broken()), ZeroDivisionError)

    async def test_cancelled_open_refuses_the_stream(self) -> None:
        """Cancelling refuses the stream; a program that accepts it afterwards is told that it is too late."""
        await self.begin()
        asked: Deferred[Any] = Deferred()
        call, _ = await self.local(0).call(OfferCommand(protocol="slow", allow=("*",)), OfferingReply)
        call.lines(asked.callback, lambda _: None)
        connecting = self.connect(protocol="slow")
        reply: IncomingStreamReply = await asked
        self.assertEqual(reply.name, str(self.client_name))
        connecting.cancel()
        await self.fails(connecting, CancelledError)
        while self.daemons[0]._registry.waiting:  # type: ignore[union-attr]
            await self.turns()
        accepting = self.local(0).call(AcceptCommand(stream=reply.stream), OpenedReply)
        self.assertIn("does not want this stream any more", await self.fails(accepting, DaemonRefused))
        call.tell(RefuseCommand(stream=reply.stream))
        cancelled = self.connect(protocol="slow")
        cancelled.cancel()
        await self.fails(cancelled, ConnectingCancelledError)
        waiting: Deferred[Any] = Deferred()
        call._line = waiting.callback
        late = self.connect(protocol="slow")
        await waiting
        call.abort()
        self.assertIn("the program has just ended", await self.fails(late, DaemonRefused))

    async def test_malformed_answer_fails_the_call(self) -> None:
        """Answers that are none, and a daemon that hangs up."""
        await self.begin()
        calling = self.local(0).call(StatusCommand(), OpenedReply)
        self.assertIn("another version", await self.fails(calling, DaemonRefused))
        call = DaemonConnection(StatusCommand())
        reactor.connectUNIX(self.sockets[0].removeprefix("socket="), _Factory(call))
        await call.answer
        for data, text in ((b"x" * 10_000, "the daemon has stopped"), (b"{}\n", "is not understood")):
            call = DaemonConnection(StatusCommand())
            call.makeConnection(_Mute(call))
            call.dataReceived(data)
            self.assertIn(text, await self.fails(call.answer, DaemonRefused))

    async def test_one_connection_becomes_one_stream(self) -> None:
        """A connection that is to become a stream takes no other command."""
        await self.begin()
        call, _ = await self.local(0).call(OfferCommand(protocol="slow", allow=("*",)), OfferingReply)
        self.addCleanup(call.abort)
        said: Deferred[Any] = Deferred()
        second = DaemonConnection(OpenCommand(name="server", protocol="slow"))
        reactor.connectUNIX(self.sockets[1].removeprefix("socket="), _Factory(second))
        while not second.connected:
            await self.turns()
        second.tell(OpenCommand(name="server", protocol="slow"))
        second.answer.addCallback(said.callback)
        self.assertIn("is to become a stream", (await said).text)
        second.abort()


class _Factory:
    noisy = False

    def __init__(self, call: DaemonConnection) -> None:
        self._call = call

    def doStart(self) -> None: ...

    def doStop(self) -> None: ...

    def startedConnecting(self, connector: object) -> None: ...

    def clientConnectionLost(self, connector: object, reason: object) -> None: ...

    def buildProtocol(self, addr: object) -> DaemonConnection:
        return self._call


class _Mute:
    """A transport to nobody."""

    def __init__(self, call: DaemonConnection) -> None:
        self._call = call

    def write(self, data: bytes) -> None: ...

    def abortConnection(self) -> None:
        self._call.connectionLost()

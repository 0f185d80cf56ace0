"""
The streams of daemons, used by programs of the same machine: two daemons, and the programs, in this process,
on real sockets.
"""

from __future__ import annotations

from collections.abc import Callable
from errno import EACCES, ENOENT
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.internet.error import (
    CannotListenError,
    ConnectError,
    ConnectingCancelledError,
    ConnectionDone,
    NoProtocol,
)
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger, LogPublisher, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent, readBody
from twisted.web.iweb import IAgentEndpointFactory
from twisted.web.server import Site
from twisted.web.static import File
from zope.interface import implementer
from zope.interface.verify import verifyObject

from routing_crust import Role, Settings
from routing_crust.config import MIB
from routing_crust.daemon.control.messages import Command, StatusCommand, StatusReply
from routing_crust.daemon.control.session_messages import (
    AcceptCommand,
    ExposeCommand,
    ExposingReply,
    ForwardCommand,
    ForwardingReply,
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
from routing_crust.endpoints import Endpoint
from routing_crust.errors import CloseReason
from routing_crust.forwarding_rules import Nickname
from routing_crust.streams import IStreamAcceptor, StreamLinkLost, StreamReset, streams_of
from tests.streams.protocols import Echo, HalfCloseable, Keeping

from ..fakes import ALICE, temporary_directory

reactor: Any = _reactor


class Waiting(HalfCloseable):
    """Says when something has happened to it."""

    def __init__(self) -> None:
        super().__init__()
        self._waiters: list[tuple[Callable[[], object], Deferred[None]]] = []

    def until(self, what: Callable[[], object]) -> Deferred[None]:
        waiter: Deferred[None] = Deferred()
        self._waiters.append((what, waiter))
        self.look()
        return waiter

    def look(self) -> None:
        for entry in list(self._waiters):
            if entry[0]():
                self._waiters.remove(entry)
                entry[1].callback(None)

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        self.look()

    def readConnectionLost(self) -> None:
        super().readConnectionLost()
        self.look()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        self.look()


class AnnouncingFactory(Keeping):
    """Makes protocols that say when something has happened, and says when it has made one."""

    def __init__(self) -> None:
        super().__init__(Waiting)
        self.next: Deferred[Any] = Deferred()

    def buildProtocol(self, addr: Any) -> Any:
        made = super().buildProtocol(addr)
        waiter, self.next = self.next, Deferred()
        reactor.callLater(0, waiter.callback, made)
        return made


class LocalCase(TestCase):
    """A server's daemon and a client's, linked."""

    async def begin(self, **settings: Any) -> None:
        self.daemons: list[NodeService] = []
        self.sockets: list[str] = []
        server = self.daemon(role=Role.FIRST)
        assert server.routing is not None
        self.name = server.routing.node_name
        nickname = Nickname("server", self.name)
        client = self.daemon(contacts=(server.routing.contact,), nicknames=(nickname,), **settings)
        assert client.routing is not None
        self.client_name = client.routing.node_name
        await client.routing.when_connected()

    def daemon(self, folder: Path | None = None, **settings: Any) -> NodeService:
        folder = folder or temporary_directory(self)
        service = NodeService(
            Settings(
                listen=(Endpoint("127.0.0.1", 0),),
                lan_discovery=False,
                port_mapping=False,
                state_dir=folder,
                **settings,
            ),
            folder,
            reactor,
        )
        service.startService()
        self.addCleanup(service.stopService)
        self.daemons.append(service)
        self.sockets.append(f"socket={folder}/control.sock")
        return service

    async def offer(self, factory: Any, protocol: str = "echo", more: str = "") -> Any:
        text = f"routing:{protocol}:{self.sockets[0]}{more}"
        port: Any = await serverFromString(reactor, text).listen(factory)
        self.addCleanup(port.stopListening)
        return port

    def connect(self, name: str = "server", protocol: str = "echo", factory: Any = None) -> Deferred[Any]:
        text = f"routing:{name}/{protocol}:{self.sockets[1]}"
        connecting: Deferred[Any] = clientFromString(reactor, text).connect(factory or Keeping(Waiting))
        return connecting

    def local(self, number: int) -> LocalDaemon:
        return LocalDaemon(reactor, Path(self.sockets[number].removeprefix("socket=")))

    async def fails(self, deferred: Deferred[Any], *kinds: type[Exception]) -> str:
        return str(await self.assertFailure(deferred, *kinds))

    async def status(self, number: int) -> Any:
        call, reply = await self.local(number).call(StatusCommand(), StatusReply)
        call.abort()
        return reply.status

    async def turns(self) -> None:
        """Let the reactor do what is due, in both processes that this one plays."""
        for _ in range(50):
            turn: Deferred[None] = Deferred()
            reactor.callLater(0, turn.callback, None)
            await turn


class StreamTests(LocalCase):
    async def test_bytes_and_half_closes_pass_both_ways(self) -> None:
        """Bytes and both half-closes; proven names at both ends; factories start and stop."""
        await self.begin()
        served, opened = AnnouncingFactory(), Keeping(Waiting)
        port = await self.offer(served)
        verifyObject(IListeningPort, port)
        self.assertEqual(str(port.getHost()), f"routing:{self.name}/echo")
        next_one = served.next
        mine = await self.connect(factory=opened)
        theirs = await next_one
        self.assertEqual(mine.transport.getPeer().name, self.name)
        self.assertEqual(mine.transport.getHost().name, self.client_name)
        self.assertEqual(theirs.transport.getPeer().name, self.client_name)
        self.assertEqual(theirs.transport.getHost().name, self.name)
        self.assertEqual((served.running, opened.running), (1, 1))
        data = Random(3).randbytes(3 * MIB)
        mine.transport.write(data)
        mine.transport.loseWriteConnection()
        await theirs.until(lambda: "read lost" in theirs.calls)
        self.assertEqual(sha256(theirs.received).digest(), sha256(data).digest())
        status = await self.status(1)
        self.assertEqual([each["kind"] for each in status["streams"]], ["local"])
        self.assertEqual(status["streams"][0]["sent"], len(data))
        theirs.transport.write(b"late")
        theirs.transport.loseWriteConnection()
        await mine.until(lambda: mine.reason is not None)
        await theirs.until(lambda: theirs.reason is not None)
        self.assertEqual(mine.received, b"late")
        for each in (mine, theirs):
            self.assertIsInstance(each.reason, ConnectionDone)
        await self.turns()
        self.assertEqual((served.running, opened.running), (1, 0))
        self.assertEqual((await self.status(0))["offered"], ["echo"])
        await port.stopListening()
        self.assertEqual(served.running, 0)
        self.assertIn("nobody offers this protocol", await self.fails(self.connect(), DaemonRefused))

    async def test_http_works_with_two_endpoint_strings(self) -> None:
        """Twisted's own HTTP server and client, with nothing but the two strings."""
        await self.begin()
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / "file").write_bytes(bytes(range(256)) * 4096)
        await self.offer(Site(File(str(folder)), reactor=reactor), "web")
        test = self

        @implementer(IAgentEndpointFactory)
        class ByName:
            def endpointForURI(self, uri: object) -> Any:
                return clientFromString(reactor, f"routing:{test.name}/web:{test.sockets[1]}")

        agent = Agent.usingEndpointFactory(reactor, ByName())
        for _ in range(2):
            response: Any = await agent.request(b"GET", b"http://x/file")
            self.assertEqual(await readBody(response), bytes(range(256)) * 4096)

    async def test_a_reader_that_stops(self) -> None:
        """Who does not read stops the program at the other end, and nothing piles up on the way."""
        await self.begin()
        served = AnnouncingFactory()
        await self.offer(served)
        next_one = served.next
        mine = await self.connect()
        theirs = await next_one
        theirs.transport.pauseProducing()

        class Endless:
            written = 0
            paused: Deferred[None] = Deferred()

            def resumeProducing(self) -> None:
                mine.transport.write(bytes(65536))
                self.written += 65536

            def pauseProducing(self) -> None: ...

            def stopProducing(self) -> None: ...

        source = Endless()
        mine.transport.registerProducer(source, False)
        before = -1
        while before != source.written:
            before = source.written
            await self.turns()
        self.assertLess(source.written, 8 * MIB)
        mine.transport.unregisterProducer()
        mine.transport.loseConnection()
        theirs.transport.resumeProducing()
        await theirs.until(lambda: theirs.reason is not None)
        self.assertEqual(len(theirs.received), source.written)

    async def test_a_program_that_dies(self) -> None:
        """The peer's program hears that this was not the end, whichever of the two dies."""
        await self.begin()
        served = AnnouncingFactory()
        await self.offer(served)
        for number in (0, 1):
            next_one = served.next
            ends = [await self.connect(), await next_one]
            ends[0].transport.write(b"half of it")
            await ends[1].until(lambda ends=ends: ends[1].received)
            # as the system does it when a process ends
            ends[number].transport._wire.abortConnection()
            other = ends[1 - number]
            await other.until(lambda other=other: other.reason is not None)
            self.assertIsInstance(other.reason, StreamReset)
            self.assertIn("aborted", str(other.reason))
        self.assertEqual((await self.status(0))["streams"], [])

    async def test_a_daemon_that_stops(self) -> None:
        """Programs hear why, and a server offers its protocol again when the daemon is back."""
        self.patch(offering, "RETRY_FIRST_SECONDS", 0.01)
        await self.begin()
        served = AnnouncingFactory()
        port = await self.offer(served)
        next_one = served.next
        mine = await self.connect()
        theirs = await next_one
        await self.daemons[0].stopService()
        await theirs.until(lambda: theirs.reason is not None)
        self.assertIsInstance(theirs.reason, StreamLinkLost)
        self.assertIn("the service has been stopped", str(theirs.reason))
        await mine.until(lambda: mine.reason is not None)
        self.assertIsInstance(mine.reason, StreamLinkLost)
        self.assertIn("the service is stopping", str(mine.reason))
        again: Deferred[None] = Deferred()
        self.patch(type(port), "_back", lambda port, _: again.callback(None))
        self.daemons[0].startService()
        await again
        self.assertEqual((await self.status(0))["offered"], ["echo"])
        await self.daemons[0].stopService()
        await self.turns()
        await port.stopListening()
        port.startListening()
        await self.turns()
        await port.stopListening()


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

    async def test_socket_that_may_not_be_used_is_no_reason_to_wait(self) -> None:
        daemon = LocalDaemon(reactor, Path("/nowhere/a"))
        refused = daemon._unreached(ConnectError(EACCES))
        self.assertEqual((type(refused), "permission denied on" in str(refused)), (DaemonRefused, True))
        self.assertIsInstance(daemon._unreached(ConnectError(ENOENT)), DaemonAbsent)

    async def test_what_the_daemon_refuses(self) -> None:
        await self.begin()
        said = await self.fails(self.connect("nobody"), DaemonRefused)
        self.assertIn("nor is it a nickname", said)
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

    async def test_one_connection_one_stream(self) -> None:
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


class SurvivingTests(LocalCase):
    def cut(self) -> None:
        """The connection between the two daemons is reset."""
        routing = self.daemons[1].routing
        assert routing is not None
        assert routing._core is not None
        peer = routing._core.links.peer(self.name)
        assert peer is not None
        peer.link.abort(CloseReason.CONNECTION_LOST)

    async def test_streams_of_programs_outlive_the_link_of_their_daemons(self) -> None:
        """Neither program notices, and what they write meanwhile comes."""
        await self.begin()
        served = AnnouncingFactory()
        await self.offer(served)
        next_one = served.next
        mine = await self.connect()
        theirs = await next_one
        data = Random(4).randbytes(MIB)
        for one, other in ((mine, theirs), (theirs, mine)):
            one.transport.write(data)
            self.cut()
            one.transport.write(data)
            await other.until(lambda other=other: len(other.received) == 2 * MIB)
            self.assertEqual(other.received, 2 * data)
            self.assertEqual((one.reason, other.reason), (None, None))
            # until the other daemon has noticed the loss as well, there is no link to cut
            while (await self.status(0))["suspended"] or (await self.status(1))["suspended"]:
                await self.turns()

    async def test_time_of_an_endpoint_is_asked_for(self) -> None:
        await self.begin()
        await self.offer(AnnouncingFactory(), more=":keep=2h")
        text = f"routing:server/echo:{self.sockets[1]}:keep=3h"
        await clientFromString(reactor, text).connect(Keeping(Waiting))
        for daemon in self.daemons:
            assert daemon.routing is not None
            (peer,) = streams_of(daemon.routing)._peers
            self.assertEqual([each.survival for each in peer.mux.streams.values()], [7200.0])


class CommandTests(LocalCase):
    """What the script has the daemon do for as long as it runs."""

    def hold(self, number: int, command: Command, expected: Any) -> Deferred[tuple[DaemonConnection, Any]]:
        return self.local(number).call(command, expected)

    async def test_exposed_program_is_reached_through_a_forward(self) -> None:
        """Two commands, a server and a client that know nothing of it; when the commands end, so does it."""
        await self.begin()
        served = AnnouncingFactory()
        there = reactor.listenTCP(0, served, interface="127.0.0.1")
        self.addCleanup(there.stopListening)
        target = f"tcp:127.0.0.1:{there.getHost().port}"
        exposing, _ = await self.hold(
            0, ExposeCommand(protocol="app", target=target, allow=(str(self.client_name),)), ExposingReply
        )
        forwarding, reply = await self.hold(
            1, ForwardCommand(listen="tcp:0", name="server", protocol="app"), ForwardingReply
        )
        self.assertRegex(reply.listen, r"^127\.0\.0\.1:\d+$")
        next_one = served.next
        mine: Any = await clientFromString(reactor, f"tcp:{reply.listen}").connect(Keeping(Waiting))
        theirs = await next_one
        mine.transport.write(b"question")
        mine.transport.loseWriteConnection()
        await theirs.until(lambda: "read lost" in theirs.calls)
        self.assertEqual(theirs.received, b"question")
        theirs.transport.write(b"answer")
        theirs.transport.loseConnection()
        await mine.until(lambda: "read lost" in mine.calls)
        self.assertEqual(mine.received, b"answer")
        mine.transport.loseConnection()
        next_one = served.next
        mine = await clientFromString(reactor, f"tcp:{reply.listen}").connect(Keeping(Waiting))
        theirs = await next_one
        forwarding.abort()
        await mine.until(lambda: mine.reason is not None)
        await theirs.until(lambda: theirs.reason is not None)
        await self.fails(clientFromString(reactor, f"tcp:{reply.listen}").connect(Keeping()), ConnectError)
        exposing.abort()
        while (await self.status(0))["offered"]:
            await self.turns()
        self.assertEqual((await self.status(1))["forwarded"], [])

    async def test_unusable_command_is_refused_with_the_reason(self) -> None:
        await self.begin()
        for command, text in (
            (ExposeCommand(protocol="a b", target="tcp:h:1", allow=()), "cannot be the name of a protocol"),
            (ExposeCommand(protocol="a", target="tcp:h", allow=()), "is no endpoint to connect to"),
            (ExposeCommand(protocol="a", target="tcp:h:1", allow=("bob",)), "nickname"),
            (ForwardCommand(listen="x:1", name="server", protocol="a"), "is no endpoint to listen on"),
            (ForwardCommand(listen="tcp:0", name="bob", protocol="a"), "nickname"),
            (ForwardCommand(listen="tcp:0", name="server", protocol="a b"), "name of a protocol"),
            (ForwardCommand(listen="unix:/nowhere/x", name="server", protocol="a"), "cannot listen on unix"),
            (OpenCommand(name="server", protocol="a b"), "name of a protocol"),
        ):
            given: Any = command
            self.assertIn(text, await self.fails(self.hold(1, given, OpenedReply), DaemonRefused))


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

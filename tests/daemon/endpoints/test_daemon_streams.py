"""Endpoints that use a daemon of this machine."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString
from twisted.internet.error import (
    ConnectError,
    ConnectionDone,
)
from twisted.internet.interfaces import IListeningPort
from twisted.web.client import Agent, readBody
from twisted.web.iweb import IAgentEndpointFactory
from twisted.web.server import Site
from twisted.web.static import File
from zope.interface import implementer
from zope.interface.verify import verifyObject

from routing_crust.config import MIB
from routing_crust.daemon.control.messages import Command
from routing_crust.daemon.control.session_messages import (
    ExposeCommand,
    ExposingReply,
    ForwardCommand,
    ForwardingReply,
    OpenCommand,
    OpenedReply,
)
from routing_crust.daemon.endpoints import server as offering
from routing_crust.daemon.endpoints.client import DaemonConnection, DaemonRefused
from routing_crust.errors import CloseReason
from routing_crust.streams import StreamLinkLost, StreamReset, streams_of
from tests.streams.protocols import Keeping

from .local_case import LocalCase, Waiting, reactor


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

    async def test_reader_that_stops_makes_the_writer_wait(self) -> None:
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

    async def test_program_that_dies_resets_its_streams(self) -> None:
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

    async def test_daemon_that_stops_tells_programs_why(self) -> None:
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

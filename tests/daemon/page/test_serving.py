"""Where the page of a daemon listens, and its token; on real sockets, since the address decides."""

from __future__ import annotations

import os
import stat
from typing import Any

from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import StringTransport, StringTransportWithDisconnection
from twisted.logger import Logger, LogPublisher, formatEvent
from twisted.trial.unittest import SynchronousTestCase, TestCase

from routing_crust.daemon.page import serving
from routing_crust.daemon.page.resource import StatusPage
from routing_crust.daemon.page.serving import TOKEN_FILE, PageConnections, PageServer, PageSite, token_in
from routing_crust.errors import CannotListen, ConfigurationError

from ..fakes import temporary_directory
from .support import SampleService


class _Ask(Protocol):
    """Sends a request, and gives all that comes back."""

    def __init__(self, request: bytes) -> None:
        self.done: Deferred[bytes] = Deferred()
        self._request = request
        self._came = b""

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(self._request)

    def dataReceived(self, data: bytes) -> None:
        self._came += data

    def connectionLost(self, reason: Any = None) -> None:
        self.done.callback(self._came)


class BoundTests(SynchronousTestCase):
    """Connections of those who may open one, which is everybody who reaches the port."""

    def setUp(self) -> None:
        self.patch(serving, "MAX_CONNECTIONS", 3)
        service: Any = SampleService()
        self.page = StatusPage(service)
        self.addCleanup(self.page.close)
        self.factory = PageConnections(PageSite(self.page))
        self.factory.doStart()  # type: ignore[no-untyped-call]
        self.addCleanup(self.factory.doStop)

    def connect(self, said: bytes) -> StringTransport:
        protocol = self.factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1))  # type: ignore[no-untyped-call]
        transport = StringTransportWithDisconnection()
        transport.protocol = protocol
        protocol.makeConnection(transport)
        self.addCleanup(transport.loseConnection)
        protocol.dataReceived(said)
        return transport

    def test_oldest_that_asks_for_nothing_makes_room(self) -> None:
        silent = [self.connect(said) for said in (b"", b"GET / HTTP/1.1\r\nX: ", b"GET")]
        for number in range(3):
            self.assertEqual([each.connected for each in silent], [False] * number + [True] * (3 - number))
            self.connect(b"")

    def test_page_that_is_watched_makes_no_room(self) -> None:
        watched = self.connect(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.assertIn(b"200 OK", watched.value())
        for _ in range(10):
            self.connect(b"")
        self.assertTrue(watched.connected)

    def test_one_that_was_answered_makes_room(self) -> None:
        answered = self.connect(b"GET /snapshot.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.assertIn(b"200 OK", answered.value())
        for _ in range(3):
            self.connect(b"")
        self.assertFalse(answered.connected)


class ServingTests(TestCase):
    def setUp(self) -> None:
        self.folder = temporary_directory(self)
        self.lines: list[str] = []
        observer = LogPublisher(lambda event: self.lines.append(formatEvent(event)))
        self.patch(PageServer, "log", Logger(observer=observer))

    def server(self, endpoint: str) -> PageServer:
        service: Any = SampleService()
        server = PageServer(StatusPage(service), endpoint, self.folder, reactor)
        self.addCleanup(server.stop)
        return server

    async def ask(self, port: int, *headers: str) -> int:
        request = "\r\n".join(["GET /snapshot.json HTTP/1.1", "Connection: close", *headers, "", ""]).encode()
        protocol = _Ask(request)
        factory = Factory.forProtocol(lambda: protocol)
        await TCP4ClientEndpoint(reactor, "127.0.0.1", port).connect(factory)
        answer = await protocol.done
        return int(answer.split()[1])

    def port(self) -> int:
        return int(self.lines[0].split("/")[2].rpartition(":")[2])

    async def test_a_port_without_an_interface_is_on_loopback_and_has_no_token(self) -> None:
        self.server("tcp:0").start()
        self.assertRegex(self.lines[0], r"^status page: http://127\.0\.0\.1:\d+/$")
        self.assertEqual(await self.ask(self.port(), "Host: localhost"), 200)
        self.assertEqual(await self.ask(self.port(), "Host: evil.example"), 403)
        self.assertEqual(await self.ask(self.port()), 403)
        self.assertEqual(os.listdir(self.folder), [])

    async def test_a_page_for_other_hosts_has_a_token_that_the_log_does_not_tell(self) -> None:
        self.server("tcp:0:interface=0.0.0.0").start()
        path = self.folder / TOKEN_FILE
        token = path.read_text().strip()
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        self.assertIn(str(path), self.lines[0])
        self.assertNotIn(token, self.lines[0])
        self.assertEqual(await self.ask(self.port(), "Host: localhost"), 401)
        self.assertEqual(await self.ask(self.port(), "Host: home", f"Authorization: Bearer {token}"), 200)

    def test_the_token_stays_from_start_to_start(self) -> None:
        path = self.folder / TOKEN_FILE
        self.assertEqual(token_in(path), token_in(path))

    def test_token_that_others_may_read_or_that_is_short_is_refused(self) -> None:
        path = self.folder / TOKEN_FILE
        path.write_text("short\n")
        path.chmod(0o600)
        self.assertIn("delete it", str(self.assertRaises(ConfigurationError, token_in, path)))
        path.write_text("x" * 32)
        path.chmod(0o644)
        self.assertIn(f"chmod 600 {path}", str(self.assertRaises(ConfigurationError, token_in, path)))
        server = self.server("tcp:0:interface=0.0.0.0")
        self.assertRaises(ConfigurationError, server.start)
        self.assertEqual(self.lines, [])

    def test_port_that_is_taken_is_named(self) -> None:
        self.server("tcp:0").start()
        taken = f"tcp:{self.port()}"
        error = self.assertRaises(CannotListen, self.server(taken).start)
        self.assertIn(f"the status page cannot be at {taken}: Address already in use: stop", str(error))

    def test_endpoint_that_cannot_be_read_is_named(self) -> None:
        self.assertIn("status_page", str(self.assertRaises(ConfigurationError, self.server, "nonsense:1:2")))

    def test_unix_socket_has_no_token(self) -> None:
        self.server(f"unix:{self.folder}/page").start()
        self.assertEqual(self.lines, [f"status page: at unix:{self.folder}/page"])
        self.assertNotIn(TOKEN_FILE, os.listdir(self.folder))

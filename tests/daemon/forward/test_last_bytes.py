"""L{routing_crust.daemon.forward.last_bytes}: only the kernel can show what it does with real sockets."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, UNIXClientEndpoint
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from routing_crust.daemon.forward.connections import ReadyProtocolFactory
from routing_crust.daemon.forward.splice import Splice

from ..control.wires import Wire

ANSWER = b"an answer" * 10_000


class ClosedUnixTests(TestCase):
    """
    A program that answers and closes its UNIX socket, and has not read all of what came.

    @ivar program: its end of the connection.
    @ivar stream: the connection to the peer.
    @cvar reason: what the end of the connection is told.
    @cvar closed: how the stream is closed then.
    """

    timeout = 600
    reason: type[Exception] = ConnectionDone
    closed = "closed"

    def listen(self) -> tuple[socket.socket, Any]:
        """What the program listens on, and the endpoint that connects there."""
        path = self.mktemp()
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(path)
        listening.listen()
        return listening, UNIXClientEndpoint(reactor, path)

    async def setUp(self) -> None:
        self.ended: Deferred[object] = Deferred()
        owner: Any = SimpleNamespace(over=lambda splice: None, ended=lambda splice, reason: None)
        listening, endpoint = self.listen()
        with listening:
            self.splice = Splice(owner)
            await endpoint.connect(ReadyProtocolFactory(self.splice.near))
            self.program, _ = listening.accept()
        self.addCleanup(self.program.close)
        self.stream = Wire(reactor)
        self.stream.join(self.splice.far)
        lost = self.splice.near.connectionLost

        def heard(reason: Failure = connectionDone) -> None:
            lost(reason)
            self.ended.callback(reason.type)

        self.splice.near.connectionLost = heard  # type: ignore[method-assign]

    def answer_and_close(self) -> None:
        self.program.sendall(ANSWER)
        self.program.close()

    async def check_end(self) -> None:
        """The peer gets the whole answer, and the end of it."""
        self.assertIs(await self.ended, self.reason)
        self.assertEqual((self.stream.written, self.stream.closed), (ANSWER, self.closed))

    async def test_peer_gets_what_was_written_beside_unread_input(self) -> None:
        self.stream.send(b"never read")
        self.answer_and_close()
        await self.check_end()

    async def test_peer_gets_what_was_written_before_a_write_fails(self) -> None:
        """The write comes first: the reactor has not read the answer yet."""
        self.stream.send(b"never read")
        self.answer_and_close()
        self.stream.send(b"too late")
        await self.check_end()

    async def test_peer_that_reads_slowly_gets_what_was_written_before_the_kernel_was_full(self) -> None:
        """While nothing is read the reactor sees only that the connection is broken."""
        self.splice.near.pauseProducing()
        while not self.stream.paused:
            self.stream.send(bytes(100_000))
        self.answer_and_close()
        await self.check_end()

    async def test_aborted_stream_gets_nothing_more(self) -> None:
        self.program.sendall(ANSWER)
        self.stream.lose()
        self.assertIs(await self.ended, ConnectionAborted)
        self.assertEqual(self.stream.written, b"")


class ClosedTcpTests(ClosedUnixTests):
    """The same over TCP, where such a close cuts the connection off, as others do."""

    reason = ConnectionLost
    closed = "aborted"

    def listen(self) -> tuple[socket.socket, Any]:
        listening = socket.create_server(("127.0.0.1", 0))
        return listening, TCP4ClientEndpoint(reactor, *listening.getsockname())

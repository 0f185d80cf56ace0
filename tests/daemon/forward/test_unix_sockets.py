"""L{routing_crust.daemon.forward.unix_sockets}: only the kernel can show what it does with real sockets."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from routing_crust.daemon.forward.connections import ReadyProtocolFactory
from routing_crust.daemon.forward.splice import Splice

from ..control.wires import Wire

ANSWER = b"an answer" * 10_000


class ClosedProgramTests(TestCase):
    """
    A program that answers and closes its socket, and has not read all of what came.

    @ivar program: its end of the connection.
    @ivar stream: the connection to the peer.
    """

    timeout = 600

    async def setUp(self) -> None:
        self.ended: Deferred[object] = Deferred()
        owner: Any = SimpleNamespace(over=lambda splice: None, ended=lambda splice, reason: None)
        path = self.mktemp()
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(path)
            listening.listen()
            self.splice = Splice(owner)
            endpoint = UNIXClientEndpoint(reactor, path)
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
        self.assertIs(await self.ended, ConnectionDone)
        self.assertEqual((self.stream.written, self.stream.closed), (ANSWER, "closed"))

    async def test_peer_gets_what_was_written_beside_unread_input(self) -> None:
        self.stream.send(b"never read")
        self.answer_and_close()
        await self.check_end()

    async def test_peer_gets_what_was_written_before_a_write_fails(self) -> None:
        """The write comes first: the reactor has not read the answer yet."""
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

"""A splice between a stream and a socket of which the test is the kernel."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace
from typing import Any

from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.daemon.forward import splice as splice_module
from routing_crust.daemon.forward.splice import READ_BYTES, Splice
from tests.crust.link.test_prompt_writes import Reactor, Socket

from ..control.wires import Wire

MUCH = Random(2).randbytes(3 * READ_BYTES)


class FullSocketTests(SynchronousTestCase):
    """What comes from a stream while the kernel takes all, a part, or nothing of it."""

    def setUp(self) -> None:
        self.over: list[Splice] = []
        owner: Any = SimpleNamespace(over=self.over.append, ended=lambda splice, reason: None)
        self.reactor = Reactor()
        self.socket, self.stream = Socket(self.reactor), Wire(self.reactor)
        self.splice = Splice(owner)
        self.splice.near.makeConnection(self.socket)
        self.stream.join(self.splice.far)

    def drain(self, size: int) -> None:
        """The kernel takes so much in each turn, until nothing waits."""
        while self.socket in self.reactor.writers:
            self.socket.room = size
            self.socket.doWrite()

    def test_host_of_the_program_is_asked_whether_it_is_there(self) -> None:
        """A stream that is suspended would wait for a program that is gone."""
        kept: list[Any] = []
        self.patch(splice_module, "keep_alive", kept.append)
        owner: Any = SimpleNamespace()
        Splice(owner).near.makeConnection(self.socket)
        self.assertEqual(kept, [self.socket])

    def test_bytes_of_a_stream_are_with_the_kernel_at_once(self) -> None:
        self.stream.send(b"now")
        self.assertEqual((self.socket.taken, self.reactor.writers), (b"now", []))

    def test_stream_is_paused_while_the_kernel_is_full(self) -> None:
        """And no byte is lost, doubled or out of order."""
        self.socket.room = 1000
        self.stream.send(MUCH)
        self.assertTrue(self.stream.paused)
        self.drain(70_000)
        self.assertFalse(self.stream.paused)
        self.socket.room = len(MUCH)
        self.stream.send(b"and on")
        self.assertEqual(self.socket.taken, MUCH + b"and on")

    def test_half_close_waits_for_what_the_kernel_has_not_taken(self) -> None:
        self.socket.room = 1000
        self.stream.send(MUCH)
        self.splice.far.readConnectionLost()
        self.assertFalse(self.socket._writeDisconnected)
        self.drain(100_000)
        self.assertTrue(self.socket._writeDisconnected)
        self.assertEqual(self.socket.taken, MUCH)

    def test_lost_socket_is_heard_of_outside_of_the_write(self) -> None:
        """A write that fails changes nothing from within the stream's call; the reactor ends both."""
        self.socket.problem = ConnectionLost()
        self.stream.send(b"lost")
        self.assertEqual((self.stream.closed, self.reactor.writers), ("", [self.socket]))
        problem = self.socket.doWrite()
        self.splice.near.connectionLost(Failure(problem))
        self.assertEqual(self.stream.closed, "aborted")
        self.reactor.advance(0)
        self.assertEqual(self.over, [self.splice])

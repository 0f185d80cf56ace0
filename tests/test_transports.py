"""Bytes that are written at once: what the kernel takes, what it leaves, and what the reactor then does."""

from __future__ import annotations

import errno
import os
import socket
import sys
from random import Random
from types import SimpleNamespace
from typing import Any

from twisted.internet.error import ConnectionLost
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from routing_crust.transports import (
    KEEPALIVE_IDLE_SECONDS,
    Unacknowledged,
    keep_alive,
    unacknowledged,
    write_at_once,
)
from tests.crust.link.test_prompt_writes import Reactor, Socket
from tests.producers import RecordingProducer


def transport_of(handle: object) -> Any:
    return SimpleNamespace(getHandle=lambda: handle)


class UnacknowledgedTests(SynchronousTestCase):
    """What the kernel says of what was sent."""

    def setUp(self) -> None:
        if sys.platform != "linux":
            raise SkipTest("the kernel does not say")

    def test_kernel_says_what_the_peer_has_acknowledged(self) -> None:
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            with socket.socket(family) as server:
                server.bind((host, 0))
                server.listen()
                at = server.getsockname()[:2]
                with socket.create_connection(at) as ours, server.accept()[0] as theirs:
                    before = unacknowledged(transport_of(ours))
                    ours.sendall(b"question")
                    self.assertEqual(theirs.recv(8), b"question")
                    theirs.sendall(b"a")
                    self.assertEqual(ours.recv(1), b"a")  # which has acknowledged the question
                    after = unacknowledged(transport_of(ours))
            assert before is not None
            assert after is not None
            self.assertEqual((after.acknowledged - before.acknowledged, after.silent_seconds), (8, None))

    def answer(self, size: int, packets: int) -> Unacknowledged | None:
        """What is made of a C{tcp_info} of this size: its fields of 32 bits have their own places in it."""
        info = bytearray(b"".join(number.to_bytes(4, sys.byteorder) for number in range(size // 4)))
        info[24:28] = packets.to_bytes(4, sys.byteorder)
        handle = SimpleNamespace(family=socket.AF_INET, getsockopt=lambda *_: bytes(info))
        return unacknowledged(transport_of(handle))

    def test_silence_counts_where_something_is_not_acknowledged(self) -> None:
        number = int.from_bytes(b"".join(each.to_bytes(4, sys.byteorder) for each in (30, 31)), sys.byteorder)
        self.assertEqual(self.answer(128, 3), (number, 0.014))
        self.assertEqual(self.answer(128, 0), (number, None))

    def test_nothing_is_known_of_an_old_kernel_an_ended_connection_or_another_transport(self) -> None:
        with socket.socket() as ended:
            pass
        there, _ = pair = socket.socketpair()
        self.assertIsNone(self.answer(104, 3))
        for transport in (transport_of(ended), transport_of(there), SimpleNamespace()):
            self.assertIsNone(unacknowledged(transport))
        for each in pair:
            each.close()


class KeepAliveTests(SynchronousTestCase):
    """What the kernel is told of a connection to a local program."""

    def told(self, family: int) -> tuple[socket.socket, list[bool]]:
        """What became of a transport with a socket of this family."""
        handle, told = socket.socket(family), []
        self.addCleanup(handle.close)
        transport: Any = SimpleNamespace(getHandle=lambda: handle, setTcpKeepAlive=told.append)
        keep_alive(transport)
        return handle, told

    def test_host_of_a_tcp_connection_is_asked_when_it_has_been_idle(self) -> None:
        for family in (socket.AF_INET, socket.AF_INET6):
            handle, told = self.told(family)
            self.assertEqual(told, [True])
            option = getattr(socket, "TCP_KEEPIDLE", None) or socket.TCP_KEEPALIVE  # type: ignore[attr-defined,unused-ignore]
            self.assertEqual(handle.getsockopt(socket.IPPROTO_TCP, option), KEEPALIVE_IDLE_SECONDS)

    def test_connection_that_was_reset_before_is_left_to_end_by_itself(self) -> None:
        """As macOS has it: its socket takes no option any more."""

        def refuse(*_: object) -> None:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

        handle = SimpleNamespace(family=socket.AF_INET, setsockopt=refuse)
        keep_alive(SimpleNamespace(getHandle=lambda: handle, setTcpKeepAlive=refuse))

    def test_connection_of_another_kind_has_no_host_to_be_asked(self) -> None:
        _, told = self.told(socket.AF_UNIX)
        self.assertEqual(told, [])
        keep_alive(SimpleNamespace(setTcpKeepAlive=told.append))
        self.assertEqual(told, [])


class WriteAtOnceTests(SynchronousTestCase):
    """The test plays the kernel of one descriptor, and its reactor."""

    def setUp(self) -> None:
        self.reactor = Reactor()
        self.socket = Socket(self.reactor)
        self.source = RecordingProducer()
        self.socket.registerProducer(self.source, True)

    def turn(self, room: int) -> None:
        """The kernel takes so much more; the reactor writes."""
        self.socket.room = room
        if self.socket in self.reactor.writers:
            self.socket.doWrite()

    def test_reactor_hears_nothing_of_what_the_kernel_takes(self) -> None:
        asked: list[object] = []
        self.patch(self.reactor, "addWriter", asked.append)
        self.patch(self.reactor, "removeWriter", asked.append)
        write_at_once(self.socket, b"all of it")
        self.assertEqual((self.socket.taken, self.socket.calls, asked), (b"all of it", 1, []))

    def test_rest_of_a_partial_write_is_written_once(self) -> None:
        self.socket.room = 3
        write_at_once(self.socket, b"abcdef")
        self.assertEqual(self.reactor.writers, [self.socket])
        self.turn(2)
        self.turn(100)
        self.assertEqual((self.socket.taken, self.reactor.writers), (b"abcdef", []))

    def test_bytes_wait_behind_those_that_wait(self) -> None:
        """Also if the kernel would take them by now."""
        self.socket.room = 3
        write_at_once(self.socket, b"abcdef")
        self.socket.room = 100
        write_at_once(self.socket, b"ghi")
        self.assertEqual(self.socket.taken, b"abc")
        self.turn(2)
        self.socket.room = 100
        write_at_once(self.socket, b"jkl")
        self.assertEqual(self.socket.taken, b"abcde")
        self.turn(100)
        self.assertEqual(self.socket.taken, b"abcdefghijkl")

    def test_order_holds_whatever_the_kernel_takes(self) -> None:
        """A thousand writes, of which the kernel takes nothing, a part or all."""
        random, sent = Random(1), b""
        for _ in range(1000):
            self.socket.room = random.choice((0, 1, 5, 50))
            data = random.randbytes(random.randrange(20))
            sent += data
            write_at_once(self.socket, data)
            self.turn(random.choice((0, 3, 60)))
        self.turn(len(sent))
        self.assertEqual(self.socket.taken, sent)

    def test_producer_is_paused_while_the_kernel_is_full(self) -> None:
        self.socket.bufferSize = 10
        self.socket.room = 5
        write_at_once(self.socket, bytes(15))
        self.assertEqual(self.source.told, [])
        write_at_once(self.socket, bytes(1))
        self.assertEqual(self.source.told, ["pause"])
        self.turn(100)
        self.assertEqual(self.source.told, ["pause", "resume"])
        write_at_once(self.socket, bytes(50))
        self.assertEqual((len(self.socket.taken), self.source.told), (66, ["pause", "resume"]))

    def test_error_is_left_to_the_reactor(self) -> None:
        """It ends the connection outside of the call, as it does with any other write."""
        self.socket.problem = ConnectionLost()
        write_at_once(self.socket, b"lost")
        self.assertEqual(self.reactor.writers, [self.socket])
        self.assertIs(self.socket.doWrite(), self.socket.problem)

    def test_closing_descriptor_is_left_to_the_reactor(self) -> None:
        """It closes with the last write, which it therefore has to make."""
        for attribute in ("disconnecting", "_writeDisconnecting"):
            socket = Socket(self.reactor)
            setattr(socket, attribute, True)
            write_at_once(socket, b"last")
            self.assertEqual((socket.calls, self.reactor.writers.pop()), (0, socket))

    def test_nothing_is_written_after_the_end(self) -> None:
        self.socket.connected = 0
        write_at_once(self.socket, b"late")
        self.assertEqual((self.socket.calls, self.reactor.writers), (0, []))

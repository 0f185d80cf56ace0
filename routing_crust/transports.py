"""
Transports without a socket of their own: their bytes travel in frames of a link, or in chunks of another
connection. To a protocol they look like Twisted's TCP transport.
"""

from __future__ import annotations

import socket
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from contextlib import suppress
from struct import Struct
from struct import error as StructError
from typing import Any, Final, Generic, NamedTuple, TypeVar

from twisted.internet.abstract import FileDescriptor
from twisted.internet.interfaces import IAddress
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import Interface

_Address = TypeVar("_Address", bound=IAddress)

log = Logger()

KEEPALIVE_IDLE_SECONDS: Final = 60
"""Idleness of a local program's TCP connection after which the kernel probes the other end."""
KEEPALIVE_INTERVAL_SECONDS: Final = 20
"""Between two probes that are not answered."""
KEEPALIVE_PROBES: Final = 3
"""Unanswered probes after which the connection is lost."""
_INTERNET: Final = (socket.AF_INET, socket.AF_INET6)
_TCP_INFO: Final = Struct("=24xI28xI60xQ")
"""From the C{struct tcp_info} of Linux: C{tcpi_unacked}, C{tcpi_last_ack_recv} and C{tcpi_bytes_acked}."""
# by platform: macOS has another name for the first
_KEEPALIVE: Final = tuple(
    (getattr(socket, name), value)
    for names, value in (
        (("TCP_KEEPIDLE", "TCP_KEEPALIVE"), KEEPALIVE_IDLE_SECONDS),
        (("TCP_KEEPINTVL",), KEEPALIVE_INTERVAL_SECONDS),
        (("TCP_KEEPCNT",), KEEPALIVE_PROBES),
    )
    for name in [each for each in names if hasattr(socket, each)][:1]
)


def keep_alive(transport: Any) -> None:
    """
    Have the kernel find out that the other end of a TCP connection is gone without a word: its host is off,
    or has another address. For any other transport, does nothing.
    """
    # no TCP_USER_TIMEOUT: it also ends the connection of a program that is there and does not read
    handle = transport.getHandle() if hasattr(transport, "getHandle") else None
    if handle is None or getattr(handle, "family", None) not in _INTERNET:
        return
    # a connection that the other end has reset already takes no options on macOS
    with suppress(OSError):
        transport.setTcpKeepAlive(True)
        for option, value in _KEEPALIVE:
            handle.setsockopt(socket.IPPROTO_TCP, option, value)


def set_buffer_sizes(transport: Any, size: int) -> None:
    """Have a socket read and write this many bytes at a time; does nothing for another transport."""
    if isinstance(transport, FileDescriptor):
        transport.bufferSize = transport.SEND_LIMIT = size


class Unacknowledged(NamedTuple):
    """
    What the kernel says of what was sent on a TCP connection.

    @ivar acknowledged: how many bytes the other end's kernel has acknowledged.
    @ivar silent_seconds: since anything came from there, if it has something to acknowledge; else C{None}.
    """

    acknowledged: int
    silent_seconds: float | None


def unacknowledged(transport: Any) -> Unacknowledged | None:
    """Ask the kernel about a TCP connection; C{None} where it does not say, or for another transport."""
    handle: Any = transport.getHandle() if hasattr(transport, "getHandle") else None
    if getattr(handle, "family", None) not in _INTERNET or sys.platform != "linux":
        return None  # FreeBSD has an option of this name as well, and another structure
    # of a connection that has just ended nothing is known
    with suppress(OSError, StructError):
        info = handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
        packets, milliseconds, acknowledged = _TCP_INFO.unpack(info)
        return Unacknowledged(acknowledged, milliseconds / 1000 if packets else None)
    return None


def write_now(descriptor: Any) -> None:
    """
    Have one of Twisted's descriptors write what it holds now, instead of in the reactor's next turn: the peer
    can go on while this turn serves other connections, and the reactor need not watch for the socket to be
    writable. The reactor writes what the kernel does not take now.

    @param descriptor: an C{IReadWriteDescriptor}.
    """
    if (
        descriptor._tempDataBuffer
        and not descriptor.dataBuffer  # else the kernel would not take all the last time
        and descriptor.connected
        and not descriptor.disconnecting
    ):
        descriptor.doWrite()


def write_at_once(transport: Any, data: bytes | memoryview) -> None:
    """
    Give bytes straight to the kernel, if this is a socket and nothing waits before them. What the kernel does
    not take is written by the reactor, which also meets an error again, and ends the connection outside of
    this call. To any other transport, write as always.

    As L{write_now}, and the reactor is not even told to watch the socket, and to watch it no more.

    @param data: may change after this call.
    """
    if (
        isinstance(transport, FileDescriptor)
        # a pull producer is asked only when the reactor has written
        and (transport.streamingProducer or transport.producer is None)
        and transport.connected
        and not transport.disconnecting
        and not transport._tempDataBuffer
        and not transport.dataBuffer
        and not transport._writeDisconnecting
    ):
        sent = transport.writeSomeData(data)  # type: ignore[arg-type]  # a socket takes views as well
        if isinstance(sent, int):
            if sent == len(data):
                return
            data = data[sent:]
    transport.write(bytes(data))


class IAbortsWithReason(Interface):
    """A transport that can tell the other end why it is aborted."""

    def abort_because(reason: Failure) -> None:
        """Abort, for this reason. What was written before goes out first, if the other end reads it."""


class FrameTransport(ABC, Generic[_Address]):
    """
    The part that all such transports share.

    @ivar connected: whether C{connectionLost} is still to come.
    @ivar disconnecting: whether C{loseConnection} was called.
    @ivar producer: the registered producer, or C{None}.
    """

    def __init__(self, host: _Address, peer: _Address) -> None:
        self.connected = True
        self.disconnecting = False
        self.producer: Any = None
        self._host = host
        self._peer = peer
        self._no_delay = True
        self._keep_alive = False

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Send bytes."""

    @abstractmethod
    def loseConnection(self) -> None:
        """Close the connection when everything that was written has been sent."""

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Send several pieces of bytes."""
        self.write(b"".join(data))

    def stopProducing(self) -> None:
        """Close the connection."""
        self.loseConnection()

    def getHost(self) -> _Address:
        """Our end."""
        return self._host

    def getPeer(self) -> _Address:
        """The peer's end."""
        return self._peer

    def getTcpNoDelay(self) -> bool:
        """The value that was set; it has no effect."""
        return self._no_delay

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Keep the value, without effect: no data is delayed here."""
        self._no_delay = bool(enabled)

    def getTcpKeepAlive(self) -> bool:
        """The value that was set; it has no effect."""
        return self._keep_alive

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Keep the value, without effect: links have heartbeats."""
        self._keep_alive = bool(enabled)


class ProtocolTransport(FrameTransport[_Address]):
    """
    A transport for protocols of applications: it half-closes, and it survives errors that a protocol raises.

    @ivar protocol: the protocol on top.
    @ivar gone: called after C{connectionLost}.
    """

    def __init__(self, host: _Address, peer: _Address, gone: Callable[[], object]) -> None:
        super().__init__(host, peer)
        self.protocol: Any = None
        self.gone = gone
        self._write_ending = self._write_ended = self._read_ended = False

    def loseConnection(self) -> None:
        """
        Close the connection when everything that was written has been sent, and no producer is registered
        any more. From now on nothing is read.
        """
        if self.connected and not self.disconnecting:
            self.disconnecting = True
            self._discard_unread()
            self._end_when_written()

    def loseWriteConnection(self) -> None:
        """Close the write side, when everything has been sent and no producer is registered any more."""
        if self.connected and not self.disconnecting and not self._write_ending:
            self._write_ending = True
            self._end_when_written()

    @abstractmethod
    def _discard_unread(self) -> None:
        """Discard received data that was not delivered."""

    @abstractmethod
    def _end_when_written(self) -> None:
        """Send the requested end to the peer, unless data still waits to be written."""

    @abstractmethod
    def _give_up(self) -> None:
        """End the connection after the protocol raised, as the reactor does with its own."""

    def _tell(self, call: Callable[..., object], *arguments: object) -> None:
        """Call the protocol, or its producer."""
        try:
            call(*arguments)
        except Exception:  # an application's protocol may raise anything
            self._protocol_raised()

    def _protocol_raised(self) -> None:
        failure = Failure()
        log.failure("a protocol failed on a stream with {peer}", failure=failure, peer=self._peer)
        self._give_up()
        self._lost(failure)

    def _lost(self, reason: Exception | Failure) -> None:
        if not self.connected:
            return
        # First, so that a producer or protocol that closes from within finds nothing left to close.
        self.connected = False
        self._discard_unread()
        producer, self.producer = self.producer, None
        try:
            if producer is not None:
                producer.stopProducing()
            self.protocol.connectionLost(reason if isinstance(reason, Failure) else Failure(reason))
        except Exception:  # whatever a protocol or a producer may raise
            log.failure("a protocol failed when it lost its stream with {peer}", peer=self._peer)
        self.gone()

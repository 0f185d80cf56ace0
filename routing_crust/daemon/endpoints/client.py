"""
Connects over the streams of the daemon on this machine: the control socket as a Twisted program sees it that
has no node of its own. What is said there is in L{routing_crust.daemon.control.messages}.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from errno import EACCES
from pathlib import Path
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.error import ConnectError, ConnectingCancelledError, NoProtocol
from twisted.internet.interfaces import (
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from ...errors import ServiceStopped
from ...names import Name
from ...streams import NodeAddress
from ...streams.frames import check_protocol
from ...timing.eventual import EventualQueue
from ..control.client import ClientError
from ..control.messages import (
    LINE_OVERHEAD_BYTES,
    BadLine,
    Command,
    FailedReply,
    Reply,
    decode_reply,
    encode,
    kind_of,
)
from ..control.session_messages import OpenCommand, OpenedReply
from ..control.stream_transport import SocketTransport
from ..forward.connections import ReadyProtocolFactory
from ..members.networks_here import CONFIG_NAME

THE_DAEMON: Final = "the daemon"
_Reply = TypeVar("_Reply")


class DaemonRefused(ClientError, ConnectError):
    """
    The daemon refused a command, or cannot be talked to; the text says why.

    @ivar kind: the class of the error in the daemon.
    """

    def __init__(self, kind: str, text: str) -> None:
        ConnectError.__init__(self, string=text)
        self.kind = kind
        self.text = text

    def __str__(self) -> str:
        return self.text


class DaemonAbsent(DaemonRefused):
    """No daemon is there, or it is just stopping: it may come."""


class DaemonConnection(Protocol):
    """
    One connection to the daemon: a command, its reply, and what follows, which is lines or a stream.

    @ivar answer: fires with the reply. Cancelling it closes the connection.
    """

    transport: Any

    def __init__(self, command: Command) -> None:
        self.answer: Deferred[Reply] = Deferred(lambda _: self.abort())
        self.stream: SocketTransport | None = None
        self._command = command
        self._rest = b""
        self._line: Callable[[Reply], object] | None = None
        self._lost: Callable[[Failure], object] = lambda _: None

    def connectionMade(self) -> None:
        """Send the command."""
        self.tell(self._command)

    def tell(self, command: Command) -> None:
        """Send another command."""
        self.transport.write(encode(command) + b"\n")

    def abort(self) -> None:
        """Close the connection now."""
        self.transport.abortConnection()

    def lines(self, received: Callable[[Reply], object], lost: Callable[[Failure], object]) -> None:
        """Pass on each line from now on, and the loss of the connection."""
        self._line, self._lost = received, lost
        # what came with the first reply
        self.dataReceived(b"")

    def becomes(self, opened: OpenedReply, protocol: IProtocol, clock: IReactorTime) -> None:
        """Make the connection a stream of this protocol."""
        peer = NodeAddress(Name.from_text(opened.name), opened.protocol)
        host = NodeAddress(Name.from_text(opened.host), opened.protocol)
        self.stream = SocketTransport(self.transport, host, peer, EventualQueue(clock).call, THE_DAEMON)
        self._lost = self.stream.wire_lost
        rest, self._rest = self._rest, b""
        self.stream.start(protocol)
        self.stream.received(rest)

    def dataReceived(self, data: bytes) -> None:
        """Take lines, or bytes of the stream."""
        if self.stream is not None:
            self.stream.received(data)
            return
        self._rest += data
        # Only one line while nobody takes more: what follows it may belong to the stream.
        while (self._line is not None or not self.answer.called) and b"\n" in self._rest:
            line, _, self._rest = self._rest.partition(b"\n")
            self._say(line)
        # no reply to these commands is longer: this is no daemon of ours
        if len(self._rest) > LINE_OVERHEAD_BYTES and not self.answer.called:
            self.abort()

    def _say(self, line: bytes) -> None:
        try:
            reply = decode_reply(line)
        except BadLine as error:
            self._fail(DaemonRefused("WireError", str(error)))
            return
        if not self.answer.called:
            self.answer.callback(reply)
        elif self._line is not None:
            self._line(reply)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The daemon is gone, or has closed the connection."""
        if not self.answer.called:
            self.answer.errback(DaemonAbsent("ServiceStopped", "the daemon has stopped"))
        self._lost(reason)

    def _fail(self, error: Exception) -> None:
        if not self.answer.called:
            self.answer.errback(error)
        self.abort()


class LocalDaemon:
    """
    The daemon behind a control socket.

    @ivar path: the socket.
    """

    def __init__(self, reactor: Any, path: Path) -> None:
        self.path = path
        self.reactor = reactor

    def call(self, command: Command, expected: type[_Reply]) -> Deferred[tuple[DaemonConnection, _Reply]]:
        """
        Connect, and send a command.

        @return: fires with the connection and the reply. Fails with L{DaemonRefused} when the daemon refuses
            the command, and with L{DaemonAbsent} when none is there, or it stops meanwhile. Cancelling it
            closes the connection.
        """
        return Deferred.fromCoroutine(self._call(command, expected))

    async def _call(self, command: Command, expected: type[_Reply]) -> tuple[DaemonConnection, _Reply]:
        call = DaemonConnection(command)
        endpoint = UNIXClientEndpoint(self.reactor, str(self.path))
        try:
            await endpoint.connect(ReadyProtocolFactory(call))
        # also a ConnectError, but cancelling is the caller's own wish
        except ConnectingCancelledError:
            raise
        except ConnectError as error:
            raise self._unreached(error) from None
        reply = await call.answer
        if isinstance(reply, expected):
            return call, reply
        call.abort()
        if isinstance(reply, FailedReply):
            kind = DaemonAbsent if reply.kind == ServiceStopped.__name__ else DaemonRefused
            raise kind(reply.kind, reply.text)
        what = f"the daemon answered with {kind_of(reply)!r}: is it of another version?"
        raise DaemonRefused("WireError", what)

    def _start(self) -> str:
        is_begun = (self.path.parent / CONFIG_NAME).is_file()
        return "'routing-crust start'" if is_begun else "'twistd routing-node'"

    def _unreached(self, error: ConnectError) -> DaemonRefused:
        if error.osError == EACCES:
            return DaemonRefused(
                "NotConnected",
                f"permission denied on {self.path}: run this as the user that the daemon runs as",
            )
        why = os.strerror(error.osError) if error.osError else error
        return DaemonAbsent(
            "NotConnected",
            f"no daemon answers at {self.path} ({why}): start one with {self._start()}, or say "
            "which with socket=, state-dir= or network=",
        )


@implementer(IStreamClientEndpoint)
class DaemonClientEndpoint:
    """Connects to a protocol that a peer offers, through the daemon."""

    def __init__(self, daemon: LocalDaemon, name: str, protocol: str, keep: float | None = None) -> None:
        """
        @param name: the peer: its name, or a nickname that the daemon knows.
        @param keep: for how many seconds the stream may wait for another link; C{None} is the daemon's
            C{stream_survival}.
        @raise ValueError: this cannot be the name of a protocol.
        """
        self._daemon = daemon
        self._command = OpenCommand(name=name, protocol=check_protocol(protocol), keep=keep)

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        Open a stream.

        @return: fires with the protocol when the peer has accepted and the protocol is connected. Fails as
            L{LocalDaemon.call} does. Cancelling it gives up.
        """
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: Any) -> IProtocol:
        factory.doStart()
        try:
            call, opened = await self._daemon.call(self._command, OpenedReply)
            address = NodeAddress(Name.from_text(opened.name), opened.protocol)
            protocol: IProtocol | None = _built(call, factory, address)
            if protocol is None:
                call.abort()
                raise NoProtocol
        except BaseException:
            factory.doStop()
            raise
        call.becomes(opened, protocol, self._daemon.reactor)
        assert call.stream is not None
        call.stream.gone = factory.doStop
        return protocol


def _built(call: DaemonConnection, factory: Any, address: NodeAddress) -> IProtocol | None:
    try:
        made: IProtocol | None = factory.buildProtocol(address)
    except BaseException:
        call.abort()
        raise
    return made

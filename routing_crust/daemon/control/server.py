"""
The control socket: where the console script tells the daemon what to do. What is said there, and in what
order, is in L{routing_crust.daemon.control.messages}.

The socket lies in the state directory, which nobody else may enter, and has mode 0600. A client that does not
read is not read from either, and what is queued for it is bounded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IListeningPort, IPushProducer, IReactorTime
from twisted.internet.protocol import Factory, connectionDone
from twisted.logger import Logger
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from ...config import MIB
from ...errors import CannotListen, InvalidName, RoutingCrustError
from ...forwarding_rules import known, resolve
from ...names import Name
from ...routing.events import Message
from ...routing.service import RoutingService
from ...timing.timers import cancel
from ..forward.registry import Carrier
from .inbox import Inbox
from .messages import (
    Answer,
    BadLine,
    Command,
    Done,
    Dropped,
    ExplainCommand,
    ExplainReply,
    Failed,
    Holding,
    ListenCommand,
    Listening,
    Received,
    Reply,
    RequestCommand,
    SendCommand,
    StatusCommand,
    StatusReply,
    decode_command,
    encode,
    longest_command,
)
from .session import Holder

SOCKET_MODE: Final = 0o600
LISTEN_QUEUE_MESSAGES: Final = 1000
LISTEN_QUEUE_BYTES: Final = 4 * MIB
CLOSE_TIMEOUT: Final = 2.0
"""In seconds."""


@implementer(IPushProducer)
class ControlProtocol(LineOnlyReceiver):
    """
    One connection of the console script. As a listener it queues what its transport does not take: at most
    L{LISTEN_QUEUE_MESSAGES} messages and L{LISTEN_QUEUE_BYTES} bytes, and one message in any case.

    @ivar answer: see C{Listener}.
    @ivar paused: whether the script reads too slowly at the moment.
    """

    delimiter = b"\n"
    answer: bytes | None = None
    transport: Any  # a transport that is a consumer and a producer too; no one interface of Twisted's says so

    def __init__(self, server: ControlServer) -> None:
        self._server = server
        self.paused = False
        self._listens = False
        self._listen_id = 0
        self._queue: deque[bytes] = deque()
        self._queued = 0
        self._dropped = 0
        self._holder = Holder(server.carrier, self._reply, self._has_failed) if server.carrier else None
        self.MAX_LENGTH = longest_command(server.service.settings.max_message)

    def connectionMade(self) -> None:
        """Be paused by the transport when the script does not read."""
        self._server.connected(self)
        if self._holder is not None:
            self._holder.wire = self.transport
        self.transport.registerProducer(self, True)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Listen no more, and give up what this connection has."""
        if self._holder is not None:
            self._holder.lost(reason)
        self._server.disconnected(self)
        self._queue.clear()

    def dataReceived(self, data: bytes) -> None:
        """Lines, until the connection has become a stream."""
        stream = None if self._holder is None else self._holder.stream
        if stream is not None:
            stream.received(data)
        else:
            LineOnlyReceiver.dataReceived(self, data)

    def lineReceived(self, line: bytes) -> None:
        """Do what a line says."""
        try:
            command = decode_command(line)
        except BadLine as error:
            self._failed(0, error)
            return
        self._run(command)

    def lineLengthExceeded(self, line: bytes) -> None:
        """Nothing that follows can be understood."""
        self._failed(0, BadLine(f"a line may have {self.MAX_LENGTH} bytes; the setting max_message moves it"))
        self.close()

    def deliver(self, message: Message, is_request: bool) -> None:
        """Report a message to the script."""
        line = encode(
            Received(
                id=self._listen_id,
                source=str(message.source),
                body=message.body,
                group=None if message.group is None else str(message.group),
                request=is_request,
            )
        )
        if not self.paused:
            self._write(line)
        elif self._queue and (
            len(self._queue) >= LISTEN_QUEUE_MESSAGES or self._queued + len(line) > LISTEN_QUEUE_BYTES
        ):
            self._dropped += 1
        else:
            self._queue_dropped()
            self._queue.append(line)
            self._queued += len(line)

    def pauseProducing(self) -> None:
        """The script reads too slowly: queue what comes for it, and take no more commands."""
        self.paused = True
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """The script reads again."""
        self.paused = False
        self._queue_dropped()
        while self._queue and not self.paused:
            line = self._queue.popleft()
            self._queued -= len(line)
            self._write(line)
        if not self.paused:
            self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """The connection is gone; L{connectionLost} follows."""

    def close(self) -> None:
        """Close, when what is queued has gone out if the script reads it, else at once."""
        if self.paused:
            self.transport.abortConnection()
        else:
            self.transport.unregisterProducer()
            self.transport.loseConnection()

    def abort(self) -> None:
        """Close at once."""
        self.transport.abortConnection()

    def _queue_dropped(self) -> None:
        if self._dropped:
            line = encode(Dropped(id=self._listen_id, count=self._dropped))
            self._queue.append(line)
            self._queued += len(line)
            self._dropped = 0

    def _run(self, command: Command) -> None:
        if isinstance(command, StatusCommand):
            self._reply(StatusReply(id=command.id, status=self._server.status()))
        elif isinstance(command, ListenCommand):
            self._listen(command)
        elif isinstance(command, (ExplainCommand, SendCommand, RequestCommand)):
            self._speak(command)
        else:
            self._hold(command)

    def _speak(self, command: ExplainCommand | SendCommand | RequestCommand) -> None:
        service = self._server.service
        try:
            name = resolve(command.name, known(service.settings.nicknames))
        except InvalidName as error:
            self._failed(command.id, error)
            return
        if isinstance(command, ExplainCommand):
            self._reply(ExplainReply(id=command.id, explanation=service.explain(name).as_dict()))
        elif isinstance(command, SendCommand):
            self._when_done(command.id, service.send, name, command.body, lambda _: Done(id=command.id))
        else:
            self._when_done(
                command.id,
                service.request,
                name,
                command.body,
                lambda body: Answer(id=command.id, body=body),
            )

    def _hold(self, command: Holding) -> None:
        if self._holder is None:
            self._failed(command.id, BadLine("nothing is carried here"))
            return
        try:
            self._holder.run(command)
        except (RoutingCrustError, ValueError) as error:
            self._failed(command.id, error)

    def _listen(self, command: ListenCommand) -> None:
        if self._listens:
            self._failed(command.id, BadLine("this connection listens already"))
            return
        self._listens, self._listen_id, self.answer = True, command.id, command.answer
        self._server.inbox.add(self)
        self._reply(Listening(id=command.id))

    def _when_done(
        self,
        id: int,
        ask: Callable[[Name, bytes], Deferred[Any]],
        name: Name,
        body: bytes,
        reply: Callable[[Any], Reply],
    ) -> None:
        result = maybeDeferred(ask, name, body)
        result.addCallback(lambda value: self._reply(reply(value)))
        result.addErrback(lambda failure: self._has_failed(id, failure))

    def _has_failed(self, id: int, failure: Failure) -> None:
        if not failure.check(RoutingCrustError):
            self._server.log.failure("a command failed", failure)
        self._failed(id, failure.value)

    def _failed(self, id: int, error: BaseException | None) -> None:
        self._reply(Failed(id=id, kind=type(error).__name__, text=str(error)))

    def _reply(self, reply: Reply) -> None:
        if self.connected:
            self._write(encode(reply))

    def _write(self, line: bytes) -> None:
        self.transport.writeSequence((line, b"\n"))


class ControlServer(Factory):
    """
    Everyone who is connected to the control socket. Made by the daemon, discarded with L{stop}.

    @ivar service: the node that is controlled.
    @ivar inbox: where messages come from.
    @ivar connections: those that are up, the oldest first.
    """

    log = Logger()
    noisy = False

    def __init__(
        self,
        service: RoutingService,
        inbox: Inbox,
        facts: Callable[[], dict[str, object]],
        carrier: Carrier | None = None,
    ) -> None:
        """
        @param facts: what the daemon adds to the status of the service.
        @param carrier: what programs may have streams of; C{None} gives them none.
        """
        self.service = service
        self.inbox = inbox
        self.carrier = carrier
        self._facts = facts
        self.connections: list[ControlProtocol] = []
        self._port: IListeningPort | None = None
        self._all_gone: Deferred[None] | None = None

    def listen(self, path: Path, reactor: Any) -> None:
        """
        Listen on a socket, in place of one that a killed daemon may have left behind: so only for who holds
        the lock of the state directory.

        @raise CannotListen: with what is wrong.
        """
        try:
            path.unlink(missing_ok=True)
            self._port = reactor.listenUNIX(str(path), self, mode=SOCKET_MODE)
        except CannotListenError as error:
            raise CannotListen(f"the control socket {path} cannot be made: {error.socketError}") from None
        except OSError as error:
            raise CannotListen(f"the control socket {path} cannot be made: {error.strerror}") from None

    def stop(self, clock: IReactorTime) -> Deferred[None]:
        """
        Close the socket, which removes its file, and every connection.

        @return: fires with C{None} when none is left: within L{CLOSE_TIMEOUT} seconds, since those who do not
            read by then what is for them are cut off.
        """
        return Deferred.fromCoroutine(self._stop(clock))

    async def _stop(self, clock: IReactorTime) -> None:
        port, self._port = self._port, None
        if port is not None:
            await maybeDeferred(port.stopListening)
        if self.connections:
            self._all_gone = Deferred()
            for connection in list(self.connections):
                connection.close()
            timer = clock.callLater(CLOSE_TIMEOUT, self._abort)
            await self._all_gone
            cancel(timer)

    def _abort(self) -> None:
        for connection in list(self.connections):
            connection.abort()

    def status(self) -> dict[str, object]:
        """What the daemon can say of itself and its node."""
        return {**self.service.status(), **self._facts(), "listeners": len(self.inbox)}

    def buildProtocol(self, addr: IAddress | None) -> ControlProtocol:
        """A script connects."""
        return ControlProtocol(self)

    def connected(self, connection: ControlProtocol) -> None:
        """A connection is up."""
        self.connections.append(connection)

    def disconnected(self, connection: ControlProtocol) -> None:
        """A connection is gone."""
        self.connections.remove(connection)
        self.inbox.remove(connection)
        if self._all_gone is not None and not self.connections:
            self._all_gone.callback(None)

"""
One connection to the control socket: lines in, lines out, for a script that may read slowly. What
is said, and in what order, is in L{routing_crust.daemon.control.messages}.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from msgspec.structs import replace
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from ...errors import InvalidName, RoutingCrustError
from ...names import Name
from ...routing.events import Message
from ...routing.service import RoutingService
from ..forward.registry import ForwardRegistry
from ..ways import OTHER_NODES, way_to
from .inbox import DaemonInbox
from .listen_queue import ListenQueue
from .live_messages import LiveCommand
from .member_messages import MemberCommand
from .messages import (
    AnswerReply,
    BadLine,
    Command,
    DoneReply,
    DroppedReply,
    ExplainCommand,
    ExplainReply,
    FailedReply,
    ListenCommand,
    ListeningReply,
    ReceivedReply,
    Reply,
    RequestCommand,
    SendCommand,
    StatusCommand,
    StatusReply,
    decode_command,
    encode,
    longest_command,
)
from .session import ControlSession
from .session_messages import SessionCommand

CommandHandler: TypeAlias = Callable[[Any], "Reply | Deferred[Reply]"]
"""
Answers a command; the id of the reply does not matter. A L{RoutingCrustError} that it raises, or that its
Deferred fails with, becomes a C{FailedReply}.
"""


class ConnectionOwner(Protocol):
    """
    What a connection needs of the server that made it.

    @ivar service: the node that is controlled.
    @ivar inbox: where messages come from.
    @ivar registry: what programs may have streams of; C{None} gives them none.
    @ivar handlers: what answers commands of a kind, before anything here does.
    """

    service: RoutingService
    inbox: DaemonInbox
    registry: ForwardRegistry | None
    handlers: dict[type[Command], CommandHandler]

    def connected(self, connection: ControlConnection) -> None:
        """A connection is up."""

    def disconnected(self, connection: ControlConnection) -> None:
        """A connection is gone."""

    def status(self) -> dict[str, object]:
        """The status of the daemon and its node."""


class NotPrivate(RoutingCrustError):
    """A command about members goes to a daemon of an open network."""

    def __init__(self, network: str) -> None:
        super().__init__(
            f"the network {network!r} is open: it has no members to manage. 'routing-crust init NAME' makes "
            "a private one"
        )


@implementer(IPushProducer)
class ControlConnection(LineOnlyReceiver):
    """
    Made by the L{ConnectionOwner}. As a listener it queues what its transport does not take.

    @ivar answer: what requests are answered with; C{None} leaves them to other listeners.
    @ivar paused: whether the script reads too slowly at the moment.
    """

    log = Logger()
    delimiter = b"\n"
    answer: bytes | None = None
    transport: Any  # a transport that is a consumer and a producer too; no one interface of Twisted's says so

    def __init__(self, owner: ConnectionOwner) -> None:
        self._owner = owner
        self.paused = False
        self._listens = False
        self._listen_id = 0
        self._queue = ListenQueue(self._dropped_line)
        self._session = (
            ControlSession(owner.registry, self._reply, self._has_failed) if owner.registry else None
        )
        self.MAX_LENGTH = longest_command(owner.service.settings.max_message)

    def connectionMade(self) -> None:
        """Register, and have the transport pause us when the script does not read."""
        self._owner.connected(self)
        if self._session is not None:
            self._session.wire = self.transport
        self.transport.registerProducer(self, True)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Listen no more, and end what belongs to this connection."""
        if self._session is not None:
            self._session.lost(reason)
        self._owner.disconnected(self)
        self._queue.clear()

    def dataReceived(self, data: bytes) -> None:
        """Take lines, until the connection has become a stream."""
        stream = None if self._session is None else self._session.stream
        if stream is not None:
            stream.received(data)
        else:
            LineOnlyReceiver.dataReceived(self, data)

    def lineReceived(self, line: bytes) -> None:
        """Run the command of a line."""
        try:
            command = decode_command(line)
        except BadLine as error:
            self._failed(0, error)
            return
        self._run(command)

    def lineLengthExceeded(self, line: bytes) -> None:
        """Close: nothing that follows can be understood."""
        self._failed(0, BadLine(f"a line may have {self.MAX_LENGTH} bytes; the setting max_message moves it"))
        self.close()

    def deliver(self, message: Message, is_request: bool) -> None:
        """Report a message to the script."""
        line = encode(
            ReceivedReply(
                id=self._listen_id,
                source=str(message.source),
                body=message.body,
                group=None if message.group is None else str(message.group),
                request=is_request,
            )
        )
        if self.paused:
            self._queue.add(line)
        else:
            self._write(line)

    def pauseProducing(self) -> None:
        """The script reads too slowly: queue what comes for it, and take no more commands."""
        # not reading either, a script that never reads cannot make us hold replies without bound
        self.paused = True
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """The script reads again."""
        self.paused = False
        # each write may pause us again
        while not self.paused and (line := self._queue.next()) is not None:
            self._write(line)
        if not self.paused:
            self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """The connection is gone; L{connectionLost} follows."""

    def close(self) -> None:
        """Close when everything queued has gone out; at once if the script does not read."""
        if self.paused:
            self.transport.abortConnection()
        else:
            self.transport.unregisterProducer()
            self.transport.loseConnection()

    def abort(self) -> None:
        """Close at once."""
        self.transport.abortConnection()

    def _dropped_line(self, count: int) -> bytes:
        return encode(DroppedReply(id=self._listen_id, count=count))

    def _run(self, command: Command) -> None:
        handler = self._owner.handlers.get(type(command))
        if handler is not None:
            self._handled(command.id, maybeDeferred(handler, command))
        elif isinstance(command, StatusCommand):
            self._reply(StatusReply(id=command.id, status=self._owner.status()))
        elif isinstance(command, ListenCommand):
            self._listen(command)
        elif isinstance(command, (ExplainCommand, SendCommand, RequestCommand)):
            self._speak(command)
        elif isinstance(command, LiveCommand):
            self._failed(command.id, BadLine("nothing is changed here"))
        elif isinstance(command, MemberCommand):
            self._failed(command.id, NotPrivate(self._owner.service.settings.network))
        else:
            self._run_in_session(command)

    def _speak(self, command: ExplainCommand | SendCommand | RequestCommand) -> None:
        service = self._owner.service
        try:
            name = service.name_of(command.name)
        except InvalidName as error:
            self._failed(command.id, error)
            return
        if isinstance(command, ExplainCommand):
            self._reply(ExplainReply(id=command.id, explanation=service.explain(name).as_dict()))
        elif isinstance(command, SendCommand):
            # the way there is when it is sent: a link may come up before the acknowledgement
            way, began = way_to(service, name) or OTHER_NODES, service.clock.seconds()

            def done(_: object) -> Reply:
                return DoneReply(name=str(name), way=way, seconds=service.clock.seconds() - began)

            self._when_done(command.id, service.send, name, command.body, done)
        else:
            self._when_done(
                command.id, service.request, name, command.body, lambda body: AnswerReply(body=body)
            )

    def _run_in_session(self, command: SessionCommand) -> None:
        if self._session is None:
            self._failed(command.id, BadLine("nothing is carried here"))
            return
        try:
            self._session.run(command)
        except (RoutingCrustError, ValueError) as error:
            self._failed(command.id, error)

    def _listen(self, command: ListenCommand) -> None:
        # messages carry the id of one listen command
        if self._listens:
            self._failed(command.id, BadLine("this connection listens already"))
            return
        self._listens, self._listen_id, self.answer = True, command.id, command.answer
        self._owner.inbox.add(self)
        self._reply(ListeningReply(id=command.id))

    def _when_done(
        self,
        id: int,
        ask: Callable[[Name, bytes], Deferred[Any]],
        name: Name,
        body: bytes,
        reply: Callable[[Any], Reply],
    ) -> None:
        self._handled(id, maybeDeferred(ask, name, body).addCallback(reply))

    def _handled(self, id: int, result: Deferred[Any]) -> None:
        result.addCallback(lambda reply: self._reply(replace(reply, id=id)))
        result.addErrback(lambda failure: self._has_failed(id, failure))

    def _has_failed(self, id: int, failure: Failure) -> None:
        # an error that is not ours is a bug: the script gets its text, the log its traceback
        if not failure.check(RoutingCrustError):
            self.log.failure("a command failed", failure)
        self._failed(id, failure.value)

    def _failed(self, id: int, error: BaseException | None) -> None:
        self._reply(FailedReply(id=id, kind=type(error).__name__, text=str(error)))

    def _reply(self, reply: Reply) -> None:
        # a result may come after the script has gone
        if self.connected:
            self._write(encode(reply))

    def _write(self, line: bytes) -> None:
        self.transport.writeSequence((line, b"\n"))

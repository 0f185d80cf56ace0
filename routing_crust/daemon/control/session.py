"""
The session of a program that is connected to the control socket: a stream, or what it offers to peers,
exposes or forwards, for as long as the connection lasts. What is said, and in what order, is in
L{routing_crust.daemon.control.messages}.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure
from zope.interface import implementer

from ...errors import NotConnected
from ...forwarding_rules import Exposure, Forward
from ...names import Name
from ...routing.naming.directory import Allowance
from ...streams import (
    IStreamAcceptor,
    NodeAddress,
    StreamPort,
    StreamReason,
    StreamRefused,
    streams_of,
)
from ...streams.frames import check_protocol
from ..forward.connections import ReadyProtocolFactory, Suspension
from ..forward.exposer import Exposer
from ..forward.local_port import LocalPort
from ..forward.peer_watch import PeerWatch
from ..forward.registry import ForwardRegistry
from ..forward.reports import Report, Reports
from ..forward.splice import Splice
from ..forward.whom import allow_notes
from .messages import BadLine, Reply
from .session_messages import (
    AcceptCommand,
    ExposeCommand,
    ExposingReply,
    ForwardCommand,
    ForwardingReply,
    IncomingStreamReply,
    OfferCommand,
    OfferingReply,
    OpenCommand,
    OpenedReply,
    RefuseCommand,
    ReportReply,
    SessionCommand,
    SuspensionReply,
)
from .stream_transport import SocketTransport

THE_PROGRAM: Final = "the program that used this stream"


class ControlSession:
    """
    Made with each connection to the control socket.

    @ivar stream: the stream that the connection has become, if it has.
    @ivar wire: the transport of the connection, set by its owner.
    """

    def __init__(
        self,
        registry: ForwardRegistry,
        reply: Callable[[Reply], None],
        failed: Callable[[int, Failure], None],
    ) -> None:
        """
        @param reply: writes a line.
        @param failed: reports that a command, by its id, has failed.
        """
        self.stream: SocketTransport | None = None
        self.wire: Any = None
        self._registry = registry
        self._reply = reply
        self._failed = failed
        self._opening: Deferred[Any] | None = None
        self._offers: list[LocalOffer] = []
        self._held: list[Exposer | LocalPort] = []
        self._watches: list[Reports | PeerWatch] = []
        self._ended = False

    def run(self, command: SessionCommand) -> None:
        """
        Run a command.

        @raise RoutingCrustError: it cannot be done.
        @raise ValueError: a word in it cannot be used.
        """
        # what follows an open is the stream's, so no other command may be under way
        if self._opening is not None:
            raise BadLine("this connection is to become a stream")
        if isinstance(command, OpenCommand):
            self._open(command)
        elif isinstance(command, AcceptCommand):
            self._accept(command)
        elif isinstance(command, RefuseCommand):
            asked = self._registry.waiting.pop(command.stream, None)
            if asked is not None:
                asked.answer.errback(StreamRefused(StreamReason.FAILED, command.text))
        elif isinstance(command, OfferCommand):
            self._offer(command)
        elif isinstance(command, ExposeCommand):
            exposure = Exposure(check_protocol(command.protocol), command.target, command.keep)
            allowed = self._allowed(command.allow)
            exposer = self._registry.exposer("target", exposure, allowed)
            exposer.connections.watcher = partial(self._suspension, command.id)
            exposer.reports = self._reports(command.id)
            self._registry.expose(exposer)
            self._held.append(exposer)
            self._reply(ExposingReply(id=command.id, notes=allow_notes(allowed)))
        else:
            self._forward(command)

    def lost(self, reason: Failure) -> None:
        """The connection is gone: end everything."""
        # first: what ends below would be reported, and nobody is there any more
        self._ended = True
        if self.stream is not None:
            self.stream.wire_lost(reason)
        if self._opening is not None:
            self._opening.cancel()
        for offer in self._offers:
            offer.stop()
        for watch in self._watches:
            watch.stop()
        for each in self._held:
            self._registry.end(each)

    def _open(self, command: OpenCommand) -> None:
        name = self._registry.service.name_of(command.name)
        check_protocol(command.protocol)
        splice = self._registry.local.new(name, command.protocol)
        streams = streams_of(self._registry.service)
        factory = ReadyProtocolFactory(splice.far)
        opened = streams.open(name, command.protocol, factory, command.keep, patient=True)
        self._opening = opened

        def failed(failure: Failure) -> None:
            self._opening = None
            self._registry.local.drop(splice)
            # cancelled by the end of the connection: there is nobody to tell
            if not self._ended:
                self._failed(command.id, failure)

        opened.addCallbacks(lambda _: self._becomes(command.id, splice, name, command.protocol), failed)

    def _accept(self, command: AcceptCommand) -> None:
        asked = self._registry.waiting.pop(command.stream, None)
        if asked is None:
            raise NotConnected("the peer does not want this stream any more")
        splice = self._registry.local.new(asked.peer.name, asked.peer.protocol)
        asked.answer.callback(splice.far)
        # the stream may have ended from within that call
        if not splice.far.connected:
            self._registry.local.drop(splice)
            raise NotConnected("the stream has ended at once")
        self._becomes(command.id, splice, asked.peer.name, asked.peer.protocol)

    def _becomes(self, id: int, splice: Splice, name: Name, protocol: str) -> None:
        """Make the connection a stream."""
        # before anything of the stream: after this line there are only chunks
        self._reply(
            OpenedReply(id=id, name=str(name), host=str(self._registry.streams.name), protocol=protocol)
        )
        # that was the producer of lines: the protocol of the stream may register its own
        self.wire.unregisterProducer()
        host, peer = (NodeAddress(each, protocol) for each in (self._registry.streams.name, name))
        later = partial(self._registry.streams.clock.callLater, 0)
        self.stream = SocketTransport(self.wire, host, peer, later, THE_PROGRAM)
        self.stream.start(splice.near)

    def _offer(self, command: OfferCommand) -> None:
        offer = LocalOffer(self._registry, command, self._reply, self._allowed(command.allow))
        offer.start()
        self._offers.append(offer)
        self._reply(OfferingReply(id=command.id, host=str(self._registry.streams.name)))

    def _forward(self, command: ForwardCommand) -> None:
        name = self._registry.service.name_of(command.name)
        forward = Forward(command.listen, name, check_protocol(command.protocol), command.keep)
        forwarder = self._registry.forwarder("listen", forward)
        forwarder.connections.watcher = partial(self._suspension, command.id)
        reports = forwarder.reports = self._reports(command.id)
        self._held.append(forwarder)
        started = self._registry.forward(forwarder)

        def forwarding(_: None) -> None:
            self._reply(ForwardingReply(id=command.id, listen=forwarder.where))
            if not self._ended:
                watch = PeerWatch(self._registry.service, name, reports)
                self._watches.append(watch)
                watch.start()

        started.addCallback(forwarding)
        started.addErrback(lambda failure: self._failed(command.id, failure))

    def _reports(self, id: int) -> Reports:
        directory = self._registry.service.directory

        def tell(report: Report) -> None:
            peer = report.peer
            if isinstance(peer, Name):
                peer = directory.nickname_of(peer) or str(peer)
            self._reply(ReportReply(id=id, peer=peer, event=report.event, text=report.text))

        reports = Reports(self._registry.service, tell)
        self._watches.append(reports)
        return reports

    def _suspension(self, id: int, suspension: Suspension) -> None:
        self._reply(
            SuspensionReply(
                id=id,
                peer=str(suspension.peer),
                change=suspension.change.value,
                count=suspension.count,
                seconds=suspension.seconds,
                because=suspension.because,
            )
        )

    def _allowed(self, allow: tuple[str, ...]) -> Allowance:
        return self._registry.service.directory.allowance(allow)


@implementer(IStreamAcceptor)
class LocalOffer(Factory):
    """
    A protocol that a program offers. It decides on each stream, and takes it over a connection of its own.
    """

    noisy = False

    def __init__(
        self,
        registry: ForwardRegistry,
        command: OfferCommand,
        reply: Callable[[Reply], None],
        allowed: Allowance,
    ) -> None:
        self._registry = registry
        self._command = command
        self._reply = reply
        self._allowed = allowed
        self._port: StreamPort | None = None
        self._numbers: list[int] = []

    def start(self) -> None:
        """
        @raise CannotListen: something is offered by this name already.
        """
        self._port = self._registry.streams.listen(
            check_protocol(self._command.protocol), self, self._allowed, self._command.keep
        )

    def stop(self) -> None:
        """Withdraw the offer, and refuse the streams that wait. Streams that are open stay open."""
        # first: no stream is to wait for a program that has gone
        if self._port is not None:
            self._port.stopListening()
        for number in list(self._numbers):
            asked = self._registry.waiting.pop(number, None)
            if asked is not None:
                asked.answer.errback(StreamRefused(StreamReason.NOT_OFFERED, "the program has just ended"))

    def accept_stream(self, address: NodeAddress) -> Deferred[IProtocol | None]:
        """Ask the program about a stream that a peer wants."""
        # the program may be stuck: what waits for it is bounded as the streams of a peer are
        if len(self._numbers) >= self._registry.streams.settings.max_streams:
            raise StreamRefused(StreamReason.TOO_MANY, "the program does not keep up")
        number = self._registry.wait_for_program(address)
        self._numbers.append(number)
        answer = self._registry.waiting[number].answer

        def settled(result: Any) -> Any:
            self._numbers.remove(number)
            return result

        answer.addBoth(settled)
        self._reply(IncomingStreamReply(id=self._command.id, stream=number, name=str(address.name)))
        return answer

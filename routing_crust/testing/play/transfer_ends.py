"""
The two ends of a C{Transfer}, and the factories that make them.

Each end checks every event that it receives, and reports what cannot be.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import (
    IDelayedCall,
    IHalfCloseableProtocol,
    IProtocol,
    IPullProducer,
    IPushProducer,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer, implementer_only

from ...routing.service import RoutingService
from ...streams import NodeAddress, StreamLinkLost, StreamReason, StreamReset
from ...timing.timers import cancel
from .transfers import COUNT, NUMBER_BYTES, PLAIN, SIMPLE, Flow, Manner, Transfer, TransferEnd, TransferEnding

Hear = Callable[[str, str], None]
"""Called with the name of a check and what was wrong."""


@implementer(IHalfCloseableProtocol)
class EndProtocol(Protocol, ABC):
    """
    One end of a transfer.

    @ivar transfer: C{None} as long as it is not known.
    """

    transport: Any
    title: str

    transfer: Transfer | None = None
    peer: NodeAddress

    def __init__(self, service: RoutingService, manner: Manner, hear: Hear) -> None:
        self.service = service
        self.host = service.node_name
        self.reason: BaseException | None = None
        self.quits = False
        self._manner = manner
        self._all_read = self._all_written = False
        self._has_read = 0
        self._timer: IDelayedCall | None = None
        self._tell = hear

    def connectionMade(self) -> None:
        """The stream is open."""
        self.peer = self.transport.getPeer()

    def dataReceived(self, data: bytes) -> None:
        """Bytes: they must be those that the other end has sent next."""
        if self._all_read or self.quits or self.reason is not None:
            self._hear("one_end", "bytes came after the end")
            return
        self.take(data)
        before, self._has_read = self._has_read, self._has_read + len(data)
        manner = self._manner
        if manner.pause and before <= manner.pause_at < self._has_read and not self.quits:
            self.transport.pauseProducing()
            self._timer = self.service.clock.callLater(manner.pause, self._read_on)
        if manner.abort_at is not None and manner.abort_at <= self._has_read:
            self.abort()

    @abstractmethod
    def take(self, data: bytes) -> None:
        """Process bytes that came before the end."""

    def arrive(self, flow: Flow, data: bytes) -> None:
        """What was sent has arrived."""
        start = flow.arrived
        if not flow.arrive(data):
            what = f"{len(data)} bytes from {start} on, of which {flow.written} were written, are others"
            self._hear("what_arrives_was_sent", what)

    def readConnectionLost(self) -> None:
        """The peer has sent all: check that it has come."""
        if self._all_read or self.reason is not None:
            self._hear("one_end", "the end came twice")
        self._all_read = True
        flow = self.incoming()
        if flow is not None and not (flow.complete and flow.arrived == flow.written):
            what = f"{flow.arrived} of {flow.written} bytes came before what was said to be all"
            self._hear("a_clean_end_carries_all", what)

    @abstractmethod
    def incoming(self) -> Flow | None:
        """The flow that arrives here; C{None} as long as the transfer is not known."""

    def writeConnectionLost(self) -> None:
        """Our half is closed."""
        if self._all_written or self.reason is not None:
            self._hear("one_end", "the end of what was written came twice")
        self._all_written = True

    def abort(self) -> None:
        """Give up."""
        self.quits = True
        self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """It is over; the reason must be one that can be."""
        if self.reason is not None:
            self._hear("one_end", "it was lost twice")
        problem = reason.value
        self.reason = problem
        cancel(self._timer)
        if problem is None or not self._can_be(problem):
            self._hear("ends_have_a_reason", f"it ended with {problem!r}")

    def _can_be(self, reason: BaseException) -> bool:
        other = self.other()
        if isinstance(reason, ConnectionDone):
            return self.quits or self._all_read
        if isinstance(reason, ConnectionAborted):
            return self.quits
        if isinstance(reason, StreamReset):
            if reason.reason is StreamReason.ABORTED:
                # an end that has given up before its first byte is not known
                return other is None or other.quits
            return reason.reason in (StreamReason.CANCELLED, StreamReason.TOO_SLOW, StreamReason.EXPIRED)
        return isinstance(reason, StreamLinkLost)

    @abstractmethod
    def other(self) -> TransferEnd | None:
        """The other end, if it is known."""

    def _read_on(self) -> None:
        self.transport.resumeProducing()

    def _hear(self, check: str, what: str) -> None:
        self._tell(check, f"{self.transfer or 'a transfer'} at the {self.title}: {what}")


@implementer(IPullProducer, IPushProducer)
class Opener(EndProtocol):
    """The end of the node that opens the stream: it writes, as fast as it may, and ends."""

    title = "end that opened"

    transfer: Transfer

    def __init__(self, transfer: Transfer, service: RoutingService, hear: Hear) -> None:
        super().__init__(service, transfer.opener_manner, hear)
        self.transfer = transfer
        self._paused = False
        self._producing = False

    def connectionMade(self) -> None:
        """Send from now on."""
        super().connectionMade()
        self._producing = True
        self.transport.registerProducer(self, self.transfer.streaming)
        # a transport asks a pull producer; a push producer begins by itself
        if self.transfer.streaming:
            self.resumeProducing()

    def take(self, data: bytes) -> None:
        """The answer."""
        self.arrive(self.transfer.back, data)

    def incoming(self) -> Flow:
        return self.transfer.back

    def other(self) -> TransferEnd | None:
        return self.transfer.acceptor

    def pauseProducing(self) -> None:
        """Write no more for now."""
        self._paused = True

    def stopProducing(self) -> None:
        """Write no more."""
        self._producing = False

    def resumeProducing(self) -> None:
        """Write: one piece, or as a push producer all until there is no room."""
        self._paused = False
        flow = self.transfer.there
        while self._producing and not self._paused:
            at = self._manner.abort_at
            if at is not None and flow.written >= at:
                self.abort()
                return
            if flow.written == len(flow.source):
                self._end()
                return
            self.transport.write(flow.take(self.transfer.piece))
            if not self.transfer.streaming:
                return

    def _end(self) -> None:
        self._producing = False
        self.transfer.there.complete = True
        if self.transfer.ending is TransferEnding.HALF:
            self.transport.loseWriteConnection()
        else:
            self.quits = True
            self.transport.loseConnection()
        # last, to see that the transport waits for it with its end
        self.transport.unregisterProducer()

    def readConnectionLost(self) -> None:
        """The answer is complete; ours goes on."""
        super().readConnectionLost()
        there, back = self.transfer.there, self.transfer.back
        if self.transfer.protocol == COUNT and bytes(back.source) != account_of(there.source):
            self._hear("a_clean_end_carries_all", "the count or the hash is of something else")


class Acceptor(EndProtocol):
    """The other end: it answers."""

    title = "end that accepted"

    def __init__(
        self,
        transfers: dict[int, Transfer],
        service: RoutingService,
        hear: Hear,
        gone: Callable[[], object],
    ) -> None:
        """
        @param gone: called when it is over.
        """
        super().__init__(service, PLAIN, hear)
        self._gone = gone
        self._transfers = transfers
        self._first = b""
        self._hash = sha256()

    def connectionMade(self) -> None:
        """Write no faster than the peer reads: then nothing is read either."""
        super().connectionMade()
        self.transport.registerProducer(self.transport, True)

    def take(self, data: bytes) -> None:
        """Bytes, of which the first say to which transfer they belong."""
        if self.transfer is None:
            self._first += data
            if len(self._first) < NUMBER_BYTES:
                return
            data, self._first = self._first, b""
            self._begin(int.from_bytes(data[:NUMBER_BYTES], "big"))
        # no transfer has that number, which is reported already
        if self.transfer is None:
            return
        self.arrive(self.transfer.there, data)
        self._hash.update(data)
        if self.transfer.protocol != COUNT:
            self.transfer.back.source += data
            self.transport.write(self.transfer.back.take(len(data)))

    def _begin(self, number: int) -> None:
        transfer = self._transfers.get(number)
        if transfer is None or transfer.acceptor is not None or transfer.protocol != self.peer.protocol:
            self._hear("what_arrives_was_sent", f"a stream began with {number}, and none is to")
            return
        self.transfer = transfer
        transfer.acceptor = self
        self._manner = transfer.acceptor_manner

    def incoming(self) -> Flow | None:
        return None if self.transfer is None else self.transfer.there

    def other(self) -> TransferEnd | None:
        return None if self.transfer is None else self.transfer.opener

    def readConnectionLost(self) -> None:
        """All has come: answer, and close."""
        super().readConnectionLost()
        if self.transfer is not None:
            back = self.transfer.back
            if self.transfer.protocol == COUNT:
                back.source += self._has_read.to_bytes(NUMBER_BYTES, "big") + self._hash.digest()
                self.transport.write(back.take(len(back.source)))
            back.complete = True
        self.transport.loseWriteConnection()
        self.transport.unregisterProducer()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        self._gone()
        if self.transfer is not None:
            self.transfer.forget_the_bytes()


@implementer_only(IProtocol)
class SimpleAcceptor(Acceptor):
    """
    One that knows nothing of half-closed connections. It echoes, without looking whether the peer reads. When
    it has read all it is over; what has not gone out then still does, or the peer hears that it does not.
    """

    def connectionMade(self) -> None:
        """Register no producer: it writes at once whatever it reads."""
        EndProtocol.connectionMade(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone. Where it was closed in order, no more data was to come."""
        if reason.check(ConnectionDone) and not self.quits:
            EndProtocol.readConnectionLost(self)
            if self.transfer is not None:
                self.transfer.back.complete = True
        super().connectionLost(reason)
        self.quits = True


class Accepting(Factory):
    """
    Makes L{Acceptor}s, for one protocol of a service.

    @ivar connected: those whose connection is not lost, by a number.
    """

    noisy = False

    def __init__(self, service: RoutingService, transfers: dict[int, Transfer], hear: Hear) -> None:
        self.connected: dict[int, Acceptor] = {}
        self._service = service
        self._transfers = transfers
        self._hear = hear
        self._made = 0

    def buildProtocol(self, addr: NodeAddress) -> Acceptor:  # type: ignore[override]
        """One for each stream."""
        self._made += 1
        number = self._made
        make = SimpleAcceptor if addr.protocol == SIMPLE else Acceptor
        acceptor = make(self._transfers, self._service, self._hear, lambda: self.connected.pop(number, None))
        self.connected[number] = acceptor
        return acceptor


class OpeningFactory(Factory):
    """
    Makes the one end that a stream is opened for.

    @ivar transfer: what is done with it.
    @ivar service: whose stream it is.
    """

    noisy = False

    def __init__(self, transfer: Transfer, service: RoutingService, hear: Hear) -> None:
        self.service = service
        self.transfer = transfer
        self._hear = hear

    def buildProtocol(self, addr: object) -> Opener:
        """The peer has accepted."""
        opener = self.transfer.opener = Opener(self.transfer, self.service, self._hear)
        return opener


def account_of(data: bytes | bytearray) -> bytes:
    """What the other end answers when this was counted: how many bytes they are, and their hash."""
    return len(data).to_bytes(NUMBER_BYTES, "big") + sha256(data).digest()

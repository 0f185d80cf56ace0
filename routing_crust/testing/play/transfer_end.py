"""
What the two ends of a C{Transfer} have in common: they look at each
thing that happens to them, and tell what cannot be.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IDelayedCall, IHalfCloseableProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from ...routing.service import RoutingService
from ...streams import NodeAddress, StreamLinkLost, StreamReason, StreamReset
from ...timing.timers import cancel
from .transfers import Flow, Manner, Transfer

Hear = Callable[[str, str], None]
"""Called with the name of a check and what was wrong."""


@implementer(IHalfCloseableProtocol)
class End(Protocol):
    """
    One end of a transfer.

    @ivar transfer: C{None} as long as it is not known.
    @ivar service: whose end it is.
    @ivar host: the name of its node.
    @ivar peer: the other end's address.
    @ivar reason: why it is over; C{None} as long as it is not.
    @ivar quits: whether it has closed or given up of its own accord.
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

    def take(self, data: bytes) -> None:
        """Bytes, not after the end."""
        raise NotImplementedError  # each end has its own

    def arrive(self, flow: Flow, data: bytes) -> None:
        """What was sent has arrived."""
        start = flow.arrived
        if not flow.arrive(data):
            what = f"{len(data)} bytes from {start} on, of which {flow.written} were written, are others"
            self._hear("what_arrives_was_sent", what)

    def readConnectionLost(self) -> None:
        """That was all: it must have been."""
        if self._all_read or self.reason is not None:
            self._hear("one_end", "the end came twice")
        self._all_read = True
        flow = self.incoming()
        if flow is not None and not (flow.complete and flow.arrived == flow.written):
            what = f"{flow.arrived} of {flow.written} bytes came before what was said to be all"
            self._hear("a_clean_end_carries_all", what)

    def incoming(self) -> Flow | None:
        """What comes here; C{None} if that is not known."""
        raise NotImplementedError  # each end has its own

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
                return other is None or other.quits
            return reason.reason in (StreamReason.CANCELLED, StreamReason.TOO_SLOW)
        return isinstance(reason, StreamLinkLost)

    def other(self) -> End | None:
        """The other end, if it is known."""
        raise NotImplementedError  # each end has its own

    def _read_on(self) -> None:
        self.transport.resumeProducing()

    def _hear(self, check: str, what: str) -> None:
        self._tell(check, f"{self.transfer or 'a transfer'} at the {self.title}: {what}")

"""
Forwards a local UDP port: carries the datagrams of each source to a protocol that a peer exposes.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final, TypeAlias

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import DatagramProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from ....errors import problem_text
from ....forwarding_rules import Forward
from ....routing.service import RoutingService
from ....streams import StreamReason, StreamReset, streams_of
from ..connections import ReadyProtocolFactory
from ..local_port import LocalPort
from .exposer import OTHERS_NEED_IT, written
from .session import DatagramSession
from .sockets import UdpPort

MAX_SESSIONS: Final = 128
"""
Sources of one port, but never more than half of C{max_streams}, so that connections have their share. Beyond
that, the one that has been idle longest ends.
"""
HOLD_SECONDS: Final = 1.0
"""How long after a refusal no new stream is opened: a source may send a thousand datagrams a second."""

Source: TypeAlias = tuple[str, int]


class DatagramForwarder(LocalPort, DatagramProtocol):
    """A UDP port: each source that sends to it has a stream."""

    log = Logger()
    noisy = False

    def __init__(self, forward: Forward, port: UdpPort, service: RoutingService) -> None:
        super().__init__(forward, service)
        self._udp = port
        self._sessions: dict[Source, DatagramSession] = {}
        self._held_until = 0.0
        self._is_draining = False

    async def _listen(self) -> IListeningPort:
        return self._udp.listen(self)

    def change(self, forward: Forward) -> None:
        """Carry datagrams elsewhere. Sessions end: a source that goes on would stay with the old peer."""
        super().change(forward)
        for session in list(self._sessions.values()):
            session.end_because(StreamReason.CANCELLED, "it is forwarded elsewhere")

    def drain(self) -> None:
        """Take no new source. Unlike that of connections, the port stays: answers go by it."""
        self._is_draining = True

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """A datagram of a local program."""
        session = self._sessions.get(addr) or self._begin(addr)
        if session is None:
            self.connections.drop_datagram()
        else:
            session.send(datagram)

    def _begin(self, source: Source) -> DatagramSession | None:
        clock = self._service.clock
        if self._is_draining or self._ended or clock.seconds() < self._held_until:
            return None
        if len(self._sessions) >= min(MAX_SESSIONS, max(1, self._service.settings.max_streams // 2)):
            idlest = min(self._sessions.values(), key=lambda each: each.used)
            idlest.end_because(StreamReason.CANCELLED, OTHERS_NEED_IT)
        session = DatagramSession(
            self.connections, clock, partial(self._deliver, source), partial(self._over, source)
        )
        session.lost = self._lost
        self._sessions[source] = session
        self.connections.add(session, self.forward.name, self.forward.protocol)
        opened = Deferred.fromCoroutine(self._opened(session))
        session.opening = opened
        opened.addErrback(self._not_opened, session)
        return session

    async def _opened(self, session: DatagramSession) -> None:
        peer = await self._find()
        self.connections.found(session, peer)
        await streams_of(self._service).open(
            peer,
            self.forward.wanted,
            ReadyProtocolFactory(session.far),
            self.forward.keep,
            patient=True,
        )
        if self.reports is not None:
            self.reports.connected(peer)

    def _not_opened(self, failure: Failure, session: DatagramSession) -> None:
        # the end of the session has cancelled it, which is no failure
        if session.is_over and failure.check(CancelledError):
            return
        session.finish()
        self._failed(failure)

    def _lost(self, reason: Failure) -> None:
        problem = reason.value
        # so the other end says that its program takes nothing
        if isinstance(problem, StreamReset) and problem.reason is StreamReason.FAILED:
            self._failed(reason)

    def _failed(self, failure: Failure) -> None:
        self._held_until = self._service.clock.seconds() + HOLD_SECONDS
        problem = problem_text(failure.value)
        self._quiet.info(
            "not carried",
            "datagrams to {where} were not carried to {protocol} of {who}: {problem}",
            where=self.where,
            who=self._who,
            protocol=self.forward.protocol,
            peer=self.forward.name,
            problem=problem,
            event="not carried",
        )
        if self.reports is not None:
            self.reports.failed(self.forward.name, problem)

    def _deliver(self, source: Source, datagram: bytes) -> bool:
        return written(self.transport, datagram, source)

    def _over(self, source: Source, session: DatagramSession) -> None:
        # another one may have taken its place, while its stream was ending
        if self._sessions.get(source) is session:
            del self._sessions[source]

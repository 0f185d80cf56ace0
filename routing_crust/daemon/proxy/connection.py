"""
A connection of a program to the proxy: first it says where it wants to go, then bytes pass as those of a
forwarded port do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IHalfCloseableProtocol, ISSLTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from ...errors import ConnectingError, RoutingCrustError, problem_text
from ...limits import KIB
from ...routing.service import RoutingService
from ...streams import EarlyData, StreamReason, StreamRefused, streams_of
from ...timing.timers import cancel
from ..forward.connections import CarriedConnections, ReadyProtocolFactory
from ..forward.splice import Splice, SpliceEnd
from .bodies import BadBody, Body
from .handshakes import HandshakeStep, ProxyHandshake, Wanted
from .hosts import SUFFIX, Destination, HostProblem, HostRefused, find_host
from .requests import HttpHandshake
from .socks import VERSION, VERSION_4, SocksHandshake

HANDSHAKE_SECONDS: Final = 30.0
"""How long a program may take to say where it wants to go."""
LINGER_SECONDS: Final = 5.0
"""How long a program has to read why it was refused."""
EARLY_BYTES: Final = 64 * KIB
"""What a program may send before the peer has answered; beyond that it has to wait."""
_REASONS: Final = {
    StreamReason.NOT_OFFERED: HostProblem.NOT_OFFERED,
    StreamReason.NOT_ALLOWED: HostProblem.NOT_ALLOWED,
}


class ProxyConnection(Protocol):
    """
    Made by a C{ProxyServer} for each connection.

    @ivar gone: called when it is over, or has become a L{Splice}.
    """

    transport: Any

    def __init__(
        self,
        service: RoutingService,
        connections: CarriedConnections,
        gone: Callable[[ProxyConnection], object],
        tell: Callable[[str, str], object],
    ) -> None:
        """
        @param tell: is told where to there is no connection, and why: programs seldom show what SOCKS says.
            The first is empty if the request is none, or is for a host outside of the network.
        """
        self.gone = gone
        self._tell = tell
        self._service = service
        self._connections = connections
        self._handshake: ProxyHandshake | None = None
        self._timer: IDelayedCall | None = None
        self._opening: Deferred[None] | None = None
        self._splice: Splice | None = None
        self._early = bytearray()
        self._is_refused = False

    @property
    def is_opening(self) -> bool:
        """Whether it has said where it wants to go, and the peer is being reached."""
        return self._opening is not None

    def connectionMade(self) -> None:
        """Wait for what the program wants."""
        self._timer = self._service.clock.callLater(HANDSHAKE_SECONDS, self.abort)

    def abort(self) -> None:
        """Cut it off."""
        self.transport.abortConnection()

    def dataReceived(self, data: bytes) -> None:
        """Bytes of the program."""
        if self._is_refused:
            return
        if self._opening is not None:
            self._early += data
            if len(self._early) > EARLY_BYTES:
                self.transport.pauseProducing()
            return
        if self._handshake is None:
            is_socks = data[0] in (VERSION, VERSION_4)
            self._handshake = SocksHandshake() if is_socks else HttpHandshake()
        self._take(self._handshake, self._handshake.feed(data))

    def _take(self, handshake: ProxyHandshake, step: HandshakeStep) -> None:
        if step.ends:
            if step.problem:
                self._tell("", step.problem)
            self._end(step.reply)
            return
        if step.reply:
            self.transport.write(step.reply)
        if step.wanted is not None:
            cancel(self._timer)
            self._early += handshake.rest
            self._opening = opening = Deferred.fromCoroutine(self._open(handshake, step.wanted))
            opening.addErrback(self._failed, handshake, step.wanted)

    async def _open(self, handshake: ProxyHandshake, wanted: Wanted) -> None:
        destination = find_host(wanted.host, wanted.port, self._service.directory)
        first, *others = destination.protocols
        splice = self._splice = self._connections.new(destination.peer, first)
        for protocol in (first, *others):
            early = EarlyData()
            early.write(wanted.head)
            try:
                await streams_of(self._service).open(
                    destination.peer, protocol, ReadyProtocolFactory(splice.far), patient=True, early=early
                )
            except StreamRefused as refused:
                if refused.reason is StreamReason.NOT_OFFERED and protocol != destination.protocols[-1]:
                    continue
                raise self._refusal(refused, destination) from None
            self._connections.found(splice, destination.peer, protocol)
            break
        self._join(splice, handshake, wanted)

    def _join(self, splice: Splice, handshake: ProxyHandshake, wanted: Wanted) -> None:
        """Let bytes pass from here on."""
        self._opening = self._splice = None
        transport = self.transport
        # what was said above all that the peer sends
        if answer := handshake.accepted():
            transport.write(answer)
        end: Any = splice.near if wanted.body is None else RequestEnd(splice.near, wanted.body)
        self.gone(self)
        transport.protocol = end
        end.makeConnection(transport)
        if self._early:
            end.dataReceived(bytes(self._early))

    def _refusal(self, refused: StreamRefused, to: Destination) -> HostRefused:
        problem = _REASONS.get(refused.reason, HostProblem.FAILED)
        tried = " nor ".join(to.protocols)
        if problem is HostProblem.NOT_OFFERED:
            text = (
                f"{to.who} does not offer {tried}: run 'routing-crust expose add "
                f"{to.protocols[0]}=tcp:localhost:PORT --allow NAME' there, or use PROTOCOL.{to.who}.crust"
            )
            if refused.detail:
                text = f"{text} ({refused.detail})"
        elif problem is HostProblem.NOT_ALLOWED:
            text = f"{to.who} does not let this node use {tried}: allow it where it is exposed, with --allow"
        else:
            text = f"{to.who}: {problem_text(refused)}"
        return HostRefused(problem, text)

    def _failed(self, failure: Failure, handshake: ProxyHandshake, wanted: Wanted) -> None:
        self._opening = None
        splice, self._splice = self._splice, None
        if splice is not None:
            self._connections.drop(splice)
        if failure.check(CancelledError):
            return
        error = failure.value
        if isinstance(error, HostRefused):
            problem, text = error.problem, str(error)
        elif isinstance(error, RoutingCrustError):
            problem = HostProblem.UNREACHABLE if isinstance(error, ConnectingError) else HostProblem.FAILED
            text = problem_text(error)
        else:
            self.abort()
            failure.raiseException()
        if problem is HostProblem.FOREIGN:
            # where else somebody goes is not for the log
            self._tell("", f"the host is not of this network: only hosts that end with {SUFFIX} are")
        else:
            self._tell(f"{wanted.host}:{wanted.port}", text)
        self._end(handshake.refused(problem, text))

    def _end(self, answer: bytes) -> None:
        """Say why, and hang up. What the program still sends is read, so that it can read the answer."""
        self._is_refused = True
        cancel(self._timer)
        self._timer = self._service.clock.callLater(LINGER_SECONDS, self.abort)
        self.transport.resumeProducing()
        if answer:
            self.transport.write(answer)
        if ISSLTransport.providedBy(self.transport):
            # over TLS, loseWriteConnection would cut the TCP connection below
            self.transport.loseConnection()
        else:
            self.transport.loseWriteConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The program is gone."""
        cancel(self._timer)
        self.gone(self)
        opening, self._opening = self._opening, None
        if opening is not None:
            opening.cancel()


@implementer(IHalfCloseableProtocol)
class RequestEnd(Protocol):
    """
    Passes one HTTP request on, and nothing behind it.

    A program that sends another one has not heard that the connection is for one: it is cut off, and will
    make a new connection.
    """

    transport: Any

    def __init__(self, near: SpliceEnd, body: Body) -> None:
        self._near = near
        self._body = body

    def connectionMade(self) -> None:
        """Both ends are connected now."""
        self._near.makeConnection(self.transport)  # type: ignore[no-untyped-call]

    def dataReceived(self, data: bytes) -> None:
        """Pass on what belongs to the request."""
        try:
            mine = self._body.take(data)
        except BadBody:
            self.transport.abortConnection()
            return
        if mine:
            self._near.dataReceived(data[:mine])
        # some end a request with an empty line too many
        if data[mine:].strip(b"\r\n"):
            self.transport.abortConnection()

    def readConnectionLost(self) -> None:
        """The program has sent all."""
        self._near.readConnectionLost()

    def writeConnectionLost(self) -> None:
        """All was sent to the program."""
        self._near.writeConnectionLost()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The program is gone."""
        self._near.connectionLost(reason)

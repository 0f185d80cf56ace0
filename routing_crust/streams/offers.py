"""
The protocols that a node offers, and its answers to the peers that ask for streams of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectError, ConnectionClosed, NoProtocol
from twisted.internet.interfaces import IProtocol, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..errors import CannotListen, RoutingCrustError
from ..forwarding_rules import DATAGRAMS
from ..names import Name
from ..quietlog import TRACEBACKS_AT_ONCE, QuietLog
from ..timing.shares import who_makes_room
from .address import NodeAddress
from .errors import StreamRefused
from .frames import MAX_DETAIL_BYTES, StreamReason
from .listening import StreamPort
from .multiplexing.stream import Stream
from .opening import STREAM_OPEN_TIMEOUT_SECONDS, IncomingOpen
from .survival.peers import Peers
from .transport import StreamTransport

_NO_CONNECTION = (RoutingCrustError, ConnectError, ConnectionClosed, NoProtocol, CancelledError, OSError)
"""Errors that an acceptor is expected to fail with. Any other is a bug there, which peers are not told of."""

MAX_STREAMS_OF_PEERS: Final = 1024
"""
Streams that all peers together may have opened here: each may hold a window and a buffer of memory, and a
descriptor for the program that a daemon exposes by it.
"""
_ALL_TAKEN = f"all peers together may have {MAX_STREAMS_OF_PEERS} here, and others have fewer"

MakeTransport: TypeAlias = Callable[[Stream, IProtocol, NodeAddress, Callable[[], object]], StreamTransport]


class Offers:
    """
    Made, and discarded, with the streams of a node; told of ports, and of what peers ask for.

    @ivar closed: why no stream is accepted any more; empty while they are.
    """

    log = Logger()

    def __init__(
        self, clock: IReactorTime, peers: Peers, transport: MakeTransport, describe: Callable[[Name], str]
    ) -> None:
        """
        @param describe: what people call a peer.
        """
        self._clock = clock
        self._peers = peers
        self._transport = transport
        self._describe = describe
        self._quiet = QuietLog(self.log, clock.seconds)
        self._failures = QuietLog(self.log, clock.seconds, TRACEBACKS_AT_ONCE)
        self._ports: dict[str, StreamPort] = {}
        self.closed = ""

    @property
    def protocols(self) -> list[str]:
        """The names of all that is offered."""
        return list(self._ports)

    def add(self, port: StreamPort) -> None:
        """
        Offer the protocol of this port.

        @raise CannotListen: something is offered by this name already.
        """
        if port.protocol in self._ports:
            raise CannotListen(f"{port.protocol} is offered already; stop that first, or choose another name")
        self._ports[port.protocol] = port

    def remove(self, port: StreamPort) -> bool:
        """
        Withdraw the offer of this port.

        @return: whether there was one.
        """
        # another port may have taken the name since
        if self._ports.get(port.protocol) is not port:
            return False
        del self._ports[port.protocol]
        return True

    def requested(self, name: Name, stream: Stream) -> None:
        """A peer wants to open a stream."""
        if self.closed:
            self._refuse(name, stream, StreamReason.FAILED, self.closed)
        else:
            self._decide(name, stream)

    def _decide(self, name: Name, stream: Stream) -> None:
        port = self._ports.get(stream.protocol)
        if port is None:
            self._refuse(name, stream, StreamReason.NOT_OFFERED, self._offered_as(name, stream.protocol))
            return
        try:
            allowed = port.allows(name)
        except Exception:  # whatever an application may raise
            self._failures.failure(
                "permissions",
                "cannot decide whether {who} may have {protocol}",
                who=self._describe(name),
                peer=name,
                protocol=port.protocol,
            )
            allowed = False
        # what decides, here and below, may stop the service
        if stream.given_up:
            return
        if not allowed:
            self._refuse(name, stream, StreamReason.NOT_ALLOWED, "")
            return
        if not self._has_room(name):
            self._refuse(name, stream, StreamReason.TOO_MANY, _ALL_TAKEN)
            return
        address = NodeAddress(name, stream.protocol)
        decision = port.accept(address)
        if stream.given_up:
            decision.addErrback(lambda _: None)
            decision.cancel()
            return

        if port.survival is not None:
            stream.survival = min(stream.survival, port.survival)

        def accept(protocol: IProtocol | None, early: bytes) -> None:
            if protocol is None:
                self._refuse(name, stream, StreamReason.FAILED, "")
                return
            transport = self._transport(stream, protocol, address, lambda: None)
            # OPENED goes first: the protocol may write as soon as it is connected
            stream.accepted_by(transport)
            transport.start(early)

        IncomingOpen(
            stream,
            self._clock,
            STREAM_OPEN_TIMEOUT_SECONDS,
            decision,
            accept,
            lambda failure: self._failed(name, stream, failure),
        )

    def _offered_as(self, name: Name, protocol: str) -> str:
        """In what other way a protocol is offered to a peer that may have it, in words for the peer."""
        plain = protocol.removesuffix(DATAGRAMS)
        other = plain if plain != protocol else f"{protocol}{DATAGRAMS}"
        port = self._ports.get(other)
        if port is None or not port.allows(name):
            return ""
        if other == plain:
            return f"{plain} is no UDP there: forward it with tcp:PORT=NAME/{plain}"
        return f"{plain} is UDP there: forward it with udp:PORT=NAME/{plain}"

    def _has_room(self, name: Name) -> bool:
        """Whether there is room for the stream that this peer has just opened; another may make it."""
        if sum(each.mux.held for each in self._peers) <= MAX_STREAMS_OF_PEERS:
            return True
        holders = {each.name: each for each in self._peers if each.mux.held}
        held = {each: peer.mux.held for each, peer in holders.items()}
        who = who_makes_room(held, {each: peer.prefix for each, peer in holders.items()}, name)
        if who is None:
            return False
        self._quiet.info(
            "room was made",
            "ended the latest stream of {who}, which has most: peers have {most} here",
            by=holders[who].prefix,
            who=self._describe(who),
            peer=who,
            most=MAX_STREAMS_OF_PEERS,
        )
        holders[who].mux.make_room(_ALL_TAKEN)
        return True

    def _failed(self, name: Name, stream: Stream, failure: Failure) -> None:
        problem = failure.value
        if isinstance(problem, StreamRefused):
            self._refuse(name, stream, problem.reason, problem.detail)
            return
        # an expected error says something to the peer; a bug's text might say too much
        expected = isinstance(problem, _NO_CONNECTION)
        if not expected:
            self._failures.failure(
                "factories",
                "the factory that offers {protocol} failed",
                failure,
                protocol=stream.protocol,
            )
        self._refuse(name, stream, StreamReason.FAILED, failure.getErrorMessage() if expected else "")

    def _refuse(self, name: Name, stream: Stream, reason: StreamReason, detail: str) -> None:
        self._quiet.info(
            f"refused: {reason.name}",
            "refused {who} a stream of {protocol}: {reason}",
            by=self._peers.prefix_of(name),
            who=self._describe(name),
            peer=name,
            protocol=stream.protocol,
            reason=f"{reason.text}: {detail}" if detail else reason.text,
        )
        stream.refuse(reason, detail[:MAX_DETAIL_BYTES])

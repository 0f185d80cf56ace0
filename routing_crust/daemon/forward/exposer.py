"""
Exposes a local program to peers, under the name of a protocol.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError, ConnectionClosed, ConnectionLost
from twisted.internet.interfaces import IProtocol
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from zope.interface import implementer

from ...crust.accept.descriptors import RESERVED_DESCRIPTORS, descriptors_left
from ...errors import RoutingCrustError, problem_text
from ...forwarding_rules import Exposure
from ...names import Name
from ...quietlog import QuietLog
from ...routing.naming.directory import Allowance
from ...streams import IStreamAcceptor, NodeAddress, StreamPort, StreamReason, StreamRefused, Streams
from .connections import CarriedConnections, ReadyProtocolFactory
from .reports import Reports

NOT_REACHED: Final = "the program there cannot be reached"
"""What a peer is told of it."""


@implementer(IStreamAcceptor)
class Exposer(Factory):
    """
    Made by a C{ForwardRegistry}. It connects to the program first and then accepts the stream, so that a peer
    knows at once whether the program is there.

    @ivar exposure: the program and the protocol.
    @ivar allowed: the peers that may connect.
    @ivar connections: the open connections.
    @ivar reports: where the operator hears of peers; C{None} if nowhere.
    """

    reports: Reports | None = None

    log = Logger()
    noisy = False

    def __init__(
        self,
        exposure: Exposure,
        allowed: Allowance,
        endpoint: Any,
        streams: Streams,
        is_invited: Callable[[Name], bool] = lambda name: False,
    ) -> None:
        """
        @param is_invited: whether a peer may connect that is not among C{allowed}.
        """
        self.connections = CarriedConnections("exposed", streams.clock)
        self.exposure = exposure
        self.allowed = allowed
        self._is_invited = is_invited
        self._endpoint = endpoint
        self._streams = streams
        self._quiet = QuietLog(self.log, streams.clock.seconds)
        self._port: StreamPort | None = None

    def start(self) -> None:
        """
        Offer the protocol.

        @raise CannotListen: something is offered by this name already.
        """
        self._port = self._streams.listen(self.exposure.offered, self, self._allows, self.exposure.keep)
        self.log.info(
            "exposing {target} as {protocol} to {whom}",
            target=self.exposure.target,
            protocol=self.exposure.protocol,
            whom=", ".join(self.allowed.texts) or "nobody: --allow-peer lets peers in",
            event="exposing",
        )

    def change(self, exposure: Exposure, allowed: Allowance, endpoint: Any) -> int:
        """
        Expose another program by the same name, or to others. Connections with peers that may have them stay.

        @return: how many connections were ended.
        """
        if exposure != self.exposure:
            self.log.info(
                "exposing {target} as {protocol} from now on",
                target=exposure.target,
                protocol=exposure.protocol,
                event="exposing",
            )
        self.exposure, self.allowed, self._endpoint = exposure, allowed, endpoint
        if self._port is not None:
            self._port.survival = exposure.keep
        return self.connections.end_those(
            lambda peer: isinstance(peer, Name) and not self._may_have(peer),
            StreamReason.NOT_ALLOWED,
            "it was taken from this peer",
        )

    def remove(self) -> int:
        """
        Withdraw the offer, and tell the peers of the connections, which end.

        @return: how many those are.
        """
        ended = self.connections.end_those(
            lambda peer: True, StreamReason.NOT_OFFERED, "it is not exposed any more"
        )
        self.stop()
        return ended

    def stop(self) -> Deferred[None]:
        """
        Withdraw the offer, and abort the connections.

        @return: fires with C{None} when none is left.
        """
        port, self._port = self._port, None
        if port is not None:
            port.stopListening()
        return self.connections.abort_all()

    def status(self) -> dict[str, object]:
        """Its entry in the daemon's status."""
        return {
            "protocol": self.exposure.protocol,
            "target": self.exposure.target,
            "keep": self.exposure.keep,
            "allowed": list(self.allowed.texts),
            "open": len(self.connections),
            "dropped": self.connections.carried.dropped,
        }

    def accept_stream(self, address: NodeAddress) -> Deferred[IProtocol | None]:
        """Connect to the program, for a peer that may have the protocol."""
        return Deferred.fromCoroutine(self._accept(address))

    async def _accept(self, address: NodeAddress) -> IProtocol:
        # each connection takes one, and the control socket and the node's own files need some as well
        if descriptors_left() < RESERVED_DESCRIPTORS:
            if self.reports is not None:
                self.reports.refused(address.name, "too few descriptors are left (RLIMIT_NOFILE)")
            problem = f"the node there keeps its last {RESERVED_DESCRIPTORS} descriptors, by RLIMIT_NOFILE"
            raise StreamRefused(StreamReason.TOO_MANY, problem)
        # counted before it is connected, so that stop() reaches it
        splice = self._new(address.name)
        try:
            await self._connect(splice)
        except (ConnectError, ConnectionClosed, OSError, RoutingCrustError) as error:
            self._drop(splice)
            self._not_reached(address.name, problem_text(error))
            # the address of the program stays in our log
            raise StreamRefused(StreamReason.FAILED, NOT_REACHED) from None
        except BaseException:  # cancelled, or a bug in the endpoint
            self._drop(splice)
            raise
        # the settings may have changed while it was connected
        if self._port is None or not self._may_have(address.name):
            splice.abort()
            self._drop(splice)
            reason = StreamReason.NOT_OFFERED if self._port is None else StreamReason.NOT_ALLOWED
            raise StreamRefused(reason, "since just now")
        if self.reports is not None:
            self.reports.connected(address.name)
        far: IProtocol = splice.far
        return far

    def _new(self, peer: Name) -> Any:
        """Make what carries a connection with this peer."""
        return self.connections.new(peer, self.exposure.protocol)

    async def _connect(self, splice: Any) -> None:
        """Connect that to the program."""
        await self._endpoint.connect(ReadyProtocolFactory(splice.near))
        # the program may have hung up before its endpoint fired; the stream would wait for ever
        if not splice.near.connected:
            raise ConnectionLost("it has hung up at once")

    def _drop(self, splice: Any) -> None:
        """Forget what carries nothing."""
        self.connections.drop(splice)

    def _not_reached(self, peer: Name, problem: str) -> None:
        self._quiet.warn(
            "program not reached",
            "{who} asked for {protocol}, and {target} cannot be reached: {problem}",
            by=self._streams.prefix_of(peer),
            who=self._streams.describe(peer),
            peer=peer,
            protocol=self.exposure.protocol,
            target=self.exposure.target,
            problem=problem,
        )
        if self.reports is not None:
            self.reports.failed(peer, f"{self.exposure.target} cannot be reached: {problem}")

    def _may_have(self, name: Name) -> bool:
        return self.allowed(name) or self._is_invited(name)

    def _allows(self, name: Name) -> bool:
        allows = self._may_have(name)
        if not allows and self.reports is not None:
            self.reports.refused(name, "it is not among those that are allowed")
        return allows

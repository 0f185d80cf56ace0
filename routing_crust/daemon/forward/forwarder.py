"""
Forwards a local port: carries its connections to a protocol that a peer exposes.
"""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IListeningPort, IStreamServerEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from ...errors import CannotListen, InvalidName, problem_text
from ...forwarding_rules import Forward
from ...limits import UNREACHABLE_SECONDS
from ...names import Name
from ...quietlog import QuietLog
from ...routing.service import RoutingService
from ...streams import StreamReason, streams_of
from .connections import CarriedConnections, ReadyProtocolFactory
from .reports import Reports
from .splice import Splice, SpliceEnd

FIND_SECONDS: Final = 10.0
"""For which a connection waits until the nickname of its peer is known, once this node is in its network."""
FIND_AGAIN_SECONDS: Final = 0.5


class PortForwarder(Factory):
    """
    Made by a L{ForwardRegistry<routing_crust.daemon.forward.registry.ForwardRegistry>}.

    @ivar forward: the port, the peer and the protocol.
    @ivar where: the address that it listens on, in words.
    @ivar connections: the open connections.
    @ivar reports: where the operator hears of the peer, if he does.
    """

    reports: Reports | None = None

    log = Logger()
    noisy = False

    def __init__(self, forward: Forward, endpoint: IStreamServerEndpoint, service: RoutingService) -> None:
        self.connections = CarriedConnections("forwarded", service.clock)
        self.forward = forward
        self.where = forward.listen
        self._endpoint = endpoint
        self._service = service
        self._quiet = QuietLog(self.log, service.clock.seconds)
        self._port: IListeningPort | None = None
        self._ended = False

    def start(self) -> Deferred[None]:
        """
        Open the port.

        @return: fires with C{None} when it does; fails with L{CannotListen}.
        """
        return Deferred.fromCoroutine(self._start())

    async def _start(self) -> None:
        try:
            port = await self._endpoint.listen(self)
        except CannotListenError as error:
            # the words of the system, without the address that Twisted's text repeats
            problem = getattr(error.socketError, "strerror", None) or error.socketError
            raise CannotListen(f"cannot listen on {self.forward.listen}: {problem}") from None
        except (OSError, ValueError) as error:
            raise CannotListen(f"cannot listen on {self.forward.listen}: {error}") from None
        # stopped while the endpoint was at it, so stop() did not see the port
        if self._ended:
            await maybeDeferred(port.stopListening)
            return
        self._port = port
        self.where = _in_words(port.getHost(), self.forward.listen)
        self.log.info(
            "forwarding {where} to {protocol} of {peer}",
            where=self.where,
            protocol=self.forward.protocol,
            peer=self.forward.name,
            event="forwarding",
        )

    def change(self, forward: Forward) -> None:
        """Carry new connections elsewhere. The port and its connections stay."""
        self.forward = forward
        self.log.info(
            "forwarding {where} to {protocol} of {peer} from now on",
            where=self.where,
            protocol=forward.protocol,
            peer=forward.name,
            event="forwarding",
        )

    def remove(self) -> int:
        """
        Close the port, and tell the peers of the connections, which end.

        @return: how many those are.
        """
        ended = self.connections.end_those(
            lambda peer: True, StreamReason.CANCELLED, "it is not forwarded any more"
        )
        self.stop()
        return ended

    def pause(self) -> Deferred[None]:
        """Close the port. Its connections stay; L{start} opens it again."""
        port, self._port = self._port, None
        return Deferred.fromCoroutine(_closed(port))

    def stop(self) -> Deferred[None]:
        """
        Close the port, and abort the connections.

        @return: fires with C{None} when none is left.
        """
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        self._ended = True
        port, self._port = self._port, None
        await _closed(port)
        await self.connections.abort_all()

    def status(self) -> dict[str, object]:
        """Its entry in the daemon's status."""
        return {
            "listen": self.where,
            "peer": str(self.forward.name),
            "protocol": self.forward.protocol,
            "keep": self.forward.keep,
            "open": len(self.connections),
        }

    def buildProtocol(self, addr: IAddress | None) -> SpliceEnd | None:
        """Ask the peer for a stream, for a program that connects."""
        # more could not be carried: each of them needs a stream with that peer
        most = self._service.settings.max_streams
        if len(self.connections) >= most:
            self._quiet.info(
                "too many connections",
                "a connection to {where} was closed: there are {most}, and max_streams allows no more",
                where=self.where,
                most=most,
            )
            if self.reports is not None:
                self.reports.failed(self.forward.name, f"there are {most}, and max_streams allows no more")
            return None
        return self.connections.new(self.forward.name, self.forward.protocol, self._open).near

    def _open(self, splice: Splice) -> None:
        opened = Deferred.fromCoroutine(self._opened(splice))
        # the end of the near connection cancels this
        splice.opening = opened
        opened.addErrback(self._not_opened, splice)

    async def _opened(self, splice: Splice) -> None:
        peer = await self._find()
        self.connections.found(splice, peer)
        # patient: the program that connects cannot know whether the node has joined its network
        await streams_of(self._service).open(
            peer,
            self.forward.protocol,
            ReadyProtocolFactory(splice.far),
            self.forward.keep,
            patient=True,
        )
        if self.reports is not None:
            self.reports.connected(peer)

    async def _find(self) -> Name:
        """
        Whose nickname it is. Just after the start no other member has shown its certificate yet.

        @raise InvalidName: nobody has it who is known by then.
        """
        clock = self._service.clock
        begun = clock.seconds()
        while True:
            try:
                return self._service.name_of(self.forward.name)
            except InvalidName:
                patience = FIND_SECONDS if self._service.bootstrapped else UNREACHABLE_SECONDS
                if clock.seconds() - begun >= patience:
                    raise
            await deferLater(clock, FIND_AGAIN_SECONDS)

    def _not_opened(self, failure: Failure, splice: Splice) -> None:
        if not splice.near.connected:
            return  # the program has hung up meanwhile
        self._quiet.info(
            "not carried",
            "a connection to {where} was not carried to {protocol} of {peer}: {problem}",
            where=self.where,
            protocol=self.forward.protocol,
            peer=self.forward.name,
            problem=problem_text(failure.value),
            event="not carried",
        )
        if self.reports is not None:
            self.reports.failed(self.forward.name, problem_text(failure.value))
        splice.near.end(failure)


async def _closed(port: IListeningPort | None) -> None:
    if port is not None:
        await maybeDeferred(port.stopListening)


def _in_words(address: Any, otherwise: str) -> str:
    host, port = getattr(address, "host", None), getattr(address, "port", None)
    if host is None or port is None:
        return otherwise
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

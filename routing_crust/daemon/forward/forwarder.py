"""
Forwards a local port: carries its connections to a protocol that a peer exposes.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IListeningPort, IStreamServerEndpoint
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from ...errors import problem_text
from ...forwarding_rules import Forward
from ...routing.service import RoutingService
from ...streams import streams_of
from .connections import ReadyProtocolFactory
from .local_port import LocalPort
from .splice import Splice, SpliceEnd


class PortForwarder(LocalPort, Factory):
    """A TCP port, or a UNIX socket: each connection to it has a stream."""

    noisy = False

    def __init__(self, forward: Forward, endpoint: IStreamServerEndpoint, service: RoutingService) -> None:
        super().__init__(forward, service)
        self._endpoint = endpoint

    async def _listen(self) -> IListeningPort:
        return await self._endpoint.listen(self)

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
            early=splice.early,
        )
        if self.reports is not None:
            self.reports.connected(peer)

    def _not_opened(self, failure: Failure, splice: Splice) -> None:
        if not splice.near.connected:
            return  # the program has hung up meanwhile
        self._quiet.info(
            "not carried",
            "a connection to {where} was not carried to {protocol} of {who}: {problem}",
            where=self.where,
            who=self._who,
            protocol=self.forward.protocol,
            peer=self.forward.name,
            problem=problem_text(failure.value),
            event="not carried",
        )
        if self.reports is not None:
            self.reports.failed(self.forward.name, problem_text(failure.value))
        splice.near.end(failure)

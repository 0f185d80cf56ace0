"""
A local port whose traffic is carried to a protocol of a peer, whatever kind of port that is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable
from typing import Any, Final

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.task import deferLater
from twisted.logger import Logger

from ...errors import CannotListen, InvalidName
from ...forwarding_rules import Forward
from ...limits import UNREACHABLE_SECONDS
from ...names import Name
from ...quietlog import QuietLog
from ...routing.service import RoutingService
from ...streams import StreamReason
from .connections import CarriedConnections
from .local_endpoints import listening_problem
from .reports import Reports

FIND_SECONDS: Final = 10.0
"""How long a connection waits for the nickname of its peer to be known, once this node is in its network."""
FIND_AGAIN_SECONDS: Final = 0.5


class LocalPort(ABC):
    """
    Made by a L{ForwardRegistry<routing_crust.daemon.forward.registry.ForwardRegistry>}.

    @ivar forward: the port, the peer and the protocol.
    @ivar where: the address that it listens on, in words.
    @ivar connections: the open connections.
    @ivar reports: where the operator hears of the peer; C{None} if nowhere.
    """

    reports: Reports | None = None

    log = Logger()

    def __init__(self, forward: Forward, service: RoutingService) -> None:
        self.connections = CarriedConnections("forwarded", service.clock)
        self.forward = forward
        self.where = forward.listen
        self._service = service
        self._quiet = QuietLog(self.log, service.clock.seconds)
        self._port: IListeningPort | None = None
        self._ended = False

    @abstractmethod
    def _listen(self) -> Awaitable[IListeningPort]:
        """Open the port. It may raise and fail with what Twisted's ports do."""

    def start(self) -> Deferred[None]:
        """
        Open the port.

        @return: fires with C{None} when it does; fails with L{CannotListen}.
        """
        return Deferred.fromCoroutine(self._start())

    async def _start(self) -> None:
        try:
            port = await self._listen()
        except (CannotListenError, OSError, ValueError) as error:
            listen = self.forward.listen
            raise CannotListen(f"cannot listen on {listen}: {listening_problem(listen, error)}") from None
        # stopped while the endpoint was at it, so stop() did not see the port
        if self._ended:
            await maybeDeferred(port.stopListening)
            return
        self._port = port
        self.where = _in_words(port.getHost(), self.forward.listen)
        self.log.info(
            "forwarding {where} to {protocol} of {who}",
            where=self.where,
            who=self._who,
            protocol=self.forward.protocol,
            peer=self.forward.name,
            event="forwarding",
        )

    def change(self, forward: Forward) -> None:
        """Carry new connections elsewhere. The port and its connections stay."""
        self.forward = forward
        self.log.info(
            "forwarding {where} to {protocol} of {who} from now on",
            where=self.where,
            who=self._who,
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

    def drain(self) -> None:
        """Carry nothing new; connections that are open stay. For good."""
        self.pause()

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
            "dropped": self.connections.carried.dropped,
        }

    @property
    def _who(self) -> str:
        """What people call the peer."""
        peer = self.forward.name
        return self._service.directory.describe(peer) if isinstance(peer, Name) else peer

    async def _find(self) -> Name:
        """
        The node with the nickname. Just after the start no other member has shown its certificate yet.

        @raise InvalidName: nobody has it who is known by then.
        """
        clock = self._service.clock
        begun = clock.seconds()
        while True:
            try:
                return self._service.name_of(self.forward.name)
            except InvalidName:
                # outside the network no certificate can come, so the time of a dial counts
                patience = FIND_SECONDS if self._service.bootstrapped else UNREACHABLE_SECONDS
                if clock.seconds() - begun >= patience:
                    raise
            await deferLater(clock, FIND_AGAIN_SECONDS)


async def _closed(port: IListeningPort | None) -> None:
    if port is not None:
        await maybeDeferred(port.stopListening)


def _in_words(address: Any, otherwise: str) -> str:
    host, port = getattr(address, "host", None), getattr(address, "port", None)
    if host is None or port is None:
        return otherwise
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

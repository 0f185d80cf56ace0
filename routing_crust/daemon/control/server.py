"""
The control socket: where the console script tells the daemon what to do.

It lies in the state directory, which nobody else may enter, and has mode 0600. A client that does not read is
not read from either, and what is queued for it is bounded.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IListeningPort, IReactorTime
from twisted.internet.protocol import Factory

from ...errors import CannotListen
from ...routing.service import RoutingService
from ...timing.timers import cancel
from ..forward.registry import ForwardRegistry
from .connection import CommandHandler, ControlConnection
from .inbox import DaemonInbox
from .messages import Command

SOCKET_MODE: Final = 0o600
CLOSE_TIMEOUT_SECONDS: Final = 2.0
"""From the end of the socket until clients that have not read what is queued for them are cut off."""


class ControlServer(Factory):
    """
    The connections to the control socket. Made by the daemon, discarded with L{stop}.

    @ivar service: the node that is controlled.
    @ivar inbox: where messages come from.
    @ivar handlers: what answers commands of a kind.
    @ivar connections: those that are up, the oldest first.
    """

    noisy = False

    def __init__(
        self,
        service: RoutingService,
        inbox: DaemonInbox,
        facts: Callable[[], dict[str, object]],
        registry: ForwardRegistry | None = None,
    ) -> None:
        """
        @param facts: what the daemon adds to the status of the service.
        @param registry: what programs may have streams of; C{None} gives them none.
        """
        self.service = service
        self.inbox = inbox
        self.registry = registry
        self._facts = facts
        self.handlers: dict[type[Command], CommandHandler] = {}
        self.connections: list[ControlConnection] = []
        self._port: IListeningPort | None = None
        self._all_gone: Deferred[None] | None = None

    def handle(self, kind: type[Command], handler: CommandHandler) -> None:
        """Have commands of a kind answered by a part of the daemon that not each daemon has."""
        self.handlers[kind] = handler

    def listen(self, path: Path, reactor: Any) -> None:
        """
        Listen on a socket. One that a killed daemon has left behind is removed, so the caller must hold the
        lock of the state directory.

        @raise CannotListen: the socket cannot be made; the text says why.
        """
        try:
            # bind() refuses a path that exists, even if nothing listens there any more
            path.unlink(missing_ok=True)
            self._port = reactor.listenUNIX(str(path), self, mode=SOCKET_MODE)
        except CannotListenError as error:
            raise CannotListen(f"the control socket {path} cannot be made: {error.socketError}") from None
        except OSError as error:
            raise CannotListen(f"the control socket {path} cannot be made: {error.strerror}") from None

    def stop(self, clock: IReactorTime) -> Deferred[None]:
        """
        Close the socket, which removes its file, and every connection.

        @return: fires with C{None} when none is left: after L{CLOSE_TIMEOUT_SECONDS} at the latest, when
            clients that have not read what is queued for them are cut off.
        """
        return Deferred.fromCoroutine(self._stop(clock))

    async def _stop(self, clock: IReactorTime) -> None:
        # no new connections from here on, so that those that are left can only become fewer
        port, self._port = self._port, None
        if port is not None:
            await maybeDeferred(port.stopListening)
        if self.connections:
            self._all_gone = Deferred()
            for connection in list(self.connections):
                connection.close()
            # a client that does not read would keep the daemon from stopping
            timer = clock.callLater(CLOSE_TIMEOUT_SECONDS, self._abort)
            await self._all_gone
            cancel(timer)

    def _abort(self) -> None:
        for connection in list(self.connections):
            connection.abort()

    def status(self) -> dict[str, object]:
        """The status of the daemon and its node."""
        return {**self.service.status(), **self._facts(), "listeners": len(self.inbox)}

    def buildProtocol(self, addr: IAddress | None) -> ControlConnection:
        """Make the protocol of a program that connects."""
        return ControlConnection(self)

    def connected(self, connection: ControlConnection) -> None:
        """A connection is up."""
        self.connections.append(connection)

    def disconnected(self, connection: ControlConnection) -> None:
        """A connection is gone."""
        self.connections.remove(connection)
        self.inbox.remove(connection)
        if self._all_gone is not None and not self.connections:
            self._all_gone.callback(None)

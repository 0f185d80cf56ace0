"""A daemon of a server and one of a client, on this machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from routing_crust import Role, Settings
from routing_crust.daemon.control.messages import StatusCommand, StatusReply
from routing_crust.daemon.endpoints.client import LocalDaemon
from routing_crust.daemon.node import NodeService
from routing_crust.endpoints import Endpoint
from routing_crust.forwarding_rules import Nickname
from tests.streams.protocols import HalfCloseable, Keeping

from ..fakes import temporary_directory

reactor: Any = _reactor


class Waiting(HalfCloseable):
    """Says when something has happened to it."""

    def __init__(self) -> None:
        super().__init__()
        self._waiters: list[tuple[Callable[[], object], Deferred[None]]] = []

    def until(self, what: Callable[[], object]) -> Deferred[None]:
        waiter: Deferred[None] = Deferred()
        self._waiters.append((what, waiter))
        self.look()
        return waiter

    def look(self) -> None:
        for entry in list(self._waiters):
            if entry[0]():
                self._waiters.remove(entry)
                entry[1].callback(None)

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        self.look()

    def readConnectionLost(self) -> None:
        super().readConnectionLost()
        self.look()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        self.look()


class LocalCase(TestCase):
    """A server's daemon and a client's, linked."""

    async def begin(self, **settings: Any) -> None:
        self.daemons: list[NodeService] = []
        self.sockets: list[str] = []
        server = self.daemon(role=Role.FIRST)
        assert server.routing is not None
        self.name = server.routing.node_name
        nickname = Nickname("server", self.name)
        client = self.daemon(contacts=(server.routing.contact,), nicknames=(nickname,), **settings)
        assert client.routing is not None
        self.client_name = client.routing.node_name
        await client.routing.when_connected()

    def daemon(self, folder: Path | None = None, **settings: Any) -> NodeService:
        folder = folder or temporary_directory(self)
        service = NodeService(
            Settings(
                listen=(Endpoint("127.0.0.1", 0),),
                lan_discovery=False,
                port_mapping=False,
                state_dir=folder,
                **settings,
            ),
            folder,
            reactor,
        )
        service.startService()
        self.addCleanup(service.stopService)
        self.daemons.append(service)
        self.sockets.append(f"socket={folder}/control.sock")
        return service

    async def offer(self, factory: Any, protocol: str = "echo", more: str = "") -> Any:
        text = f"routing:{protocol}:{self.sockets[0]}{more}"
        port: Any = await serverFromString(reactor, text).listen(factory)
        self.addCleanup(port.stopListening)
        return port

    def connect(self, name: str = "server", protocol: str = "echo", factory: Any = None) -> Deferred[Any]:
        text = f"routing:{name}/{protocol}:{self.sockets[1]}"
        connecting: Deferred[Any] = clientFromString(reactor, text).connect(factory or Keeping(Waiting))
        return connecting

    def local(self, number: int) -> LocalDaemon:
        return LocalDaemon(reactor, Path(self.sockets[number].removeprefix("socket=")))

    async def fails(self, deferred: Deferred[Any], *kinds: type[Exception]) -> str:
        return str(await self.assertFailure(deferred, *kinds))

    async def status(self, number: int) -> Any:
        call, reply = await self.local(number).call(StatusCommand(), StatusReply)
        call.abort()
        return reply.status

    async def turns(self) -> None:
        """Let the reactor do what is due, in both processes that this one plays."""
        for _ in range(50):
            turn: Deferred[None] = Deferred()
            reactor.callLater(0, turn.callback, None)
            await turn

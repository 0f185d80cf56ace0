"""The reference for acknowledged messages: AMP's C{callRemote} over the same TLS."""

from __future__ import annotations

from typing import Any

from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, wrapClientTLS
from twisted.internet.protocol import Factory
from twisted.protocols.amp import AMP, Command, String
from twisted.protocols.tls import TLSMemoryBIOFactory

from .credentials import client_options, server_options
from .tools import ask_all


class Send(Command):
    """Take a message. The answer says only that it is there."""

    arguments = [(b"body", String())]  # noqa: RUF012
    response = []  # noqa: RUF012


class Receiving(AMP):
    """The server's end."""

    def makeConnection(self, transport: Any) -> None:
        """As AMP does it, but without delay."""
        transport.setTcpNoDelay(True)
        super().makeConnection(transport)  # type: ignore[no-untyped-call]

    @Send.responder
    def message(self, body: bytes) -> dict[str, Any]:
        """One message."""
        return {}


class AMPActor:
    """Either end."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._protocol: Any = None

    async def do_listen(self, mode: str) -> int:
        """Start to serve. Returns the port."""
        wrapped = TLSMemoryBIOFactory(server_options(), False, Factory.forProtocol(Receiving))
        endpoint = TCP4ServerEndpoint(self._reactor, 0, interface="127.0.0.1")
        listening: Any = await endpoint.listen(wrapped)
        port: int = listening.getHost().port
        return port

    async def do_connect(self, port: int, mode: str) -> None:
        """Connect."""
        tcp = TCP4ClientEndpoint(self._reactor, "127.0.0.1", port)
        endpoint = wrapClientTLS(client_options(), tcp)
        self._protocol = await endpoint.connect(Factory.forProtocol(AMP))
        self._protocol.transport.setTcpNoDelay(True)

    async def do_ask(self, size: int, count: int, window: int) -> float:
        """Send messages. Returns how many were acknowledged in a second."""
        protocol = self._protocol
        body = bytes(size)
        return await ask_all(lambda: protocol.callRemote(Send, body=body), count, window)

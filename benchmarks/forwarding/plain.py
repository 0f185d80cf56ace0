"""The local programs at the two ends of a forward: plain TCP, with the protocols of the other streams."""

from __future__ import annotations

from time import perf_counter
from typing import Any

from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.protocol import Factory, ServerFactory

from ..streaming import MODES, Asking, StreamingActor
from ..tools import in_parallel


class PlainStreams(StreamingActor):
    """Either end."""

    async def do_listen(self, mode: str) -> int:
        """Serve. Returns the port."""
        endpoint = TCP4ServerEndpoint(self.reactor, 0, interface="127.0.0.1", backlog=512)
        listening: Any = await endpoint.listen(ServerFactory.forProtocol(MODES[mode]))
        port: int = listening.getHost().port
        return port

    def do_connect(self, port: int, mode: str) -> None:
        """Know where the forward listens."""
        self._endpoint = TCP4ClientEndpoint(self.reactor, "127.0.0.1", port)

    async def connection(self, mode: str) -> Asking:
        made: Any = await self._endpoint.connect(Factory.forProtocol(Asking))
        assert isinstance(made, Asking)
        return made

    async def do_open(self, count: int, slots: int) -> float:
        """Connect to an echo, have one answer, and hang up. Returns how many times in a second."""

        async def once(_: int) -> None:
            made = await self.connection("echo")
            # who forwards accepts before the other end has answered
            await made.echo()
            made.transport.loseConnection()
            await made.lost

        start = perf_counter()
        await in_parallel(once, count, slots)
        return count / (perf_counter() - start)

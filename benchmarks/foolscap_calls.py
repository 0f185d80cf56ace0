"""
Foolscap: remote calls between two Tubs, over its own TLS, for those who would otherwise use that.
"""

from __future__ import annotations

import socket
from time import perf_counter
from typing import Any

from foolscap.api import Referenceable, Tub

from .streaming import BLOCK
from .tools import ask_all, in_parallel

SLOTS = 16
"""Blocks that are on their way at a time."""


class Taker(Referenceable):  # type: ignore[misc]
    """Takes what it is given, and says how much it was."""

    def remote_take(self, body: bytes) -> int:
        """Foolscap calls this for the remote end."""
        return len(body)


class FoolscapActor:
    """Either end."""

    def __init__(self, reactor: Any) -> None:
        self._tub = Tub()

    def do_listen(self, mode: str) -> str:
        """Serve. Returns where, as Foolscap has it."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self._tub.listenOn(f"tcp:{port}:interface=127.0.0.1")
        self._tub.setLocation(f"tcp:127.0.0.1:{port}")
        self._tub.startService()
        self._taker = Taker()
        return str(self._tub.registerReference(self._taker))

    async def do_connect(self, port: str, mode: str) -> None:
        """Connect."""
        self._tub.startService()
        self._remote: Any = await self._tub.getReference(port)

    async def do_ask(self, size: int, count: int, window: int) -> float:
        """Make calls with this many bytes each. Returns how many were answered in a second."""
        remote, body = self._remote, bytes(size)
        return await ask_all(lambda: remote.callRemote("take", body), count, window)

    def do_open_streams(self, mode: str, count: int) -> None:
        """There are none; blocks are arguments of calls."""

    async def do_send(self, blocks: int) -> list[float]:
        """Give blocks to calls. Returns as L{benchmarks.streaming.StreamingActor.do_send} does."""

        async def call(_: int) -> None:
            await self._remote.callRemote("take", BLOCK)

        start = perf_counter()
        await in_parallel(call, blocks, SLOTS)
        return [blocks / (perf_counter() - start), 1.0, 1.0]

"""
Dask by name: routing://NAME/PROTOCOL is the address of a scheduler, a worker or a client's end.

CRUST_ALLOW says who may connect: names, nicknames or tag:TAG, separated by spaces. They can run any code
here; without it nobody may. CRUST_OPTIONS chooses the daemon, such as "--state-dir=/srv/node".
"""

import asyncio
import os
import socket
import struct
import subprocess
import uuid
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from distributed.comm.core import BaseListener, Comm, CommClosedError, Connector
from distributed.comm.registry import Backend, backends
from distributed.comm.utils import from_frames, to_frames

OPTIONS = os.environ.get("CRUST_OPTIONS", "").split()
SOCKETS = Path.home() / ".cache" / "dask-crust"
READ_BYTES = 1 << 20


@cache
def own_name() -> str:
    return subprocess.run(
        ["routing-crust", "name", *OPTIONS], check=True, stdout=subprocess.PIPE, text=True
    ).stdout.strip()


def split(address: str) -> tuple[str, str]:
    # Dask puts a port behind what it has been given as a host
    name, _, protocol = address.partition(":")[0].partition("/")
    return name, protocol


class StreamComm(Comm):  # type: ignore[misc]
    """A message is the number of its frames, the length of each, and the frames."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, peer: str, deserialize: bool
    ) -> None:
        super().__init__(deserialize)
        self._reader, self._writer = reader, writer
        self._local_addr, self._peer_addr = f"routing://{own_name()}", f"routing://{peer}"

    @property
    def local_address(self) -> str:
        return self._local_addr

    @property
    def peer_address(self) -> str:
        return self._peer_addr

    async def read(self, deserializers: Any = None) -> Any:
        try:
            (count,) = await self._numbers(1)
            frames = [await self._reader.readexactly(size) for size in await self._numbers(count)]
        except (OSError, EOFError) as error:
            self.abort()
            raise CommClosedError(f"{self._peer_addr} is gone: {error}") from error
        except BaseException:
            # a message that is broken off leaves the rest of it in the way
            self.abort()
            raise
        how = {"deserialize": self.deserialize, "deserializers": deserializers}
        return await from_frames(frames, allow_offload=self.allow_offload, **how)

    async def _numbers(self, count: int) -> tuple[int, ...]:
        return struct.unpack(f">{count}Q", await self._reader.readexactly(8 * count))

    async def write(self, msg: Any, serializers: Any = None, on_error: str = "message") -> int:
        context = {"sender": self.local_info, "recipient": self.remote_info, **self.handshake_options}
        how = {"serializers": serializers, "on_error": on_error, "context": context}
        frames = [memoryview(each).cast("B") for each in await to_frames(msg, self.allow_offload, **how)]
        sizes = [each.nbytes for each in frames]
        if self.closed():
            raise CommClosedError(f"{self._peer_addr} is gone")
        try:
            self._writer.write(struct.pack(f">{len(sizes) + 1}Q", len(sizes), *sizes))
            self._writer.writelines(frames)
            await self._writer.drain()
        except OSError as error:
            self.abort()
            raise CommClosedError(f"{self._peer_addr} is gone: {error}") from error
        return sum(sizes)

    async def close(self) -> None:
        self._writer.close()

    def abort(self) -> None:
        self._writer.transport.abort()

    def closed(self) -> bool:
        return self._writer.is_closing()


class NameConnector(Connector):  # type: ignore[misc]
    async def connect(self, address: str, deserialize: bool = True, **_: Any) -> StreamComm:
        name, protocol = split(address)
        if name == own_name():
            # a node has no link with itself
            ends = await asyncio.open_unix_connection(str(SOCKETS / protocol), limit=READ_BYTES)
        else:
            here, there = socket.socketpair()
            with there:
                command = ("routing-crust", "pipe", *OPTIONS, f"{name}/{protocol}")
                await asyncio.create_subprocess_exec(*command, stdin=there.fileno(), stdout=there.fileno())
            ends = await asyncio.open_connection(sock=here, limit=READ_BYTES)
        return StreamComm(*ends, address, deserialize)


class NameListener(BaseListener):  # type: ignore[misc]
    prefix = "routing://"

    def __init__(self, address: str, handler: Callable[[Comm], Any], deserialize: bool, **more: Any) -> None:
        super().__init__()
        self._protocol = split(address)[1] or f"dask-{uuid.uuid4().hex[:12]}"
        self._handler, self._deserialize = handler, deserialize
        self._offloads = more.get("allow_offload", True)

    async def start(self) -> None:
        SOCKETS.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = SOCKETS / self._protocol
        self._server = await asyncio.start_unix_server(self._serve, path, limit=READ_BYTES)
        allow = [f"--allow={each}" for each in os.environ.get("CRUST_ALLOW", "").split()]
        self._exposing = await asyncio.create_subprocess_exec(
            *("routing-crust", "expose", *OPTIONS, *allow, f"{self._protocol}=unix:{path}"),
            stdout=subprocess.PIPE,
        )
        assert self._exposing.stdout is not None
        if not await self._exposing.stdout.readline():
            self._server.close()
            raise OSError(f"{self._protocol} is not exposed: 'routing-crust expose' has said why")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        comm = StreamComm(reader, writer, "somebody", self._deserialize)
        comm.allow_offload = self._offloads
        try:
            await self.on_connection(comm)
        except CommClosedError:
            return
        await self._handler(comm)

    def stop(self) -> None:
        self._server.close()
        if self._exposing.returncode is None:
            self._exposing.terminate()
        (SOCKETS / self._protocol).unlink(missing_ok=True)

    @property
    def listen_address(self) -> str:
        return f"routing://{own_name()}/{self._protocol}"

    @property
    def contact_address(self) -> str:
        return self.listen_address


class NameBackend(Backend):  # type: ignore[misc]
    def get_connector(self) -> NameConnector:
        return NameConnector()

    def get_listener(
        self, loc: str, handle_comm: Callable[[Comm], Any], deserialize: bool, **more: Any
    ) -> NameListener:
        return NameListener(loc, handle_comm, deserialize, **more)

    def get_address_host(self, loc: str) -> str:
        return split(loc)[0]

    def resolve_address(self, loc: str) -> str:
        return loc

    def get_local_address_for(self, loc: str) -> str:
        return own_name()


backends["routing"] = NameBackend()

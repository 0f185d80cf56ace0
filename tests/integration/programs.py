"""
Programs of others as child processes: servers and clients that know nothing of this package.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import randrange
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

SBIN = ("/usr/sbin", "/sbin", "/usr/local/sbin")
POSTGRESQL = Path("/usr/lib/postgresql")
PORTS = (15_000, 32_000)
"""Below those that systems take for outgoing connections: Linux from 32768 on, others from 49152."""


def find(program: str) -> str | None:
    """Where a program is, also where only root looks, and where Debian keeps those of PostgreSQL."""
    folders = [*os.environ.get("PATH", "").split(os.pathsep), *SBIN]
    if POSTGRESQL.is_dir():
        folders += [str(each / "bin") for each in sorted(POSTGRESQL.iterdir(), reverse=True)]
    return shutil.which(program, path=os.pathsep.join(folders))


def missing(packages: dict[str, str]) -> str:
    """
    What to say if some of these programs are not here; C{""} if all are.

    @param packages: the Debian packages that have them, by their names.
    """
    gone = [(program, package) for program, package in packages.items() if find(program) is None]
    if not gone:
        return ""
    programs = ", ".join(program for program, _ in gone)
    return f"{programs} not here: apt-get install {' '.join(dict.fromkeys(package for _, package in gone))}"


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on, and that the system gives to nobody by itself."""
    while True:
        port = randrange(*PORTS)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def unprivileged() -> tuple[int, int] | None:
    """The ids of a user to run as what must not be root; C{None} if we are not."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return user.pw_uid, user.pw_gid
    return None


class Program(ProcessProtocol):
    """
    A child process.

    @ivar out: what it has written, to its standard output and error.
    @ivar ended: fires with its exit code, or minus its signal.
    """

    def __init__(self, *command: str, ids: tuple[int, int] | None = None, **environment: str) -> None:
        self.out = b""
        self.status: int | None = None
        self.ended: Deferred[int] = Deferred()
        self._waiting: list[tuple[Callable[[], object], Deferred[None]]] = []
        uid, gid = ids or (None, None)
        reactor.spawnProcess(  # type: ignore[attr-defined]
            self,
            command[0],
            command,
            env={**os.environ, "LC_ALL": "C", **environment},
            uid=uid,
            gid=gid,
            path="/" if ids else None,
            childFDs={0: "w", 1: "r", 2: "r"},
        )

    def childDataReceived(self, child: int, data: bytes) -> None:
        self.out += data
        self._look()

    def processEnded(self, reason: Failure) -> None:
        value: Any = reason.value
        self.status = value.exitCode if value.signal is None else -value.signal
        self._look()
        self.ended.callback(self.status)

    def says(self, text: bytes) -> Deferred[None]:
        """
        @return: fires when it has written this; fails when it has ended without.
        """
        waiter: Deferred[None] = Deferred()
        self._waiting.append((lambda: text in self.out, waiter))
        self._look()
        return waiter

    def signal(self, number: int) -> None:
        try:
            self.transport.signalProcess(number)  # type: ignore[union-attr]
        except ProcessExitedAlready:
            return

    async def end(self) -> None:
        """Kill it, if it runs, and wait until it is gone."""
        if self.status is None:
            self.signal(9)
            waiter: Deferred[None] = Deferred()
            self._waiting.append((lambda: self.status is not None, waiter))
            await waiter

    def _look(self) -> None:
        for entry in list(self._waiting):
            if entry[0]():
                self._waiting.remove(entry)
                entry[1].callback(None)
            elif self.status is not None:
                self._waiting.remove(entry)
                entry[1].errback(AssertionError(f"it ended with {self.status}: {self.out[-2000:]!r}"))

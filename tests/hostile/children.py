"""Child processes whose output is read line by line."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

reactor: Any = _reactor
ROOT: Final = str(Path(__file__).resolve().parents[2])


def environment() -> dict[str, str]:
    """That of child processes: they import what this one does."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([ROOT, *filter(None, sys.path)])}


class Child(ProcessProtocol):
    """
    A process of this Python.

    @ivar lines: what it has written, to both of its outputs.
    @ivar ended: fires with its exit status; C{None} if a signal has ended it.
    """

    def __init__(self, code: str, arguments: Sequence[str]) -> None:
        self.ended: Deferred[int | None] = Deferred()
        self.lines: list[str] = []
        self._rest: dict[int, bytes] = {}
        self._awaited: list[tuple[str, int, Deferred[None]]] = []
        reactor.spawnProcess(
            self,
            sys.executable,
            [sys.executable, "-c", code, *arguments],
            env=environment(),
            childFDs={0: "w", 1: "r", 2: "r"},
        )

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        *lines, self._rest[childFD] = (self._rest.get(childFD, b"") + data).split(b"\n")
        for raw in lines:
            line = raw.decode(errors="replace")
            self.lines.append(line)
            for each in [each for each in self._awaited if self._has_said(*each[:2])]:
                self._awaited.remove(each)
                each[-1].callback(None)
            self.line(line)

    def line(self, line: str) -> None:
        """It has written a line."""

    def processEnded(self, reason: Failure) -> None:
        self.ended.callback(reason.value.exitCode)  # type: ignore[attr-defined]

    def said(self, text: str, times: int = 1) -> Deferred[None]:
        """Fires when C{times} lines have this text."""
        said: Deferred[None] = Deferred()
        if self._has_said(text, times):
            said.callback(None)
        else:
            self._awaited.append((text, times, said))
        return said

    def _has_said(self, text: str, times: int) -> bool:
        return len([line for line in self.lines if text in line]) >= times

    async def kill(self) -> None:
        """End it, and wait for that."""
        try:
            self.transport.signalProcess("KILL")  # type: ignore[union-attr]
        except ProcessExitedAlready:
            return
        await self.ended


class Command(Child):
    """C{routing-crust} as a child process."""

    def __init__(self, *arguments: str) -> None:
        super().__init__("from routing_crust.daemon.cli import main; main()", arguments)

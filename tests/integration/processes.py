"""
Daemons and commands as real processes, for tests that wait for what they print.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.utils import getProcessOutputAndValue
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

_TWISTD = "from twisted.scripts.twistd import run; run()"
_CLI = "from routing_crust.daemon.cli import main; main()"
_ROOT = str(Path(__file__).resolve().parents[2])
_TABLE = re.compile(r"\b(\w{8})\w*\)? (is in|has left) the routing table")
"""A name in full or, after a nickname, the beginning of it."""
_CONTACT = re.compile(r" contact: ((\w{52})@(\S+))")
PATIENCE_SECONDS = 300.0
"""A bound on hanging, not on speed: what a test waits for comes far sooner, even on a busy machine."""


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([_ROOT, *filter(None, sys.path)])}


class Daemon(ProcessProtocol):
    """
    C{twistd -n routing-node} as a child process.

    @ivar ended: fires with the exit status, or minus the signal, when the process is gone.
    """

    def __init__(self, case: DaemonCase, state_dir: Path, *options: str) -> None:
        self._case = case
        self._rest = b""
        self.state_dir = state_dir
        self.lines: list[str] = []
        self._table: set[str] = set()
        self.contact = self.name = self.endpoint = ""
        self.status: int | None = None
        self.ended: Deferred[int] = Deferred()
        arguments = ["-n", "--pidfile=", "routing-node", "--log-level=debug", "--no-lan-discovery"]
        arguments.append(f"--state-dir={state_dir}")
        reactor.spawnProcess(  # type: ignore[attr-defined]
            self,
            sys.executable,
            [sys.executable, "-c", _TWISTD, *arguments, *options],
            env=environment(),
            childFDs={0: "w", 1: "r", 2: 1},
        )

    def childDataReceived(self, child: int, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for raw in lines:
            line = raw.decode(errors="replace")
            self.lines.append(line)
            contact, table = _CONTACT.search(line), _TABLE.search(line)
            if contact:
                self.contact, self.name, self.endpoint = contact.groups()
            if table:
                (self._table.add if table[2] == "is in" else self._table.discard)(table[1])
        self._case.something_happened()

    def processEnded(self, reason: Failure) -> None:
        value: Any = reason.value
        self.status = value.exitCode if value.signal is None else -value.signal
        self.ended.callback(self.status)
        self._case.something_happened()

    def said(self, text: str) -> bool:
        """Whether some line holds this text."""
        return any(text in line for line in self.lines)

    @property
    def table(self) -> set[str]:
        """The names of the case's daemons that its log says are in its routing table."""
        return {each.name for each in self._case.daemons if each.name and each.name[:8] in self._table}

    @property
    def state(self) -> str:
        """The last state that the log tells of."""
        states = [found[1] for line in self.lines if (found := re.search(r" (\w+) \(was \w+\)", line))]
        return states[-1] if states else "disconnected"

    def signal(self, number: int) -> None:
        try:
            self.transport.signalProcess(number)  # type: ignore[union-attr]
        except ProcessExitedAlready:
            return


class DaemonCase(TestCase):
    """Starts daemons and commands in folders of its own, and ends them."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir(parents=True)
        self.daemons: list[Daemon] = []
        self._waiting: list[tuple[Callable[[], object], Deferred[None]]] = []
        self.addCleanup(self.end_all)

    def start(self, name: str, *options: str) -> Daemon:
        """Start a daemon whose state is in the folder of this name."""
        # a socket's path may have 107 bytes, and trial's folders are deep
        state_dir = Path("/tmp") / f"rc-{os.getpid()}-{self.id().rsplit('.', 1)[-1][-12:]}-{name}"
        daemon = Daemon(self, state_dir, *options)
        self.daemons.append(daemon)
        return daemon

    async def until(self, what: Callable[[], object], patience: float = PATIENCE_SECONDS) -> None:
        """Wait until this holds; it is looked at whenever a daemon has printed something or has ended."""
        if what():
            return
        waiter: Deferred[None] = Deferred()
        entry = (what, waiter)
        self._waiting.append(entry)
        too_late = reactor.callLater(patience, self._give_up, entry)  # type: ignore[attr-defined]
        await waiter
        too_late.cancel()

    def something_happened(self) -> None:
        for entry in list(self._waiting):
            if entry in self._waiting and entry[0]():
                self._waiting.remove(entry)
                entry[1].callback(None)

    def _give_up(self, entry: tuple[Callable[[], object], Deferred[None]]) -> None:
        self._waiting.remove(entry)
        logs = "\n".join(f"--- {each.state_dir}\n" + "\n".join(each.lines[-40:]) for each in self.daemons)
        entry[1].errback(self.failureException(f"it did not happen\n{logs}"))

    async def run_command(self, *arguments: str) -> tuple[str, str, int]:
        """Run C{routing-crust}: what it wrote to its standard output and error, and its exit status."""
        out, err, status = await getProcessOutputAndValue(
            sys.executable, ["-c", _CLI, *arguments], env=environment()
        )
        return out.decode(), err.decode(), status

    async def end_all(self) -> None:
        for daemon in self.daemons:
            if daemon.status is None:
                daemon.signal(signal.SIGKILL)
        for daemon in self.daemons:
            if daemon.status is None:
                await daemon.ended
            # not before: a daemon that runs writes into it
            shutil.rmtree(daemon.state_dir, ignore_errors=True)

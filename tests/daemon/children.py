"""
Child processes for the tests: daemons and scripts, waited for by the lines that they write.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ProcessDone
from twisted.internet.interfaces import IProcessProtocol
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface import implementer

DEADLINE = 300.0
"""In seconds: what has not come by then never will, however slow the machine."""
TWISTD = ("-c", "from twisted.scripts.twistd import run; run()")
TWIST = ("-m", "twisted")
SCRIPT = ("-c", "from routing_crust.daemon.cli import main; main()")


@implementer(IProcessProtocol)
class Child(ProcessProtocol):
    """
    A child process.

    @ivar out: what it has written to its standard output.
    @ivar err: what it has written to its standard error.
    @ivar ended: fires with its exit code: that of a signal is negative.
    """

    def __init__(self) -> None:
        self.out = self.err = ""
        self.ended: Deferred[int] = Deferred()
        self.running = True
        self._waiting: list[tuple[re.Pattern[str], Deferred[str]]] = []

    def wait_for(self, pattern: str, seconds: float = DEADLINE) -> Deferred[str]:
        """
        @param seconds: for how long at most: a bound on hanging.
        @return: fires with the first group of the pattern once it is in the output, at once if it is; fails
            when the process ends without.
        """
        compiled = re.compile(pattern, re.MULTILINE)
        found = compiled.search(self.out)
        if found is not None:
            return succeed(found.group(found.re.groups and 1))
        waiting: Deferred[str] = Deferred()
        self._waiting.append((compiled, waiting))
        return waiting.addTimeout(seconds, reactor, lambda *_: self._never(pattern))

    def outReceived(self, data: bytes) -> None:
        # a terminal makes two characters of the end of a line
        self.out += data.decode().replace("\r\n", "\n")
        for entry in list(self._waiting):
            found = entry[0].search(self.out)
            if found is not None:
                self._waiting.remove(entry)
                entry[1].callback(found.group(found.re.groups and 1))

    def errReceived(self, data: bytes) -> None:
        self.err += data.decode()

    def processEnded(self, reason: Failure) -> None:
        self.running = False
        code = 0 if reason.check(ProcessDone) else _code(reason)
        waiting, self._waiting = self._waiting, []
        for pattern, deferred in waiting:
            deferred.addErrback(lambda _, pattern=pattern: self._never(pattern.pattern))
            deferred.errback(reason)
        self.ended.callback(code)

    def _never(self, pattern: str) -> Any:
        raise AssertionError(f"{pattern!r} never came; there is\n{self.out}\n{self.err}")


_Child = TypeVar("_Child", bound=Child)


class ProcessTestCase(TestCase):
    """A test with child processes; none of them outlives it."""

    def spawn(
        self, command: tuple[str, ...], *arguments: str | Path, folder: Path, terminal: bool = False
    ) -> Child:
        child = Child()
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
        return self.start_child(
            child,
            sys.executable,
            *command,
            *map(str, arguments),
            env=environment,
            path=str(folder),
            usePTY=terminal,
        )

    def start_child(self, child: _Child, program: str, *arguments: str, **how: Any) -> _Child:
        """
        Start a program, which is killed with the test.

        @param how: as for C{spawnProcess}.
        """
        transport = reactor.spawnProcess(child, program, [program, *arguments], **how)

        def end() -> Deferred[int] | None:
            if not child.running:
                return None
            transport.signalProcess("KILL")
            return child.ended

        self.addCleanup(end)
        return child


def _code(reason: Failure) -> int:
    error: Any = reason.value
    return -error.signal if error.signal else error.exitCode

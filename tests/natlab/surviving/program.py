"""
A program on a host of a laboratory, seen from a thread: its lines are kept and waited for.
"""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Callable
from threading import Condition, Thread

from ..lab import Lab
from ..namespaces import PATIENCE
from ..node import environment


class NothingCame(Exception):
    """What was waited for has not come in time, or the program has ended."""


class Program:
    """
    @ivar lines: what it has said.
    @ivar times: when it has said each of them, on the clock of L{time.monotonic}.
    @ivar host: where it runs.
    """

    def __init__(
        self,
        lab: Lab,
        host: str,
        *arguments: str,
        heard: Callable[[str], object] | None = None,
        **options: int,
    ) -> None:
        """
        @param heard: is given each line in the thread that reads, in place of keeping it.
        @param options: of L{subprocess.Popen}: C{user} and C{group}.
        """
        self.host = host
        self.lines: list[str] = []
        self.times: list[float] = []
        self._heard = heard or self._keep
        self._changed = Condition()
        self._ended = False
        self.process = lab.popen(
            host,
            *arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment(),
            **options,
        )
        Thread(target=self._read, daemon=True).start()

    def _keep(self, line: str) -> None:
        self.lines.append(line)
        self.times.append(time.monotonic())

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self._heard(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def tell(self, line: str) -> None:
        """Write a line to it."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def until(self, what: Callable[[], bool], why: str, seconds: float = PATIENCE) -> None:
        """
        Wait until something holds, which is looked at whenever the program says something, and twice a
        second.

        @raise NothingCame: it does not, within C{seconds}, or before the program ends.
        """
        end = time.monotonic() + seconds
        with self._changed:
            while not what():
                if self._ended or time.monotonic() > end:
                    raise NothingCame(f"{self.host}: {why}; the last lines: {self.lines[-8:]}")
                self._changed.wait(0.5)

    def wait(self, pattern: str, seconds: float = PATIENCE, since: int = 0) -> str:
        """
        Wait for a line.

        @param since: the number of lines before those that are looked at.
        @return: the first group of the pattern, or what has matched.
        @raise NothingCame: it does not come.
        """
        compiled = re.compile(pattern)
        found: list[re.Match[str]] = []

        def there() -> bool:
            found[:] = [each for line in self.lines[since:] if (each := compiled.search(line))][:1]
            return bool(found)

        self.until(there, f"{pattern!r} did not come", seconds)
        return found[0].group(compiled.groups and 1)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def end(self) -> None:
        """Kill it, and wait until it is gone."""
        self.process.kill()
        self.process.wait(PATIENCE)

"""
A L{caller<tests.natlab.caller>} somewhere in a laboratory, from the outside: what it says is waited for.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from types import TracebackType
from typing import Any

from routing_crust.endpoints import PathKind

from .lab import Lab
from .namespaces import PATIENCE
from .node import environment


class NothingCame(Exception):
    """What was waited for was not said in time, or the process has ended."""


class Called:
    """
    @ivar name: the node's name, as text.
    @ivar contact: what others need to find it.
    """

    def __init__(self, lab: Lab, place: str, listen: Sequence[str], *contacts: str, call: str = "") -> None:
        """
        Start it, and wait until it is there.

        @param listen: its endpoints.
        @param call: the name of the node that it is to ask for a link.
        @raise NothingCame: it does not start.
        """
        self._place = place
        self._said: list[dict[str, Any]] = []
        self._looked_at = 0
        self._lines: SimpleQueue[str] = SimpleQueue()
        command = [sys.executable, "-m", "tests.natlab.caller", ",".join(listen), *contacts]
        self._process = lab.popen(
            place,
            *command,
            *(["--call", call] if call else []),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # trial has another working directory
            env=environment(),
        )
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()
        node = self.wait("node")
        self.name, self.contact = str(node["name"]), str(node["contact"])

    def __enter__(self) -> Called:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    def end(self) -> None:
        """End it, and wait until it has."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()

    def send_again(self, seconds: float = PATIENCE) -> dict[str, Any]:
        """
        Have it send another message to the node that it has called.

        @return: what it says when that is acknowledged.
        @raise NothingCame: it is not, within C{seconds}.
        """
        assert self._process.stdin is not None
        self._process.stdin.write("again\n")
        self._process.stdin.flush()
        said = len(self._said)
        return self.wait_for(lambda each: each["what"] == "again", seconds, since=said)

    def wait(self, what: str, **values: object) -> dict[str, Any]:
        """
        Wait until it says something, unless it has.

        @param values: what must be in it.
        @return: all that is in it.
        @raise NothingCame: it does not.
        """
        wanted = {"what": what, **values}
        return self.wait_for(lambda each: wanted.items() <= each.items())

    def wait_for(
        self, is_it: Callable[[dict[str, Any]], bool], seconds: float = PATIENCE, since: int = 0
    ) -> dict[str, Any]:
        """
        The same, with a test.

        @param since: how many of the things that it has said are not looked at.
        """
        for each in self._said[since:]:
            if is_it(each):
                return each
        end = time.monotonic() + seconds
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, end - time.monotonic()))
            except Empty:
                raise NothingCame(f"{self._place}: not within {seconds:g} s; it said {self._said}") from None
            if not line:
                raise NothingCame(f"{self._place} has ended; it said {self._said}")
            said = _parsed(line)
            self._said.append(said)
            if is_it(said):
                return said

    def wait_or_go_on(self, is_it: Callable[[dict[str, Any]], bool], seconds: float) -> None:
        """Wait until it says something, or for so long: what comes next does not depend on it."""
        with suppress(NothingCame):
            self.wait_for(is_it, seconds)

    def last_link(self) -> tuple[PathKind | None, float]:
        """The path kind of the last link, and the seconds that it took."""
        links = [each for each in self._said if each["what"] == "link"]
        return (PathKind(links[-1]["path_kind"]), float(links[-1]["seconds"])) if links else (None, 0.0)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._process.stdout.close()
        self._lines.put("")


def _parsed(line: str) -> dict[str, Any]:
    try:
        said = json.loads(line)
    except ValueError:
        said = None
    return said if isinstance(said, dict) and "what" in said else {"what": "noise", "text": line}

"""
Worker processes, seen from the benchmark: start one, call it, stop it.

A call is a line of JSON on the worker's standard input, C{{"id": 1, "do": "listen", "with": {...}}}; the
answer is a line on its standard output, with the same id and either C{ok} or C{error}.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
CALL_TIMEOUT: Final = 120.0
STOP_TIMEOUT: Final = 10.0


class WorkerFailed(Exception):
    """A worker reported an error, ended early or did not answer in time; the text says what it said."""


class Worker:
    """
    One process that plays one part.

    @ivar part: what it is called in errors, C{bare server} for instance.
    """

    def __init__(
        self, actor: str, part: str, core: int, pin: bool = False, profile: str | None = None
    ) -> None:
        """
        @param actor: which of L{benchmarks.worker.ACTORS} to run.
        @param core: which processor core to run on if C{pin} is true, counted among those that are allowed.
        @param profile: a file to write the worker's profile to.
        """
        self.part = f"{actor} {part}"
        command = [sys.executable, "-m", "benchmarks.worker", actor, str(core if pin else -1)]
        if profile is not None:
            command.append(f"{profile}.{actor}.{part}")
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
        self._answers: dict[int, dict[str, Any]] = {}
        self._last_id = 0
        self._partial = b""
        self._selector = selectors.DefaultSelector()
        assert self._process.stdout is not None
        self._selector.register(self._process.stdout, selectors.EVENT_READ)

    def begin(self, do: str, **arguments: Any) -> int:
        """Start a call. Returns its id, for L{result}."""
        self._last_id += 1
        line = json.dumps({"id": self._last_id, "do": do, "with": arguments}).encode() + b"\n"
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line)
            self._process.stdin.flush()
        except BrokenPipeError:
            raise WorkerFailed(f"{self.part} has ended") from None
        return self._last_id

    def result(self, call: int, timeout: float = CALL_TIMEOUT) -> Any:
        """
        Wait for a call to end.

        @raise WorkerFailed: it failed, or did not end in C{timeout} seconds.
        """
        deadline = monotonic() + timeout
        while call not in self._answers:
            if not self._selector.select(max(0.0, deadline - monotonic())):
                raise WorkerFailed(f"{self.part} has not answered for {timeout:g} s")
            self._read()
        answer = self._answers.pop(call)
        if "error" in answer:
            raise WorkerFailed(f"{self.part}: {answer['error']}")
        return answer["ok"]

    def call(self, do: str, **arguments: Any) -> Any:
        """
        Make a call and wait for its end.

        @raise WorkerFailed: as L{result} does.
        """
        return self.result(self.begin(do, **arguments))

    def stop(self) -> None:
        """End the process: its input closes, and it is killed if it does not stop for that."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):  # it may have ended already
            self._process.stdin.close()
        try:
            self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._selector.close()
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        data = os.read(self._process.stdout.fileno(), 1 << 16)
        if not data:
            raise WorkerFailed(f"{self.part} has ended with status {self._process.wait()}")
        *lines, self._partial = (self._partial + data).split(b"\n")
        for line in lines:
            answer = json.loads(line)
            self._answers[answer["id"]] = answer

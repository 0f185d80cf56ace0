"""
Starts the daemon of a state directory in the background, and waits until it is in its network.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple

from ...plain_errors import RoutingCrustError
from ..control.client import ClientError, ControlClient
from ..control.messages import StatusCommand, StatusReply
from ..state_directory import socket_path

LOG_NAME: Final = "node.log"
PID_NAME: Final = "twistd.pid"
START_SECONDS: Final = 60.0
CONNECT_SECONDS: Final = 20.0
FOUND_NO_WAY_SECONDS: Final = 5.0
"""A contact that does not answer at once may do so at the second or third attempt."""
CANNOT_START: Final = "cannot start: "
"""What the daemon's log says before the reason."""
REFUSED: Final = "routing-node: "
"""What is printed before the reason where it is found before there is a log, as for settings."""
FIRST: Final = "first"
"""The role that dials nobody where no contact was ever saved."""
_LOAD: Final = "from routing_crust.daemon.background import main; main()"
_LOOK_EVERY_SECONDS: Final = 0.1
_STATUS_SECONDS: Final = 5.0


class NotStarted(RoutingCrustError):
    """The daemon did not start; the text says where it has written why."""


class Started(NamedTuple):
    """
    A daemon that answers.

    @ivar members: how many members it has links with.
    @ivar problem: why it has no way into its network, as far as it knows by now.
    """

    members: int
    problem: str = ""


class Starter:
    """Starts one daemon. A context manager: at its end a process that was prepared in vain is killed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._problem = ""

    def __enter__(self) -> Starter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()

    def prepare(self) -> None:
        """Begin to load the daemon, which is to be started soon."""
        try:
            self._process = subprocess.Popen(
                (sys.executable, "-c", _LOAD),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
        except OSError as error:
            self._problem = f"{sys.executable}: {error.strerror}"

    def start(self, state_dir: Path, *, alone: bool = False) -> Started:
        """
        Start it.

        @param alone: whether nobody else is in the network yet, so that there is no link to wait for.
        @raise NotStarted: it did not start.
        """
        if self._process is None:
            self.prepare()
        process, self._process = self._process, None
        if process is None:
            raise _not_started(self._problem, state_dir)
        log, pid_file = state_dir / LOG_NAME, state_dir / PID_NAME
        # the state directory has a lock; after a power failure another program may have this number
        pid_file.unlink(missing_ok=True)
        # what an earlier start has failed for is in the same log
        before = log.stat().st_size if log.exists() else 0
        arguments = (f"--pidfile={pid_file}", f"--logfile={log}", "routing-node", f"--state-dir={state_dir}")
        _, printed = process.communicate("\n".join(arguments))
        if process.returncode:
            raise _not_started(_reason(log, before, printed) or f"see {log}", state_dir)
        return _wait(state_dir, log, alone)


def _not_started(reason: str, state_dir: Path) -> NotStarted:
    return NotStarted(
        f"the daemon did not start: {reason}. All else is there, in {state_dir}: when this is mended, "
        f"'routing-crust start --state-dir={state_dir}' starts it"
    )


def _reason(log: Path, before: int, printed: str) -> str:
    """
    Why the daemon has ended, by the last line of its log that says so, or else by what was printed.

    @param before: the size of the log before the start.
    @param printed: what C{twistd} has printed.
    @return: empty if neither says so.
    """
    try:
        with log.open("rb") as file:
            file.seek(before)
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    logged = [each.split(CANNOT_START, 1)[1] for each in lines if CANNOT_START in each]
    refused = [each.removeprefix(REFUSED) for each in printed.splitlines() if each.startswith(REFUSED)]
    return next(reversed(logged or refused), "")


def _wait(state_dir: Path, log: Path, alone: bool) -> Started:
    began = time.monotonic()
    path = socket_path(state_dir)
    while True:
        waited = time.monotonic() - began
        try:
            with ControlClient(path, "") as client:
                status = client.ask(StatusCommand(), StatusReply, _STATUS_SECONDS).status
        except ClientError as error:
            if waited > START_SECONDS:
                raise NotStarted(f"the daemon does not answer ({error}); see {log}") from None
        else:
            started = Started(
                len({link["peer"] for link in status.get("links", ())}), str(status.get("no_way_in", ""))
            )
            if alone or is_settled(status, started, waited) or waited > CONNECT_SECONDS:
                return started
        time.sleep(_LOOK_EVERY_SECONDS)


def is_settled(status: Mapping[str, Any], started: Started, waited: float) -> bool:
    """Whether there is nothing to wait for: it is in, or finds no way, or knows nobody to look for."""
    state = status.get("state")
    if state == "connected":
        return bool(started.members)
    if started.problem:
        return waited > FOUND_NO_WAY_SECONDS
    return state == "disconnected" and status.get("role") == FIRST

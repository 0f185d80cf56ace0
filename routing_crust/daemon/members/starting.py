"""
Starts the daemon of a state directory in the background, and waits until it is in its network.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from ...errors import RoutingCrustError
from ..control.client import ClientError, ControlClient
from ..control.messages import StatusCommand, StatusReply
from ..state_directory import socket_path

LOG_NAME: Final = "node.log"
PID_NAME: Final = "twistd.pid"
START_SECONDS: Final = 60.0
CONNECT_SECONDS: Final = 20.0
CANNOT_START: Final = "cannot start: "
"""What the daemon's log says before the reason."""
REFUSED: Final = "routing-node: "
"""What is printed before the reason where it is found before there is a log, as for settings."""
_LOOK_EVERY_SECONDS: Final = 0.1
_STATUS_SECONDS: Final = 5.0


class NotStarted(RoutingCrustError):
    """The daemon did not start; the text says where it has written why."""


def start_daemon(state_dir: Path, *, alone: bool = False) -> int:
    """
    Start it.

    @param alone: whether nobody else is in the network yet, so that there is no link to wait for.
    @return: how many members it has links with.
    @raise NotStarted: it did not start.
    """
    log, pid_file = state_dir / LOG_NAME, state_dir / PID_NAME
    # the state directory has a lock; after a power failure another program may have this number
    pid_file.unlink(missing_ok=True)
    command = [
        sys.executable,
        "-c",
        "from twisted.scripts.twistd import run; run()",
        f"--pidfile={pid_file}",
        f"--logfile={log}",
        "routing-node",
        f"--state-dir={state_dir}",
    ]
    # what an earlier start has failed for is in the same log
    before = log.stat().st_size if log.exists() else 0
    process = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if process.returncode:
        reason = _reason(log, before, process) or f"see {log}"
        raise NotStarted(
            f"the daemon did not start: {reason}. All else is there, in {state_dir}: when this is mended, "
            f"'routing-crust start --state-dir={state_dir}' starts it"
        )
    return _wait(state_dir, log, alone)


def _reason(log: Path, before: int, process: subprocess.CompletedProcess[str]) -> str:
    """
    Why the daemon has ended, by the last line of its log that says so, or else by what C{twistd} has printed.

    @param before: the size of the log before the start.
    @return: empty if neither says so.
    """
    try:
        with log.open("rb") as file:
            file.seek(before)
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    logged = [each.split(CANNOT_START, 1)[1] for each in lines if CANNOT_START in each]
    printed = [each.removeprefix(REFUSED) for each in process.stderr.splitlines() if each.startswith(REFUSED)]
    return next(reversed(logged or printed), "")


def _wait(state_dir: Path, log: Path, alone: bool) -> int:
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
            links = len({link["peer"] for link in status.get("links", ())})
            if alone or (status.get("state") == "connected" and links) or waited > CONNECT_SECONDS:
                return links
        time.sleep(_LOOK_EVERY_SECONDS)

"""
A daemon for one pipe, where none runs: a child with the role of a client, from the same state directory.

Other pipes use it as well while it runs. It ends when the one that started it has, and no stream is open any
more: its standard input is a pipe whose end tells it so, however that one has ended.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from threading import Thread
from typing import IO, Final

from ...control.client import ClientError, ControlClient, NoDaemon
from ...control.messages import StatusCommand, StatusReply
from ...state_directory import key_path, socket_path
from ..here import state_dir_of

START_SECONDS: Final = 60.0
LOOK_EVERY_SECONDS: Final = 0.1
USED_EVERY_SECONDS: Final = 2.0
"""Between two looks for whether other pipes still use it."""
_STATUS_SECONDS: Final = 5.0
_RUN: Final = f"from {__name__} import serve; serve()"


def own_client(options: argparse.Namespace, stack: ExitStack, problem: NoDaemon) -> ControlClient:
    """
    Start a client, if there is a key for one, and connect to it.

    @param stack: with it the client ends.
    @param problem: raised if there is no key.
    @raise ClientError: none can be started; the text says what to do.
    """
    state_dir = state_dir_of(options)
    # a key is not made in passing: a mistyped folder would become another node
    if not key_path(state_dir).exists():
        raise problem
    log: IO[bytes] = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
    child = _started(options, state_dir, log)
    stack.callback(_let_go, child)
    return stack.enter_context(_answering(child, socket_path(state_dir), log))


def serve() -> None:
    """Run C{twistd} with the arguments of this process, until nobody uses it any more."""
    from twisted.scripts.twistd import run

    state_dir = Path(next(each for each in sys.argv if each.startswith("--state-dir=")).partition("=")[2])
    Thread(target=_end_when_unused, args=(socket_path(state_dir),), daemon=True).start()
    run()


def _started(options: argparse.Namespace, state_dir: Path, log: IO[bytes]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", _RUN, "-n", "--pidfile=", "routing-node", "--client", "--log-level=warn"]
    for option in ("config", "network"):
        value = getattr(options, option)
        if value is not None:
            command.append(f"--{option}={value}")
    command.append(f"--state-dir={state_dir}")
    # a session of its own: an interrupt of the terminal is for the pipe
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
    )


def _answering(child: subprocess.Popen[bytes], path: Path, log: IO[bytes]) -> ControlClient:
    end = time.monotonic() + START_SECONDS
    while True:
        ended = child.poll() is not None
        try:
            # also when it has ended: another one may have been sooner
            return ControlClient(path, "")
        except NoDaemon:
            if ended or time.monotonic() > end:
                break
        time.sleep(LOOK_EVERY_SECONDS)
    log.seek(0)
    said = log.read().decode("utf-8", "replace").strip().splitlines()
    raise ClientError(
        f"no daemon runs with the state directory {path.parent}, and a client for this pipe did not start: "
        f"{said[-1] if said else 'it said nothing'}"
    )


def _let_go(child: subprocess.Popen[bytes]) -> None:
    # it ends by itself, when nobody else uses it
    if child.stdin is not None:
        child.stdin.close()


def _end_when_unused(path: Path) -> None:
    while os.read(0, 1):
        pass
    while _is_used(path):
        time.sleep(USED_EVERY_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


def _is_used(path: Path) -> bool:
    try:
        with ControlClient(path, "") as client:
            return bool(client.ask(StatusCommand(), StatusReply, _STATUS_SECONDS).status.get("streams"))
    except ClientError:
        return False

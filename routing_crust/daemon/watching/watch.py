"""
The loop of C{status --watch}. On a terminal it outlives the daemon, and goes on when that is back; a program
that reads it through a pipe hears of the end by the exit code.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from ..control.client import ClientError, ControlClient
from ..control.messages import StatusCommand, StatusReply
from ..rates import StreamRates
from ..text import status_text
from .screen import Paper, Screen, screen_of

TIMEOUT_SECONDS: Final = 10.0
"""The daemon answers at once, if it answers."""


class StatusWatch:
    """Made for one call of the command."""

    def __init__(self, ask: Callable[[], Mapping[str, Any]], show: Screen | Paper, as_json: bool) -> None:
        """
        @param ask: gives the status, or raises L{ClientError}.
        @param as_json: whether to show each status as a line of JSON.
        """
        self._ask = ask
        self._show = show
        self._as_json = as_json
        self._rates = StreamRates()

    def look(self, now: float) -> None:
        """
        Show the present status.

        @raise ClientError: the daemon does not answer, and nobody looks at a terminal.
        """
        try:
            status = self._ask()
        except ClientError as problem:
            if isinstance(self._show, Paper):
                raise
            # a daemon that is restarted comes back
            self._show.show(f"{problem}\ntrying again")
            return
        if self._as_json:
            self._show.show(json.dumps(status))
        else:
            self._show.show(status_text(status, self._rates.of(status.get("streams", ()), now)))


class Lines(Paper):
    """A line for each status, with nothing between them."""

    def show(self, text: str) -> None:
        """Write a line."""
        self._out.write(f"{text}\n")
        self._out.flush()


class Asking:
    """The connection to the daemon, made again when it is lost."""

    def __init__(self, connect: Callable[[], ControlClient]) -> None:
        self._connect = connect
        self._client: ControlClient | None = None

    def status(self) -> Mapping[str, Any]:
        """
        Ask for the status.

        @raise ClientError: there is no answer.
        """
        if self._client is None:
            self._client = self._connect()
        try:
            return self._client.ask(StatusCommand(), StatusReply, TIMEOUT_SECONDS).status
        except ClientError:
            # an answer that comes late would be taken for that to the next question
            self.close()
            raise

    def close(self) -> None:
        """Hang up."""
        client, self._client = self._client, None
        if client is not None:
            client.__exit__(None, None, None)


def watch_status(
    connect: Callable[[], ControlClient],
    interval: float,
    as_json: bool,
    wait: Callable[[float], object] = time.sleep,
) -> None:
    """
    Show the state of the node again and again, until interrupted.

    @param interval: in seconds.
    @param as_json: whether to show each status as a line of JSON.

    @raise ClientError: the daemon does not answer, and nobody looks at a terminal; or not even at the start.
    """
    asking = Asking(connect)
    # a mistyped folder is an error, and no place to wait for a daemon
    asking.status()
    show = Lines(sys.stdout) if as_json else screen_of(sys.stdout)
    watch = StatusWatch(asking.status, show, as_json)
    try:
        while True:
            watch.look(time.monotonic())
            wait(interval)
    except KeyboardInterrupt:
        return
    finally:
        show.close()
        asking.close()

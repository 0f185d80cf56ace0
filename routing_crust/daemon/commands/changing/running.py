"""C{start} and C{stop}: the daemon of a network that this machine is in, in the background."""

from __future__ import annotations

import argparse
import os
import signal
import sys

from ....plain_errors import RoutingCrustError
from ...control.client import ClientError, ControlClient, NoDaemon
from ...control.messages import StatusCommand, StatusReply
from ...members.networks_here import CONFIG_NAME
from ...state_directory import socket_path
from .. import EXIT_OK
from ..here import STATUS_TIMEOUT_SECONDS, connect, print_line, state_dir_of


class NotHere(RoutingCrustError):
    """There is nothing to start or to stop from here, or it runs already."""


def start(options: argparse.Namespace) -> int:
    """Start the daemon, and wait until it is in its network."""
    # it looks for programs, for which the other commands need not wait
    from ...members.starting import Starter

    state_dir = state_dir_of(options)
    if not (state_dir / CONFIG_NAME).is_file():
        raise NotHere(
            f"there is no network in {state_dir}: found one with 'routing-crust init --start NAME', or join "
            "one with 'routing-crust join --start LINE'"
        )
    runs = _process_of(options)
    if runs is not None:
        raise NotHere(f"the daemon runs already, as process {runs}: 'routing-crust status' shows its state")
    sys.stderr.write("starting ...\n")
    with Starter() as starter:
        started = starter.start(state_dir)
    members = "1 member is" if started.members == 1 else f"{started.members} members are"
    problem = f"; {started.problem}. It goes on trying" if started.problem else ""
    print_line(f"started; {members} reachable{problem}")
    return EXIT_OK


def stop(options: argparse.Namespace) -> int:
    """Stop the daemon, and wait until it has closed everything."""
    with connect(options) as client:
        process = client.ask(StatusCommand(), StatusReply, STATUS_TIMEOUT_SECONDS).status.get("process")
        # in a container it has a number that is another program's here, and is 1 as a rule
        here = client.process
        if not isinstance(process, int) or here not in (None, process):
            raise NotHere(
                f"the daemon is process {process} of a container, or of another version: stop it there"
            )
        try:
            os.kill(process, signal.SIGTERM)
        except ProcessLookupError:
            raise NotHere(f"the daemon is gone: there is no process {process} any more") from None
        except PermissionError:
            raise NotHere(f"the process {process} is another user's: run this as that user") from None
        sys.stderr.write("stopping ...\n")
        try:
            client.wait_for_the_end(lambda reply: None)
        except ClientError:
            # its connections to programs are the last that it closes
            print_line("stopped")
    return EXIT_OK


def _process_of(options: argparse.Namespace) -> object:
    try:
        with ControlClient(socket_path(state_dir_of(options)), "") as client:
            return client.ask(StatusCommand(), StatusReply, STATUS_TIMEOUT_SECONDS).status.get("process")
    except NoDaemon:
        return None

"""
Two hosts behind routers, two nodes on the internet, and a forward from one host to a program on the other.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from routing_crust.daemon.control.client import ControlClient
from routing_crust.daemon.control.messages import ExplainCommand, ExplainReply, StatusCommand, StatusReply
from routing_crust.daemon.state_directory import socket_path

from ...daemon.children import TWISTD
from ..lab import Lab
from ..layout import RENDEZVOUS
from ..namespaces import PATIENCE
from ..router import Nat, Router
from .program import Program

PORT: Final = 5483
SERVED: Final = 8080
FORWARDED: Final = 8081


class Daemon(Program):
    """
    C{twistd -n routing-node}.

    @ivar name: the name of its node.
    @ivar state_dir: its state directory.
    """

    def __init__(self, lab: Lab, host: str, state_dir: Path, *options: str) -> None:
        daemon = (sys.executable, *TWISTD, "-n", "--pidfile=", "routing-node", f"--state-dir={state_dir}")
        super().__init__(lab, host, *daemon, *options)
        self.state_dir = state_dir
        self.name = self.wait(r" this is the \w+ (\w{52}) of ")

    def status(self) -> dict[str, Any]:
        """What C{routing-crust status --json} says."""
        with ControlClient(socket_path(self.state_dir), "") as client:
            return dict(client.ask(StatusCommand(), StatusReply, PATIENCE).status)

    def explain(self, name: str) -> dict[str, Any]:
        """What C{routing-crust explain --json} says of a node."""
        with ControlClient(socket_path(self.state_dir), "") as client:
            return dict(client.ask(ExplainCommand(name=name), ExplainReply, PATIENCE).explanation)

    def link(self, name: str) -> dict[str, Any]:
        """What the status says of the link with a node; empty if there is none."""
        return next((each for each in self.status()["links"] if each["peer"] == name), {})


class Household:
    """
    A context: a laboratory with daemons at I{alice}, who forwards, and I{bob}, who exposes.

    @ivar lab: the laboratory.
    @ivar homes: the routers of the two, by host.
    """

    def __init__(
        self,
        nat: Nat,
        delay: float = 0.010,
        others: Mapping[str, int] | None = None,
        *,
        homes: Mapping[str, Router] | None = None,
    ) -> None:
        """
        @param nat: of both routers.
        @param delay: of each access to the internet, one way, in seconds.
        @param others: protocols besides, and the port on 127.0.0.1 of each, at both hosts.
        @param homes: the routers, where they are not alike.
        """
        self.homes = {"alice": Router(nat), "bob": Router(nat), **(homes or {})}
        self.lab = Lab(dict(self.homes), delay=delay)
        self._exposed = {"program": (SERVED, FORWARDED)}
        self._exposed |= {protocol: (port, port) for protocol, port in (others or {}).items()}
        self._stack = ExitStack()

    def __enter__(self) -> Household:
        with ExitStack() as stack:
            stack.enter_context(self.lab)
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _start(self, stack: ExitStack) -> None:
        self._folders = stack
        lab = self.lab
        first = self.daemon(RENDEZVOUS, "--first", f"--listen={lab.rendezvous[0]}:{PORT}")
        contact = f"--contact={first.name}@{lab.rendezvous[0]}:{PORT}"
        second = self.daemon(RENDEZVOUS, contact, f"--listen={lab.rendezvous[1]}:{PORT}")
        other = f"--contact={second.name}@{lab.rendezvous[1]}:{PORT}"
        self.relays = {first.name: first, second.name: second}
        # each with the other as a contact: alone again, the first one would be a network of its own
        self._relay_options = {
            first.name: (other, f"--listen={lab.rendezvous[0]}:{PORT}"),
            second.name: (contact, f"--listen={lab.rendezvous[1]}:{PORT}"),
        }
        options = (contact, other, f"--listen=0.0.0.0:{PORT}")
        exposed = [f"--expose={name}=tcp:127.0.0.1:{port}" for name, (port, _) in self._exposed.items()]
        allowed = [f"--allow-peer={name}=*" for name in self._exposed]
        self.bob = self.daemon("bob", *options, *exposed, *allowed)
        there = self.bob.name
        forwards = [f"--forward=tcp:{port}={there}/{name}" for name, (_, port) in self._exposed.items()]
        self.alice = self.daemon("alice", *options, *forwards)
        for node, peer in ((self.alice, self.bob), (self.bob, self.alice)):
            node.wait(rf" link (?:to|from) node {peer.name} at ")

    def daemon(self, host: str, *options: str) -> Daemon:
        """Start a daemon; it ends with the laboratory."""
        # not in a folder of the repository's: the path of a socket may have 107 bytes
        state_dir = Path(tempfile.mkdtemp(prefix="natlab-"))
        self._folders.callback(shutil.rmtree, state_dir, ignore_errors=True)
        return Daemon(self.lab, host, state_dir, *options)

    def restart_relay(self, name: str) -> None:
        """Start a relay that was killed again, under the same name."""
        dead = self.relays[name]
        self.relays[name] = Daemon(self.lab, RENDEZVOUS, dead.state_dir, *self._relay_options[name])

    def node(self, host: str) -> Daemon:
        """The daemon of a host."""
        return self.alice if host == "alice" else self.bob

    def program(self, host: str, *arguments: str) -> Program:
        """Run a Python program on a host."""
        return Program(self.lab, host, sys.executable, "-u", *arguments)

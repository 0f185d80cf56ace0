"""
The daemon on a host of a laboratory, and the tests that have such.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import SkipTest

from routing_crust.daemon.control.client import ControlClient
from routing_crust.daemon.control.messages import Command, DoneReply, SendCommand, StatusCommand, StatusReply
from routing_crust.daemon.state_directory import socket_path

from ..daemon.children import TWISTD, Child, ProcessTestCase
from .lab import Lab, why_not
from .layout import RENDEZVOUS
from .namespaces import PATIENCE
from .router import Router

_Reply = TypeVar("_Reply")
reactor: Any = _reactor
PORT: Final = 5483
_GET: Final = """
import sys, urllib.request
with urllib.request.urlopen(sys.argv[1]) as answer:
    sys.stdout.buffer.write(answer.read())
"""
_ROOT: Final = str(Path(__file__).resolve().parents[2])


def environment() -> dict[str, str]:
    """What this process has, and where its modules are."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([_ROOT, *map(os.path.abspath, sys.path)])}


class LabNode(Child):
    """
    C{twistd -n routing-node} on a host. Its log is in C{out}, and L{wait_for} waits for a line of it.

    @ivar host: where it runs.
    @ivar name: its name, as text.
    @ivar state_dir: its state directory, which is there before and after it runs.
    """

    def __init__(self, lab: Lab, host: str, state_dir: Path, *options: str) -> None:
        Child.__init__(self)
        self.host = host
        self.state_dir = state_dir
        self.name = ""
        daemon = [sys.executable, *TWISTD, "-n", "--pidfile=", "routing-node", f"--state-dir={state_dir}"]
        place = ["ip", "netns", "exec", lab.namespace(host).name]
        reactor.spawnProcess(
            self, "ip", [*place, *daemon, *options], env=environment(), childFDs={0: "w", 1: "r", 2: 1}
        )

    async def started(self) -> LabNode:
        """Wait until it has said who it is."""
        self.name = await self.wait_for(r" this is the \w+ (\w{52}) of ")
        return self

    def contact(self, address: str, port: int = PORT) -> str:
        """What others are given to find it."""
        return f"{self.name}@{address}:{port}"

    async def status(self) -> dict[str, Any]:
        """What C{routing-crust status --json} says."""
        reply = await deferToThread(self._ask, StatusCommand(), StatusReply)
        return dict(reply.status)

    def _ask(self, command: Command, expected: type[_Reply]) -> _Reply:
        # as the script does, whose start would take longer than all the rest
        with ControlClient(socket_path(self.state_dir), "") as client:
            return client.ask(command, expected, PATIENCE)

    async def path_kinds(self) -> dict[str, str]:
        """The path kind of the link with each peer, by the peer's name."""
        return {each["peer"]: each["rung"] for each in (await self.status())["links"]}

    async def linked_with(self, peer: LabNode) -> None:
        """Wait until there is a link with this peer, which may be lost again by then."""
        await self.wait_for(rf" link (?:to|from) node {peer.name} at ")

    async def send(self, to: LabNode, text: str) -> None:
        """Send a message, and wait until it is acknowledged."""
        await deferToThread(self._ask, SendCommand(name=to.name, body=text.encode()), DoneReply)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the daemon, if it runs."""
        if self.running:
            assert self.transport is not None
            self.transport.signalProcess(number)

    async def stop(self) -> int:
        """
        Have it stop, and wait until it has.

        @return: its exit code, which is that of the signal.
        """
        self.signal(signal.SIGTERM)
        return await self.ended


class LabTestCase(ProcessTestCase):
    """Tests with laboratories, which are skipped where there can be none."""

    def build(self, hosts: Mapping[str, Router | None], *, delay: float = 0.0, loss: float = 0.0) -> Lab:
        """A laboratory, which ends with the test."""
        routers = [each for each in hosts.values() if each is not None]
        reason = why_not(delay=bool(delay or loss), upnp=any(each.upnp for each in routers))
        if reason:
            raise SkipTest(reason)
        lab = Lab(hosts, delay=delay, loss=loss)
        self.addCleanup(lab.stop)
        lab.start()
        return lab

    async def start_node(self, lab: Lab, host: str, *options: str, of: LabNode | None = None) -> LabNode:
        """
        Start a daemon on a host, and wait until it has said who it is.

        @param of: a node that has ended, whose state directory this one goes on with; C{None} is a new one.
        """
        if of is None:
            # not trial's own, since the path of a socket may have 107 bytes
            state_dir = Path(tempfile.mkdtemp(prefix="natlab-"))
            self.addCleanup(shutil.rmtree, state_dir, ignore_errors=True)
        else:
            state_dir = of.state_dir
        node = LabNode(lab, host, state_dir, *options)
        self.addCleanup(self._end, node)
        return await node.started()

    async def start_first(self, lab: Lab, *options: str) -> LabNode:
        """Start the first node of a network, at the first address of the rendezvous."""
        return await self.start_node(
            lab, RENDEZVOUS, "--first", f"--listen={lab.rendezvous[0]}:{PORT}", *options
        )

    async def serve(self, lab: Lab, host: str, name: str, content: bytes, port: int) -> None:
        """A file on the standard library's own web server, a process that knows nothing of all this."""
        folder = Path(self.mktemp()).resolve()
        folder.mkdir()
        (folder / name).write_bytes(content)
        place = ["netns", "exec", lab.namespace(host).name, sys.executable, "-u", "-m", "http.server"]
        options = ["--bind=127.0.0.1", f"--directory={folder}", str(port)]
        child = self.start_child(Child(), "ip", *place, *options, env=None)
        await child.wait_for("^Serving HTTP on ")

    async def get(self, lab: Lab, host: str, url: str) -> bytes:
        """What a program on a host gets from an address."""
        place = ["netns", "exec", lab.namespace(host).name, sys.executable, "-c", _GET, url]
        out, err, code = await getProcessOutputAndValue("ip", place, env=None)
        self.assertEqual(code, 0, err.decode())
        return bytes(out)

    def _end(self, node: LabNode) -> Deferred[int] | None:
        if not node.running:
            return None
        node.signal(signal.SIGKILL)
        return node.ended

"""
A daemon as systemd starts it: a process with a socket for news and one that listens already.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import DatagramProtocol

from ..children import DEADLINE, TWISTD, Child, ProcessTestCase
from ..fakes import temporary_directory

reactor: Any = _reactor
WATCHDOG_MICROSECONDS = 400_000
GIVEN_DESCRIPTOR = 3


class Supervisor(DatagramProtocol):
    """Hears what a service tells."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self._waiting: list[tuple[str, int, Deferred[None]]] = []

    def datagramReceived(self, datagram: bytes, address: object) -> None:
        self.told += datagram.decode().splitlines()
        for each in list(self._waiting):
            if self.told.count(each[0]) >= each[1]:
                self._waiting.remove(each)
                each[2].callback(None)

    def heard(self, line: str, times: int = 1) -> Deferred[None]:
        """Fires when a line has come this many times."""
        waiting: Deferred[None] = Deferred()
        if self.told.count(line) >= times:
            waiting.callback(None)
        else:
            self._waiting.append((line, times, waiting))
        return waiting.addTimeout(DEADLINE, reactor)


class ServiceTests(ProcessTestCase):
    def setUp(self) -> None:
        self.folder = temporary_directory(self)
        self.supervisor = Supervisor()
        path = str(self.folder / "notify")
        port = reactor.listenUNIXDatagram(path, self.supervisor)
        self.addCleanup(port.stopListening)
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path)),
            "NOTIFY_SOCKET": path,
            "WATCHDOG_USEC": str(WATCHDOG_MICROSECONDS),
        }

    def given_socket(self) -> socket.socket:
        given = socket.socket()
        self.addCleanup(given.close)
        given.bind(("127.0.0.1", 0))
        given.listen()
        return given

    def start(self, given: socket.socket | None, *arguments: str) -> Child:
        child = Child()
        # the shell knows the id of the process that the sockets are for
        prefix = "export LISTEN_FDS=1 LISTEN_PID=$$; " if given is not None else ""
        command = ("/bin/sh", "-c", f'{prefix}exec "$0" "$@"', sys.executable, *TWISTD)
        options = ("-n", "--pidfile=", "routing-node", "--first", "--no-lan-discovery")
        descriptors: dict[int, Any] = {0: "w", 1: "r", 2: "r"}
        if given is not None:
            descriptors[GIVEN_DESCRIPTOR] = given.fileno()
        transport = reactor.spawnProcess(
            child,
            command[0],
            [*command, *options, f"--state-dir={self.folder / 'node'}", *arguments],
            env=self.environment,
            path=str(self.folder),
            childFDs=descriptors,
        )
        self.addCleanup(lambda: (transport.signalProcess("KILL"), child.ended)[1] if child.running else None)
        return child

    async def test_daemon_tells_that_it_listens_lives_and_stops(self) -> None:
        daemon = self.start(None, "--listen=127.0.0.1:0")
        await self.supervisor.heard("READY=1")
        self.assertIn("STATUS=waiting for the first peer", self.supervisor.told)
        self.assertRegex(daemon.out, "listening on")
        await self.supervisor.heard("WATCHDOG=1", 3)
        daemon.transport.signalProcess("TERM")
        self.assertEqual(await daemon.ended, -signal.SIGTERM)
        self.assertIn("STOPPING=1", self.supervisor.told)

    async def test_reload_is_told_when_it_begins_and_when_it_is_over(self) -> None:
        config = self.folder / "config.toml"
        config.write_text("max_links = 64\n")
        daemon = self.start(None, "--listen=127.0.0.1:0", f"--config={config}")
        await self.supervisor.heard("READY=1")
        for times, content in enumerate(("max_links = 65\n", "max_links = nonsense\n"), 1):
            config.write_text(content)
            daemon.transport.signalProcess("HUP")
            await self.supervisor.heard("READY=1", 1 + times)
            told = [each for each in self.supervisor.told if not each.startswith(("WATCHDOG", "STATUS"))]
            began = told.index("RELOADING=1", 3 * times - 2)
            self.assertRegex(told[began + 1], r"^MONOTONIC_USEC=\d+$")
            self.assertEqual(told[began + 2 :], ["READY=1"])
        await daemon.wait_for("not reloaded, and nothing has changed")
        daemon.transport.signalProcess("TERM")
        self.assertEqual(await daemon.ended, -signal.SIGTERM)

    async def test_daemon_listens_with_the_socket_that_it_was_given(self) -> None:
        given = self.given_socket()
        host, port = given.getsockname()
        daemon = self.start(given)
        await daemon.wait_for(rf"listening on {host}:{port}\b")
        await self.supervisor.heard("READY=1")
        daemon.transport.signalProcess("TERM")
        self.assertEqual(await daemon.ended, -signal.SIGTERM)
        # systemd keeps the socket: a program that connects between two runs waits for the next
        with socket.create_connection((host, port)):
            again = self.start(given)
            await self.supervisor.heard("READY=1", 2)
        self.assertNotIn("Traceback", daemon.out + daemon.err + again.out + again.err)

    async def test_daemon_says_what_is_wrong_with_a_socket_that_it_was_given(self) -> None:
        given = socket.socket(type=socket.SOCK_DGRAM)
        self.addCleanup(given.close)
        daemon = self.start(given)
        self.assertEqual(await daemon.ended, 1)
        self.assertIn("routing-node: listen: the sockets that systemd gives are of no use", daemon.err)
        self.assertNotIn("READY=1", self.supervisor.told)

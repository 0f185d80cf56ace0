"""C{start} and C{stop}: the script, and a daemon that is in this process."""

from __future__ import annotations

import os
import signal

from twisted.internet import reactor
from twisted.internet.threads import deferToThread

from routing_crust.daemon.control.client import ClientError, ControlClient
from routing_crust.daemon.control.inbox import DaemonInbox
from routing_crust.daemon.control.server import ControlServer
from routing_crust.daemon.members.starting import Started, Starter

from ..fakes import FakeService
from ..test_cli import CliTestCase


class StartAndStopTests(CliTestCase):
    def run_daemon(self, process: int | None = None) -> ControlServer:
        facts = {"process": process or os.getpid()}
        server = ControlServer(FakeService(), DaemonInbox(), lambda: facts)
        server.listen(self.folder / "control.sock", reactor)
        self.addCleanup(server.stop, reactor)
        return server

    async def said(self, command: str, code: int) -> str:
        self.assertEqual(await deferToThread(self.run_script, *self.here(command)), code, self.err.getvalue())
        return (self.err if code else self.out).getvalue()

    async def test_stop_asks_the_process_to_end_and_waits_for_it(self) -> None:
        server = self.run_daemon()
        told: list[tuple[int, int]] = []

        def kill(process: int, number: int) -> None:
            told.append((process, number))
            reactor.callFromThread(server.stop, reactor)  # type: ignore[attr-defined]

        self.patch(os, "kill", kill)
        self.assertEqual(await self.said("stop", 0), "stopped\n")
        self.assertEqual(told, [(os.getpid(), signal.SIGTERM)])

    async def test_stop_without_a_daemon_says_so(self) -> None:
        self.assertIn("no daemon runs with the state directory", await self.said("stop", 1))

    async def test_daemon_of_another_user_is_not_stopped(self) -> None:
        def kill(process: int, number: int) -> None:
            raise PermissionError

        self.run_daemon()
        self.patch(os, "kill", kill)
        self.assertIn("is another user's: run this as that user", await self.said("stop", 1))

    async def test_daemon_in_a_container_is_not_taken_for_the_process_that_has_its_number_here(self) -> None:
        self.run_daemon(process=1)
        self.patch(os, "kill", self.fail)
        self.assertIn("the daemon is process 1 of a container", await self.said("stop", 1))

    async def test_daemon_that_is_gone_is_not_waited_for(self) -> None:
        def kill(process: int, number: int) -> None:
            raise ProcessLookupError

        self.run_daemon()
        self.patch(os, "kill", kill)
        self.assertIn("the daemon is gone: there is no process", await self.said("stop", 1))

    async def test_daemon_that_cannot_be_asked_is_not_started_again(self) -> None:
        """Another user's, or one that hangs: a second one would only say that the first has the lock."""
        (self.folder / "config.toml").write_text("")
        self.patch(Starter, "start", self.fail)

        def ask(*asked: object) -> None:
            raise ClientError("no answer within 10 s")

        self.run_daemon()
        self.patch(ControlClient, "ask", ask)
        self.assertIn("no answer within 10 s", await self.said("start", 1))

    async def test_start_runs_the_daemon_of_a_network_that_is_here(self) -> None:
        self.assertIn("there is no network in", await self.said("start", 1))
        (self.folder / "config.toml").write_text("")
        self.patch(Starter, "start", lambda _, folder: {self.folder: Started(2)}[folder])
        self.assertEqual(await self.said("start", 0), "started; 2 members are reachable\n")

    async def test_start_says_why_there_is_no_way_into_the_network(self) -> None:
        (self.folder / "config.toml").write_text("")
        self.patch(Starter, "start", lambda _, folder: {self.folder: Started(0, "no answer")}[folder])
        said = "started; 0 members are reachable; no answer. It goes on trying\n"
        self.assertEqual(await self.said("start", 0), said)

    async def test_daemon_that_runs_is_not_started_again(self) -> None:
        self.run_daemon()
        (self.folder / "config.toml").write_text("")
        self.patch(Starter, "start", self.fail)
        self.assertIn(f"the daemon runs already, as process {os.getpid()}", await self.said("start", 1))

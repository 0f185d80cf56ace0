"""A daemon that is started in the background: what is said when it does not start."""

from __future__ import annotations

import errno
import gc
import subprocess
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path

from twisted.scripts import twistd
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.daemon import background
from routing_crust.daemon.members import starting
from routing_crust.daemon.members.starting import (
    LOG_NAME,
    PID_NAME,
    NotStarted,
    Started,
    Starter,
    is_settled,
)


class FakeDaemon:
    """The process of a daemon that fails once it has its arguments."""

    returncode = 1

    def __init__(self, run: Callable[[str], str]) -> None:
        self.told: list[str] = []
        self._run = run

    def communicate(self, arguments: str = "") -> tuple[None, str]:
        self.told += [arguments]
        return None, self._run(arguments)

    def kill(self) -> None:
        self.told += ["killed"]


class PreparedTests(SynchronousTestCase):
    """A daemon that is loaded before it is known where it is to run."""

    def setUp(self) -> None:
        self.begun: list[FakeDaemon] = []
        self.patch(subprocess, "Popen", self.begin)
        self.folder = Path(self.mktemp())
        self.folder.mkdir()

    def begin(self, command: tuple[str, ...], **how: object) -> FakeDaemon:
        self.begun += [FakeDaemon(lambda arguments: "")]
        return self.begun[-1]

    def test_it_is_the_one_that_is_started(self) -> None:
        with Starter() as starter:
            starter.prepare()
            self.assertRaises(NotStarted, starter.start, self.folder)
        self.assertEqual([each.told for each in self.begun], [self.begun[0].told[:1]])
        self.assertEqual(
            self.begun[0].told[0].splitlines(),
            [
                f"--pidfile={self.folder / PID_NAME}",
                f"--logfile={self.folder / LOG_NAME}",
                "routing-node",
                f"--state-dir={self.folder}",
            ],
        )

    def test_it_ends_with_a_command_that_has_no_use_for_it(self) -> None:
        with Starter() as starter:
            starter.prepare()
        self.assertEqual(self.begun[0].told, ["killed", ""])


class BackgroundTests(SynchronousTestCase):
    """What is loaded, and then told what it is."""

    def setUp(self) -> None:
        self.addCleanup(gc.unfreeze)
        self.ran: list[list[str]] = []
        self.patch(sys, "argv", ["-c"])
        self.patch(twistd, "run", lambda: self.ran.append(sys.argv))

    def test_it_runs_with_the_arguments_that_it_reads(self) -> None:
        self.patch(sys, "stdin", StringIO("--pidfile=one\nrouting-node"))
        background.main()
        self.assertEqual(self.ran, [["-c", "--pidfile=one", "routing-node"]])
        self.assertTrue(gc.isenabled())

    def test_it_ends_without_arguments(self) -> None:
        self.patch(sys, "stdin", StringIO(""))
        background.main()
        self.assertEqual(self.ran, [])


class FailedStartTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.log = self.folder / LOG_NAME
        self.written = ""
        self.printed = "Please look at log file for more information.\n"
        self.patch(subprocess, "Popen", lambda command, **how: FakeDaemon(self.run_program))

    def run_program(self, arguments: str) -> str:
        """As twistd does: the reason is in the log, and what is printed only says that there is one."""
        if self.written:
            with self.log.open("a") as file:
                file.write(self.written)
        return self.printed

    def fails(self) -> str:
        with Starter() as starter:
            return str(self.assertRaises(NotStarted, starter.start, self.folder))

    def test_reason_is_that_of_the_log_and_the_way_to_go_on_is_said(self) -> None:
        self.written = (
            "2026-01-01 00:00:00 critical: cannot start: an old reason\n"
            "2026-01-02 00:00:00 critical: cannot start: another program listens there\nand a last line\n"
        )
        self.assertEqual(
            self.fails(),
            f"the daemon did not start: another program listens there. All else is there, in "
            f"{self.folder}: when this is mended, 'routing-crust start --state-dir={self.folder}' starts it",
        )

    def test_log_is_named_where_it_gives_no_reason(self) -> None:
        for self.written in ("", "nothing of use\n"):
            self.assertIn(f"the daemon did not start: see {self.log}. All", self.fails())

    def test_python_that_cannot_be_run_is_a_reason(self) -> None:
        def refuse(command: tuple[str, ...], **how: object) -> None:
            raise PermissionError(errno.EACCES, "Permission denied")

        self.patch(subprocess, "Popen", refuse)
        self.assertIn("the daemon did not start: ", self.fails())
        self.assertIn(f"{sys.executable}: Permission denied. All else", self.fails())

    def test_log_says_so_in_the_same_words(self) -> None:
        """What is looked for is what the daemon writes, and what the plugin exits with."""
        daemon = Path(starting.__file__).parents[1]
        self.assertIn(f'critical("{starting.CANNOT_START}', (daemon / "node.py").read_text())
        self.assertIn(f'sys.exit(f"{starting.REFUSED}{{error}}")', (daemon / "plugin.py").read_text())

    def test_reason_of_an_earlier_start_is_not_taken_for_this_one(self) -> None:
        self.log.write_text("2026-01-01 00:00:00 critical: cannot start: an old reason\n")
        self.written = "nothing of use\n"
        self.assertIn(f"the daemon did not start: see {self.log}. All", self.fails())

    def test_settings_that_cannot_be_used_are_named_though_there_is_no_log(self) -> None:
        self.printed = "routing-node: listen: there is no such port (in config.toml, line 2)\n"
        self.assertIn(
            "the daemon did not start: listen: there is no such port (in config.toml, line 2). All",
            self.fails(),
        )

    def test_pid_file_of_a_daemon_that_was_killed_is_in_nobodys_way(self) -> None:
        """Its number may be that of another program by now, and then twistd would not start."""
        (self.folder / PID_NAME).write_text("1")
        self.fails()
        self.assertFalse((self.folder / PID_NAME).exists())


class SettledTests(SynchronousTestCase):
    """How long a start waits for the network."""

    def test_it_waits_while_a_way_is_looked_for(self) -> None:
        for state in ("disconnected", "bootstrapping", "connected"):
            self.assertFalse(is_settled({"state": state, "role": "node"}, Started(0), 19), state)

    def test_it_waits_for_nobody_once_in_the_network(self) -> None:
        self.assertTrue(is_settled({"state": "connected", "role": "node"}, Started(1), 0))

    def test_first_failure_is_not_the_end_and_later_ones_are(self) -> None:
        status, started = {"state": "disconnected", "role": "node"}, Started(0, "refused")
        self.assertEqual([is_settled(status, started, waited) for waited in (1, 6)], [False, True])

    def test_founder_that_knows_nobody_has_nothing_to_wait_for(self) -> None:
        self.assertTrue(is_settled({"state": "disconnected", "role": "first"}, Started(0), 0))

"""
The files of twistd itself: where it may not write them, one line says what to do.
"""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.daemon import twistd_files
from routing_crust.daemon.twistd_files import problem_with_files

from .fakes import temporary_directory


class FileTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = temporary_directory(self)

    def problem(self, **options: object) -> str:
        given = {"pidfile": "twistd.pid", "rundir": str(self.folder), "nodaemon": True, "logfile": None}
        return problem_with_files(given | options)

    def forbid(self, path: Path) -> None:
        """Have the system say no, which it never does to root."""
        really = os.access
        self.patch(twistd_files.os, "access", lambda each, mode: Path(each) != path and really(each, mode))

    def test_what_can_be_written_is_no_problem(self) -> None:
        self.assertEqual(self.problem(), "")
        (self.folder / "twistd.pid").touch()
        self.assertEqual(self.problem(), "")
        self.assertEqual(self.problem(nodaemon=False, logfile=str(self.folder / "log")), "")

    def test_a_pid_file_where_the_user_may_not_write_is_told(self) -> None:
        self.forbid(self.folder)
        path = self.folder / "twistd.pid"
        self.assertEqual(
            self.problem(),
            f"the pid file {path} cannot be written: this user may make no files in {self.folder}. Write "
            "'twistd --pidfile= ...' for none, or 'twistd --pidfile=PATH ...'",
        )
        path.touch()
        self.forbid(path)
        self.assertIn("it may not be changed by this user", self.problem())

    def test_a_pid_file_in_no_folder_or_that_is_one_is_told(self) -> None:
        self.assertIn(f"there is no folder {self.folder / 'run'}", self.problem(pidfile="run/node.pid"))
        (self.folder / "run").mkdir()
        self.assertIn("it is a folder", self.problem(pidfile="run"))

    def test_no_pid_file_needs_no_rights(self) -> None:
        self.forbid(self.folder)
        self.assertEqual(self.problem(pidfile=""), "")

    def test_the_log_of_a_daemon_is_looked_at_too(self) -> None:
        log = self.folder / "logs" / "node.log"
        said = self.problem(nodaemon=False, logfile=str(log))
        self.assertTrue(said.startswith(f"the log file {log} cannot be written: there is no folder"), said)
        self.forbid(Path.cwd())
        self.assertIn(f"the log file {Path.cwd() / 'twistd.log'} ", self.problem(nodaemon=False))

    def test_a_log_that_is_not_written_by_twistd_does_not_matter(self) -> None:
        log = str(self.folder / "logs" / "node.log")
        for options in ({"nodaemon": True}, {"syslog": True}, {"logger": "x.y"}, {"logfile": "-"}):
            given: dict[str, object] = {"nodaemon": False, "logfile": log, **options}
            self.assertEqual(self.problem(**given), "", options)

    def test_another_root_and_another_program_are_not_judged(self) -> None:
        self.assertEqual(self.problem(pidfile="no/such/folder", chroot="/srv"), "")
        self.assertEqual(problem_with_files({}), "")

"""
The state directory and its lock, for real.
"""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.daemon import state_directory
from routing_crust.daemon.state_directory import (
    MAX_SOCKET_PATH_BYTES,
    StateLock,
    default_state_dir,
    key_path,
    prepare_state_dir,
    socket_path,
)
from routing_crust.errors import ConfigurationError

from .fakes import temporary_directory


class DefaultStateDirTests(SynchronousTestCase):
    """Where the state is by default."""

    def as_user(self, user: int, xdg: str | None) -> None:
        self.patch(os, "geteuid", lambda: user)
        environment = {"HOME": "/home/alice"} | ({} if xdg is None else {"XDG_STATE_HOME": xdg})
        self.patch(os, "environ", environment)

    def test_root_uses_var_lib(self) -> None:
        self.as_user(0, "/elsewhere")
        self.assertEqual(default_state_dir("lab"), Path("/var/lib/routing-crust/lab"))

    def test_user_has_it_in_the_state_home(self) -> None:
        self.as_user(1000, None)
        self.assertEqual(default_state_dir("lab"), Path("/home/alice/.local/state/routing-crust/lab"))

    def test_user_may_say_where_state_is_kept(self) -> None:
        self.as_user(1000, "/srv/state")
        self.assertEqual(default_state_dir("lab"), Path("/srv/state/routing-crust/lab"))

    def test_a_relative_path_is_ignored(self) -> None:
        self.as_user(1000, "state")
        self.assertEqual(default_state_dir("lab"), Path("/home/alice/.local/state/routing-crust/lab"))

    def test_each_network_has_one_folder_of_its_own_whatever_its_id(self) -> None:
        self.as_user(0, None)
        networks = ("..", ".", "a/b", "a%2Fb", "a b", "ä", "a", "x" * 64)
        folders = [default_state_dir(each) for each in networks]
        self.assertEqual(len(set(folders)), len(networks))
        for each in folders:
            self.assertEqual(each.parent, Path("/var/lib/routing-crust"))
            self.assertNotIn(each.name, (".", ".."))


class PrepareTests(SynchronousTestCase):
    """What folder is good enough."""

    def setUp(self) -> None:
        self.base = temporary_directory(self)
        self.path = self.base / "new" / "state"

    def refused(self, path: Path) -> str:
        return str(self.assertRaises(ConfigurationError, prepare_state_dir, path))

    def test_it_is_made_for_nobody_else(self) -> None:
        self.addCleanup(os.umask, os.umask(0o022))
        prepare_state_dir(self.path)
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o700)
        prepare_state_dir(self.path)  # and is good enough the next time

    def test_a_looser_one_is_refused(self) -> None:
        for mode in (0o701, 0o710, 0o755, 0o777):
            self.base.chmod(mode)
            self.assertEqual(
                self.refused(self.base),
                f"state_dir: the folder {self.base} has mode {mode:04o}, so others may look into it: "
                f"run 'chmod 700 {self.base}'",
            )

    def test_one_that_cannot_be_written_is_refused(self) -> None:
        self.patch(os, "access", lambda path, mode: False)  # root may write anywhere
        self.base.chmod(0o500)
        self.assertEqual(
            self.refused(self.base),
            f"state_dir: the folder {self.base} has mode 0500, so it is of no use: "
            f"run 'chmod 700 {self.base}'",
        )

    def test_somebody_elses_is_refused(self) -> None:
        mine = os.geteuid()
        self.patch(os, "geteuid", lambda: mine + 1)
        self.assertEqual(
            self.refused(self.base),
            f"state_dir: the folder {self.base} belongs to the user with id {mine}, and this process runs as "
            f"{mine + 1}: run it as that user, or give another folder",
        )

    def test_a_file_is_refused(self) -> None:
        path = self.base / "file"
        path.touch()
        self.assertEqual(self.refused(path), f"state_dir: {path} is not a folder: give another path")

    def test_one_that_cannot_be_made_is_refused(self) -> None:
        path = self.base / "file"
        path.touch()
        self.assertEqual(
            self.refused(path / "state"),
            f"state_dir: the folder {path / 'state'} cannot be made: Not a directory",
        )


class PathTests(SynchronousTestCase):
    """What is in the folder."""

    def test_key_and_socket_have_fixed_names(self) -> None:
        self.assertEqual(key_path(Path("/s")), Path("/s/key.pem"))
        self.assertEqual(socket_path(Path("/s")), Path("/s/control.sock"))

    def test_path_longer_than_a_socket_can_have_is_refused(self) -> None:
        folder = Path("/" + "x" * (MAX_SOCKET_PATH_BYTES - len("//control.sock")))
        self.assertEqual(len(str(socket_path(folder))), MAX_SOCKET_PATH_BYTES)
        longer = Path(f"{folder}x")
        self.assertEqual(
            str(self.assertRaises(ConfigurationError, socket_path, longer)),
            f"state_dir: the control socket {longer}/control.sock would have a path of 108 bytes, and the "
            "system allows 107: give a shorter folder",
        )


class StateLockTests(SynchronousTestCase):
    """Only one at a time."""

    def setUp(self) -> None:
        self.path = temporary_directory(self)

    def lock(self) -> StateLock:
        lock = StateLock(self.path)
        self.addCleanup(lock.release)
        return lock

    def refused(self) -> str:
        return str(self.assertRaises(ConfigurationError, StateLock, self.path))

    def test_it_holds_the_process_id_for_nobody_else_to_read(self) -> None:
        self.lock()
        self.assertEqual((self.path / "lock").read_text(), f"{os.getpid()}\n")
        self.assertEqual(stat.S_IMODE((self.path / "lock").stat().st_mode), 0o600)

    def test_a_second_one_is_refused_with_the_process_id(self) -> None:
        self.lock()
        self.assertEqual(
            self.refused(),
            f"state_dir: another daemon, the process {os.getpid()}, uses {self.path}: stop it first, or give "
            "this one another folder",
        )

    def test_holder_without_an_id_yet_is_a_holder(self) -> None:
        self.lock()
        for content in (b"", b"\xff", b"me"):
            (self.path / "lock").write_bytes(content)
            self.assertIn("the process of an unknown id,", self.refused())

    def test_release_removes_the_file_and_lets_others_in(self) -> None:
        lock = self.lock()
        lock.release()
        lock.release()
        self.assertEqual(os.listdir(self.path), [])
        self.lock()

    def test_the_file_of_a_killed_process_is_no_hindrance(self) -> None:
        (self.path / "lock").write_text("4000000000\n")
        self.lock()
        self.assertEqual((self.path / "lock").read_text(), f"{os.getpid()}\n")

    def test_a_process_that_dies_lets_go(self) -> None:
        script = "import sys, pathlib, os; from routing_crust.daemon.state_directory import StateLock\n"
        script += "lock = StateLock(pathlib.Path(sys.argv[1])); os.kill(os.getpid(), 9)"
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        ended = subprocess.run([sys.executable, "-c", script, str(self.path)], env=environment, check=False)
        self.assertEqual(ended.returncode, -9)
        self.assertTrue((self.path / "lock").exists())
        self.lock()

    def test_a_file_that_its_holder_removes_meanwhile_is_not_taken_for_the_lock(self) -> None:
        old = self.lock()
        real_flock = state_directory.fcntl.flock
        seen: list[int] = []

        def flock(descriptor: int, operation: int) -> None:
            if not seen:
                old.release()  # after we opened the file, and before we lock it
            seen.append(descriptor)
            real_flock(descriptor, operation)

        self.patch(state_directory.fcntl, "flock", flock)
        self.lock()
        self.assertEqual(len(seen), 2)
        self.assertIn("another daemon", self.refused())

    def test_folder_that_cannot_be_written_is_refused(self) -> None:
        (self.path / "lock").mkdir()
        self.assertEqual(self.refused(), f"state_dir: {self.path / 'lock'} cannot be locked: Is a directory")

    def test_a_link_is_not_followed(self) -> None:
        target = self.path / "target"
        os.symlink(target, self.path / "lock")
        self.assertIn("cannot be locked", self.refused())
        self.assertFalse(target.exists())

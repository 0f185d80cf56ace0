"""Files that survive a kill, a full disk and a refused write."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from routing_crust.files import read_bounded, write_atomically

OLD = b"old" * 10_000
NEW = b"new content " * 50_000

# Forks a child that is killed by SIGKILL before its n-th step, for n = 1, 2, ... until one lives to the end.
# A step is whatever Python's profiler reports: each call of a function of C, so each system call as well,
# and each return from one. After each kill the file must be one of the two, whole.
KILLER = """
import os, signal, sys
from pathlib import Path
from routing_crust.files import write_atomically
path, replace = Path(sys.argv[1]), sys.argv[2] == "replace"
OLD, NEW = b"old" * 10_000, b"new content " * 50_000
seen = {"old": 0, "new": 0}
killed = temporary = 0
sys.settrace(None)
while True:
    for each in path.parent.iterdir():
        each.unlink()
    if replace:
        path.write_bytes(OLD)
    child = os.fork()
    if child == 0:
        steps = [killed]
        def count(frame, event, argument):
            if steps[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            steps[0] -= 1
        sys.setprofile(count)
        write_atomically(path, NEW, replace=replace)
        sys.setprofile(None)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    content = path.read_bytes() if path.exists() else None
    if content == NEW:
        seen["new"] += 1
    elif content == (OLD if replace else None):
        seen["old"] += 1
    else:
        raise SystemExit(f"killed before step {killed}: {content and len(content)} bytes")
    leftover = [each for each in path.parent.iterdir() if each != path]
    temporary += len(leftover)
    if any(each.stat().st_mode & 0o77 for each in leftover):
        raise SystemExit(f"killed before step {killed}: others may read what was left")
    if os.WIFEXITED(status):
        if os.WEXITSTATUS(status) or leftover:
            raise SystemExit(f"the last one: status {status}, left {leftover}")
        break
    killed += 1
print(killed, seen["old"], seen["new"], temporary)
"""


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(each for each in sys.path if each)}


class ReadTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp())

    def test_no_more_is_read_than_is_asked_for(self) -> None:
        self.path.write_bytes(b"0123456789")
        self.assertEqual(read_bounded(self.path, 4), b"0123")

    def test_pipe_is_refused_without_waiting_for_a_writer(self) -> None:
        os.mkfifo(self.path)
        self.assertRaisesRegex(OSError, "it is no plain file", read_bounded, self.path, 4)

    def test_file_that_is_not_there_is_told_apart(self) -> None:
        self.assertRaises(FileNotFoundError, read_bounded, self.path, 4)


class WriteTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.path = self.folder / "file"

    def only_file(self) -> bytes:
        """What the file holds, after looking that nothing else was left beside it."""
        self.assertEqual(os.listdir(self.path.parent), ["file"])
        return self.path.read_bytes()

    @given(st.binary(max_size=200), st.binary(max_size=200))
    def test_file_is_created_and_replaced(self, first: bytes, second: bytes) -> None:
        """The file holds what was written last."""
        for data in (first, second):
            write_atomically(self.path, data)
            self.assertEqual(self.only_file(), data)

    def test_mode_is_the_requested_one_whatever_the_old_file_or_umask_was(self) -> None:
        self.path.write_bytes(OLD)
        self.path.chmod(0o666)
        write_atomically(self.path, NEW)
        self.assertEqual(self.path.stat().st_mode & 0o7777, 0o600)
        write_atomically(self.path, NEW, 0o644)
        self.assertEqual(self.path.stat().st_mode & 0o7777, 0o644)

    def test_file_that_may_not_be_replaced_stays_and_no_other_is_left(self) -> None:
        write_atomically(self.path, OLD, replace=False)
        self.assertRaises(FileExistsError, write_atomically, self.path, NEW, replace=False)
        self.assertEqual(self.only_file(), OLD)

    def test_bare_file_name_means_the_current_folder(self) -> None:
        before = os.getcwd()
        os.chdir(self.folder)
        try:
            write_atomically(Path("file"), NEW)
        finally:
            os.chdir(before)
        self.assertEqual(self.only_file(), NEW)

    def test_folder_in_the_place_of_the_file_is_an_error(self) -> None:
        """A folder of that name is not replaced, and no temporary file is left."""
        self.path.mkdir()
        for replace in (True, False):
            self.assertRaises(OSError, write_atomically, self.path, NEW, replace=replace)
            self.assertEqual(os.listdir(self.folder), ["file"])
            self.assertTrue(self.path.is_dir())

    def test_nothing_is_written_without_the_folder(self) -> None:
        self.assertRaises(FileNotFoundError, write_atomically, self.folder / "none" / "file", NEW)
        self.assertEqual(os.listdir(self.folder), [])

    def test_file_above_the_size_limit_leaves_the_old_one(self) -> None:
        """A write that fails half way leaves the old file, and no temporary one."""
        write_atomically(self.path, OLD)
        old = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(NEW) // 2, old[1]))
        try:
            for replace in (True, False):
                self.assertRaises(OSError, write_atomically, self.path, NEW, replace=replace)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, old)
        self.assertEqual(self.only_file(), OLD)

    def test_no_descriptor_is_left_open(self) -> None:
        """Neither a success nor a failure keeps a file open."""
        before = sorted(os.listdir("/proc/self/fd"))
        write_atomically(self.path, NEW)
        self.assertRaises(FileExistsError, write_atomically, self.path, NEW, replace=False)
        self.assertRaises(FileNotFoundError, write_atomically, self.folder / "none" / "file", NEW)
        self.assertEqual(sorted(os.listdir("/proc/self/fd")), before)

    def test_full_disk_leaves_the_old_file_and_takes_no_room(self) -> None:
        mount = self.folder / "disk"
        mount.mkdir()
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(mount)],
            capture_output=True,
            text=True,
            check=False,
        )
        if mounted.returncode != 0:
            raise SkipTest(f"no small disk can be made here: {mounted.stderr.strip()}")
        self.addCleanup(subprocess.run, ["umount", str(mount)], check=True)
        self.path = mount / "file"
        write_atomically(self.path, OLD)
        free = os.statvfs(mount).f_bavail
        for replace in (True, False):
            error = self.assertRaises(OSError, write_atomically, self.path, NEW, replace=replace)
            self.assertIn("No space left", str(error))
            self.assertEqual(self.only_file(), OLD)
            self.assertEqual(os.statvfs(mount).f_bavail, free)
        write_atomically(self.path, OLD[::-1])
        self.assertEqual(self.only_file(), OLD[::-1])


class KillTests(SynchronousTestCase):
    """SIGKILL at every step of the way."""

    def kill_everywhere(self, replace: bool) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        done = subprocess.run(
            [sys.executable, "-c", KILLER, str(folder / "file"), "replace" if replace else "create"],
            capture_output=True,
            text=True,
            env=environment(),
            check=False,
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        killed, old, new, temporary = map(int, done.stdout.split())
        # There were many steps, both before and after the decisive one, and some left a temporary file:
        # so the kills did come in between.
        self.assertGreater(killed, 20)
        self.assertGreater(old, 10)
        self.assertGreater(new, 2)
        self.assertGreater(temporary, 5)

    def test_killed_replacement_leaves_the_old_or_the_new_file_whole(self) -> None:
        self.kill_everywhere(True)

    def test_killed_creation_leaves_no_file_or_the_new_one_whole(self) -> None:
        self.kill_everywhere(False)

    def test_kill_between_writes_leaves_a_whole_file(self) -> None:
        """A process that writes all the time and is killed at any moment leaves a whole file."""
        folder = Path(self.mktemp())
        folder.mkdir()
        path = folder / "file"
        write_atomically(path, bytes(100_000))
        script = (
            "import sys\nfrom pathlib import Path\nfrom routing_crust.files import write_atomically\n"
            "count = 0\nwhile True:\n"
            "    count += 1\n    write_atomically(Path(sys.argv[1]), bytes([count % 256]) * 100_000)\n"
            "    if count in (1, 2, 3, 5, 8): print(count, flush=True)\n"
        )
        for _ in range(3):
            child = subprocess.Popen(
                [sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, env=environment()
            )
            assert child.stdout is not None
            for _ in range(5):
                self.assertNotEqual(child.stdout.readline(), b"")
            child.kill()
            self.assertEqual(child.wait(), -signal.SIGKILL)
            child.stdout.close()
            content = path.read_bytes()
            self.assertEqual(content, content[:1] * 100_000)

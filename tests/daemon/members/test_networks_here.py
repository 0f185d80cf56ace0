"""
The private networks of a user: how they are found, and how a state directory is made whole or not at all.
"""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import stat
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from unittest import mock

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from routing_crust.daemon.members import moving_in, networks_here
from routing_crust.daemon.members.networks_here import (
    CONFIG_NAME,
    check_new,
    label_of,
    network_at,
    new_state_dir,
    private_networks,
    settings_path,
    way_to,
)
from routing_crust.errors import ConfigurationError

from ..fakes import temporary_directory


class NetworksTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.base = temporary_directory(self)
        self.patch(networks_here, "default_state_dir", lambda network: self.base / network)

    def made(self, label: str, text: str = 'network = "x"\n') -> Path:
        folder = self.base / label
        folder.mkdir()
        (folder / CONFIG_NAME).write_text(text)
        return folder


class FindingTests(NetworksTestCase):
    def test_nothing_is_found_where_nothing_is(self) -> None:
        self.assertIsNone(settings_path({}, None))
        self.assertIsNone(settings_path({"state_dir": str(self.base)}, None))

    def test_only_network_is_the_one_that_is_meant(self) -> None:
        home = self.made("home")
        self.assertEqual(settings_path({}, None), home / CONFIG_NAME)
        self.assertEqual(way_to(home), "")

    def test_open_network_has_no_settings_file_of_its_own(self) -> None:
        self.made("home")
        (self.base / "default").mkdir()
        self.assertIsNone(settings_path({"network": "default"}, None))

    def test_state_directory_brings_its_settings_file(self) -> None:
        self.made("home")
        work = self.made("work")
        self.assertEqual(settings_path({"state_dir": str(work)}, None), work / CONFIG_NAME)
        self.assertEqual(settings_path({"state_dir": str(work)}, Path("/x")), Path("/x"))

    def test_several_networks_have_to_be_told_apart(self) -> None:
        home, work = self.made("home"), self.made("work")
        error = self.assertRaises(ConfigurationError, settings_path, {}, None)
        self.assertIn("several private networks here (home, work)", str(error))
        self.assertIn(f"--state-dir={home}", str(error))
        self.assertEqual(way_to(work), f" --state-dir={work}")
        self.assertEqual(private_networks(), (home / CONFIG_NAME, work / CONFIG_NAME))

    def test_home_that_may_not_be_read_has_no_networks(self) -> None:
        # made up, since nothing is refused to root
        with mock.patch.object(Path, "glob", side_effect=PermissionError(errno.EACCES, "Permission denied")):
            self.assertEqual(private_networks(), ())

    def test_way_to_a_network_that_is_yet_to_be_made(self) -> None:
        self.assertEqual(way_to(self.base / "home", new=True), "")
        self.assertEqual(way_to(self.base / "x" / "home", new=True), f" --state-dir={self.base}/x/home")
        self.made("work")
        self.assertEqual(way_to(self.base / "home", new=True), f" --state-dir={self.base}/home")

    def test_network_and_label_of_a_folder(self) -> None:
        home = self.made("home", 'network = "key:abc"\n')
        self.assertEqual(network_at(home / CONFIG_NAME), "key:abc")
        self.assertEqual(network_at(home / "none"), "")
        self.assertEqual(label_of(home), "home")
        (home / "label").write_text("Our house\n")
        self.assertEqual(label_of(home), "Our house")


class MakingTests(NetworksTestCase):
    def entries(self) -> list[str]:
        return sorted(os.listdir(self.base))

    def fill(self, state_dir: Path, error: type[BaseException] | BaseException) -> None:
        with new_state_dir(state_dir) as making:
            (making / "key").write_text("k")
            raise error

    def test_folder_is_there_with_all_that_was_written(self) -> None:
        with new_state_dir(self.base / "a" / "home") as making:
            (making / "key").write_text("k")
            self.assertFalse((self.base / "a" / "home").exists())
        self.assertEqual(os.listdir(self.base / "a"), ["home"])
        self.assertEqual((self.base / "a" / "home" / "key").read_text(), "k")
        self.assertEqual(stat.S_IMODE((self.base / "a" / "home").stat().st_mode), 0o700)

    def test_nothing_is_left_of_one_that_fails(self) -> None:
        for error in (ValueError, OSError(28, "No space left on device"), KeyboardInterrupt):
            with self.assertRaises((ValueError, ConfigurationError, KeyboardInterrupt)):
                self.fill(self.base / "home", error)
            self.assertEqual(self.entries(), [])

    def test_folder_of_one_that_was_killed_is_removed_by_the_next(self) -> None:
        with (
            mock.patch.object(networks_here.shutil, "rmtree"),
            self.assertRaises(KeyboardInterrupt),
        ):
            self.fill(self.base / "home", KeyboardInterrupt())
        (left,) = self.entries()
        self.assertTrue((self.base / left / "key").exists())
        check_new(self.base / "home")
        self.assertEqual(self.entries(), [])

    def test_folder_that_another_program_fills_at_this_moment_stays(self) -> None:
        with new_state_dir(self.base / "home") as making:
            (making / "key").write_text("k")
            check_new(self.base / "home")
            self.assertEqual(os.listdir(making), ["key"])
        self.assertEqual(self.entries(), ["home"])

    def test_empty_folder_is_used_and_any_other_is_not(self) -> None:
        (self.base / "home").mkdir()
        with new_state_dir(self.base / "home") as making:
            (making / "key").write_text("k")
        error = self.assertRaises(ConfigurationError, check_new, self.base / "home")
        self.assertIn("is there already, with key in it", str(error))
        with self.assertRaises(ConfigurationError), new_state_dir(self.base / "home"):
            self.fail("it must not come to this")
        self.assertEqual(self.entries(), ["home"])

    def test_folder_that_somebody_fills_meanwhile_is_left_alone(self) -> None:
        with self.assertRaises(ConfigurationError), new_state_dir(self.base / "home") as making:
            (making / "key").write_text("ours")
            (self.base / "home").mkdir()
            (self.base / "home" / "key").write_text("theirs")
        self.assertEqual((self.base / "home" / "key").read_text(), "theirs")
        self.assertEqual(self.entries(), ["home"])

    def test_place_that_cannot_be_written_is_found_out_before(self) -> None:
        (self.base / "file").write_text("")
        error = self.assertRaises(ConfigurationError, check_new, self.base / "file" / "home")
        self.assertIn("Not a directory", str(error))


class VolumeTests(NetworksTestCase):
    """State directories that another folder cannot take the place of."""

    def setUp(self) -> None:
        super().setUp()
        self.volume = self.base / "volume"
        self.volume.mkdir(mode=0o755)
        (self.volume / "lost+found").mkdir()
        self.patch(networks_here, "stays", lambda state_dir: state_dir == self.volume)

    def entries(self) -> list[str]:
        return sorted(each for each in os.listdir(self.volume) if each != "lost+found")

    def write(self, making: Path) -> None:
        for name in (CONFIG_NAME, "certificate", "key.pem"):
            (making / name).write_text(name)

    def break_off_at(self, number: int) -> None:
        """Fill the volume, and end at one of the moves as a power cut would: nothing is put in order."""
        moves = iter(range(number))

        def move(old: Path, new: Path) -> None:
            if next(moves, None) is None:
                raise KeyboardInterrupt
            rename(old, new)

        rename = os.rename
        with ExitStack() as patches:
            patches.enter_context(mock.patch.object(moving_in.os, "rename", move))
            patches.enter_context(mock.patch.object(moving_in, "_clear", return_value=None))
            with self.assertRaises(KeyboardInterrupt), new_state_dir(self.volume) as making:
                self.write(making)

    def test_volume_is_filled_and_nobody_else_may_enter_it(self) -> None:
        with new_state_dir(self.volume) as making:
            self.write(making)
            self.assertFalse((self.volume / "key.pem").exists())
        self.assertEqual(self.entries(), ["certificate", CONFIG_NAME, "key.pem"])
        self.assertEqual((self.volume / "key.pem").read_text(), "key.pem")
        self.assertEqual(stat.S_IMODE(self.volume.stat().st_mode), 0o700)
        error = self.assertRaises(ConfigurationError, check_new, self.volume)
        self.assertIn("is there already, with", str(error))

    def test_nothing_is_left_in_it_of_one_that_fails(self) -> None:
        for error in (ValueError, OSError(28, "No space left on device"), KeyboardInterrupt):
            with (
                self.assertRaises((ValueError, ConfigurationError, KeyboardInterrupt)),
                new_state_dir(self.volume) as making,
            ):
                self.write(making)
                raise error
            self.assertEqual(self.entries(), [])

    def test_settings_come_last(self) -> None:
        self.break_off_at(2)
        self.assertEqual(self.entries(), [moving_in.CRATE_NAME, "certificate", "key.pem"])

    def test_nothing_is_left_of_one_that_a_power_cut_ended(self) -> None:
        for number in range(3):
            self.break_off_at(number)
            self.assertIn(moving_in.CRATE_NAME, self.entries())
            check_new(self.volume)
            self.assertEqual(self.entries(), [])

    def test_state_that_was_complete_before_the_power_cut_stays(self) -> None:
        with (
            mock.patch.object(moving_in, "_clear", return_value=None),
            new_state_dir(self.volume) as making,
        ):
            self.write(making)
        self.assertIn(moving_in.CRATE_NAME, self.entries())
        moving_in.discard_unfinished(self.volume)
        self.assertEqual(self.entries(), ["certificate", CONFIG_NAME, "key.pem"])

    def test_what_a_program_has_put_there_since_the_power_cut_is_not_removed(self) -> None:
        self.break_off_at(1)
        (self.volume / "key.pem").write_text("theirs")
        self.assertRaises(ConfigurationError, check_new, self.volume)
        self.assertEqual((self.volume / "key.pem").read_text(), "theirs")
        self.assertEqual(self.entries(), ["key.pem"])

    def test_what_comes_meanwhile_is_left_alone(self) -> None:
        with self.assertRaises(ConfigurationError) as caught, new_state_dir(self.volume) as making:
            self.write(making)
            (self.volume / "key.pem").write_text("theirs")
        self.assertIn("key.pem has come meanwhile", str(caught.exception))
        self.assertEqual(self.entries(), ["key.pem"])
        self.assertEqual((self.volume / "key.pem").read_text(), "theirs")

    def test_two_do_not_fill_it_at_once(self) -> None:
        with new_state_dir(self.volume) as making:
            self.write(making)
            error = self.assertRaises(ConfigurationError, check_new, self.volume)
            self.assertIn("another program is filling", str(error))
        self.assertEqual(self.entries(), ["certificate", CONFIG_NAME, "key.pem"])


FOUND = """
import os, stat, sys
from routing_crust.daemon.cli import main

volume = sys.argv[1]
main(["init", "home", "--state-dir", volume])
found = set(os.listdir(volume))
assert {"certificate", "config.toml", "key.pem"} <= found and ".unfinished" not in found, found
assert os.path.ismount(volume) or volume in open("/proc/self/mountinfo").read().replace("\\\\040", " ")
assert stat.S_IMODE(os.stat(volume).st_mode) == 0o700
"""


class MountTests(NetworksTestCase):
    """What the system says of a folder."""

    def test_folder_of_ones_own_can_be_replaced(self) -> None:
        self.assertFalse(moving_in.stays(self.base))
        self.assertFalse(moving_in.stays(self.base / "none"))

    def test_network_is_founded_in_a_volume_that_is_mounted(self) -> None:
        source = self.base / "source"
        source.mkdir()
        # the second is of the same file system, and looks like any other folder
        for number, mount in enumerate((("-t", "tmpfs", "none"), ("--bind", str(source)))):
            volume = self.base / f"volume {number}"
            volume.mkdir()
            self.run_beside("mount", *mount, str(volume), then=FOUND, arguments=(str(volume),))

    def run_beside(self, *command: str, then: str, arguments: tuple[str, ...]) -> None:
        """Run a command in a namespace of mounts of its own, and there a program that has to succeed."""
        unshare = shutil.which("unshare")
        if unshare is None:
            raise SkipTest("unshare is not here")
        inside = (unshare, "--user", "--map-root-user", "--mount")
        tried = subprocess.run([*inside, *command], capture_output=True, text=True, check=False)
        if tried.returncode:
            raise SkipTest(f"nothing can be mounted here: {tried.stderr.strip()}")
        script = f'{shlex.join(command)} && exec "$0" "$@"'
        done = subprocess.run(
            [*inside, "sh", "-c", script, sys.executable, "-c", then, *arguments],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))},
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""))

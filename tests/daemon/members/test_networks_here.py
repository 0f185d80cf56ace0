"""
The private networks of a user: how they are found, and how a state directory is made whole or not at all.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.daemon.members import networks_here
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

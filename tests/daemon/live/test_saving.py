"""
What was added or removed goes into the settings file, and the rest of the file stays as it stands.
"""

from __future__ import annotations

import os
import stat
from dataclasses import replace

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import Settings
from routing_crust.daemon.live import saving
from routing_crust.daemon.live.entries import adding, removing
from routing_crust.daemon.live.saving import can_save, check_edit, edit, save
from routing_crust.daemon.live.source import SettingsSource
from routing_crust.errors import ConfigurationError

from ..fakes import ALICE, BOB, temporary_directory

TABLES = f"""\
# the node of the office
network = "lab"   # not the other one

[nicknames]
bob = "{BOB}"

# programs
[expose]
web = "tcp:localhost:80"  # the wiki

[allow_peer]
web = ["bob"]
"""
LISTS = f"""\
expose = [
    "web=tcp:localhost:80",  # the wiki
]
allow_peer = "web={BOB}"

# where others are
contacts = ["{BOB}@127.0.0.1:1"]  # Bob
max_links = 9
"""


class SavingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = temporary_directory(self) / "config.toml"

    def saved(self, text: str, *changes: tuple[str, str, str]) -> str:
        """
        The file after changes: C{add} or C{remove}, the setting, and the entry.
        """
        self.path.write_text(text, "utf-8")
        source = SettingsSource({}, {}, self.path)
        for verb, setting, entry in changes:
            now = source.read().settings
            allow = ("*",) if setting == "expose" else ()
            new = adding(now, setting, entry, allow) if verb == "add" else removing(now, setting, entry)
            self.assertEqual(save(source, new, setting), self.path)
            self.assertEqual(source.read().settings, new)
        return self.path.read_text("utf-8")

    def test_table_gets_an_entry_and_keeps_its_comments(self) -> None:
        self.assertEqual(
            self.saved(TABLES, ("add", "expose", "ssh=tcp:localhost:22 keep 1h")),
            TABLES.replace("# the wiki\n", '# the wiki\nssh = "tcp:localhost:22 keep 3600s"\n')
            + 'ssh = "*"\n',
        )

    def test_entry_that_is_removed_again_leaves_the_file_as_it_was(self) -> None:
        for text in (TABLES, LISTS):
            after = self.saved(text, ("add", "expose", "x=tcp:localhost:1"), ("remove", "expose", "x"))
            self.assertEqual(after.split(), text.replace(f'"web={BOB}"', f'["web={BOB}"]').split())

    def test_list_gets_an_entry_and_keeps_its_comments(self) -> None:
        after = self.saved(LISTS, ("add", "contacts", f"{ALICE}@127.0.0.1:2"))
        self.assertEqual(after, LISTS.replace('1:1"]', f'1:1", "{ALICE}@127.0.0.1:2"]'))

    def test_setting_that_is_not_there_yet_is_not_put_into_a_table(self) -> None:
        after = self.saved(TABLES, ("add", "contacts", "127.0.0.1:2"), ("add", "forward", "tcp:1=bob/x"))
        for line in TABLES.splitlines():
            self.assertIn(line, after)
        # people read nicknames more easily
        self.assertIn('"tcp:1=bob/x"', after)

    def test_mode_of_the_file_stays_and_so_does_a_link_to_it(self) -> None:
        real = self.path.with_name("real.toml")
        real.write_text(TABLES)
        real.chmod(0o640)
        self.path.symlink_to(real)
        source = SettingsSource({}, {}, self.path)
        save(source, adding(source.read().settings, "expose", "x=tcp:localhost:1"), "expose")
        self.assertTrue(self.path.is_symlink())
        self.assertEqual(stat.S_IMODE(real.stat().st_mode), 0o640)
        self.assertEqual(sorted(os.listdir(self.path.parent)), ["config.toml", "real.toml"])

    def test_file_is_made_in_the_state_directory_that_was_given(self) -> None:
        source = SettingsSource({"state_dir": str(self.path.parent)})
        new = adding(source.read().settings, "contacts", "127.0.0.1:2")
        self.assertEqual(save(source, new, "contacts"), self.path)
        self.assertEqual(self.path.read_text(), 'contacts = ["127.0.0.1:2"]\n')
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)

    def test_what_the_command_line_gives_is_not_saved(self) -> None:
        source = SettingsSource({"allow_peer": ["web=*"]}, {}, self.path)
        said = str(self.assertRaises(ConfigurationError, can_save, source, "expose"))
        self.assertIn("the daemon's command line gives allow_peer, and goes before the file", said)
        self.assertEqual(can_save(source, "forward"), self.path)

    def test_without_a_file_the_error_says_how_to_have_one(self) -> None:
        said = str(
            self.assertRaises(ConfigurationError, can_save, SettingsSource({"network": "x"}), "forward")
        )
        self.assertIn("start it with --config, or with --state-dir", said)

    def test_disk_that_is_full_leaves_the_file_as_it_was(self) -> None:
        self.path.write_text(TABLES)

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        self.patch(saving, "write_atomically", full)
        source = SettingsSource({}, {}, self.path)
        new = adding(source.read().settings, "expose", "x=tcp:localhost:1")
        said = str(self.assertRaises(ConfigurationError, save, source, new, "expose"))
        self.assertIn("cannot be written: No space left on device", said)
        self.assertEqual(self.path.read_text(), TABLES)

    def test_text_that_would_come_out_otherwise_is_refused(self) -> None:
        """Here another edit has come between, and taken what is to stay."""
        now = self.read(TABLES)
        said = self.assertRaises(ConfigurationError, edit, "expose = 3\n", now, "expose")
        self.assertIn("change it by hand", str(said))

    def read(self, text: str) -> Settings:
        self.path.write_text(text)
        return SettingsSource({}, {}, self.path).read().settings

    @hypothesis_settings(max_examples=60, deadline=None)
    @given(
        st.sampled_from((TABLES, LISTS, "", "# nothing\n", "[allow_peer]\n", "forward = {}\n")),
        st.lists(
            st.tuples(st.sampled_from(("expose", "forward", "contacts")), st.integers(1, 4)),
            max_size=5,
            unique=True,
        ),
    )
    def test_any_entries_are_saved_and_nothing_else_changes(
        self, text: str, entries: list[tuple[str, int]]
    ) -> None:
        self.path.write_text(text, "utf-8")
        source = SettingsSource({}, {}, self.path)
        before = source.read().settings
        for setting, number in entries:
            entry = {
                "expose": f"p{number}=tcp:localhost:{number}",
                "forward": f"tcp:{number}={ALICE}/p",
                "contacts": f"127.0.0.1:{100 + number}",
            }[setting]
            new = adding(source.read().settings, setting, entry)
            save(source, new, setting)
            self.assertEqual(source.read().settings, new)
        after = source.read().settings
        untouched = {name: getattr(before, name) for name in ("expose", "allow_peer", "forward", "contacts")}
        self.assertEqual(replace(after, **untouched), before)
        comments = [line for line in text.splitlines() if line.startswith("#")]
        self.assertTrue(set(comments) <= set(self.path.read_text().splitlines()))


class CheckTests(SynchronousTestCase):
    def test_edit_that_would_change_something_else_is_refused(self) -> None:
        now = Settings(forward=(), max_links=9)
        for edited in ("max_links = 8\n", "", 'max_links = 9\nforward = ["tcp:1=x/y"]\n'):
            self.assertRaises(ValueError, check_edit, edited, "max_links = 9\n", now, ("forward",))
        check_edit("max_links = 9\nforward = []\n", "max_links = 9\n", now, ("forward",))

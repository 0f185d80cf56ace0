"""The manual pages: complete, and without anything that man stumbles over."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from twisted.trial.unittest import SkipTest

from routing_crust.config import setting_fields
from routing_crust.daemon import cli
from routing_crust.daemon.commands.arguments import make_parser
from routing_crust.daemon.manual.pages import page_of_commands, page_of_daemon, roff
from routing_crust.daemon.manual.parsers import subparsers
from routing_crust.daemon.option_help import plain_settings

from ..test_cli import CliTestCase


class PageTests(CliTestCase):
    def test_command_writes_both_pages_and_says_where(self) -> None:
        self.assertEqual(self.run_script("manual", str(self.folder / "man")), 0)
        written = [self.folder / "man" / "man1" / f"routing-{each}.1" for each in ("crust", "node")]
        self.assertEqual(self.out.getvalue(), "".join(f"{each}\n" for each in written))
        self.assertEqual(written[0].read_text("utf-8"), page_of_commands())
        self.assertEqual(written[1].read_text("utf-8"), page_of_daemon())

    def test_folder_that_cannot_be_made_is_named(self) -> None:
        (self.folder / "file").write_text("")
        self.assertEqual(self.run_script("manual", str(self.folder / "file")), 1)
        self.assertIn("file/man1 cannot be written: Not a directory", self.err.getvalue())

    def test_every_command_and_each_of_its_options_is_in_the_page(self) -> None:
        page = page_of_commands().replace("\\-", "-")
        self.assertEqual(sorted(re.findall(r"(?m)^\.SS (.+)", page)), sorted(cli.COMMAND_MODULES))
        for command in subparsers(make_parser()).values():
            for action in command._actions:
                for option in action.option_strings:
                    if option not in ("-h", "--help"):
                        self.assertIn(f"\\fB{option}", page)

    def test_every_option_and_setting_of_the_daemon_is_in_the_page(self) -> None:
        page = page_of_daemon().replace("\\-", "-")
        for each in setting_fields():
            if each.metadata["advanced"]:
                self.assertIn(f"\\fB{each.name}\\fR\n", page)
        self.assertEqual(
            page.count(".TP\n\\fB--no-"), sum(isinstance(e.default, bool) for e in plain_settings())
        )
        self.assertIn("\\fB--state-dir=FOLDER\\fR\n", page)

    def test_text_cannot_be_taken_for_a_request_or_an_escape(self) -> None:
        self.assertEqual(roff(".so 'x' \\ ~"), "\\&.so \\(aqx\\(aq \\e \\(ti")

    def test_man_has_nothing_to_complain_of(self) -> None:
        if shutil.which("man") is None:
            raise SkipTest("man is not here")
        for name, page in (("routing-crust", page_of_commands()), ("routing-node", page_of_daemon())):
            path = Path(self.folder / f"{name}.1")
            path.write_text(page, "utf-8")
            done = subprocess.run(
                ["man", "--warnings", "-l", str(path)],
                capture_output=True,
                text=True,
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "MANWIDTH": "80"},
                check=False,
            )
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertIn(name, done.stdout)

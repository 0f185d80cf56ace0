"""The sources of the Debian package, as they stand; C{python -m tests.contrib.debian} builds it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from email.message import Message
from email.parser import Parser

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from routing_crust import __version__

from ..test_packaging import ROOT, in_tree

SCRIPTS = ("postinst", "prerm", "postrm")
LIBRARY = "/usr/lib/routing-crust"


class DebianTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = in_tree("contrib", "debian")
        self.scripts = [self.folder / f"routing-crust.{each}" for each in SCRIPTS]
        self.programs = sorted((self.folder / "bin").iterdir())

    def text(self, name: str) -> str:
        return (self.folder / name).read_text("utf-8")

    def stanzas(self, name: str) -> list[Message]:
        return [Parser().parsestr(each) for each in self.text(name).strip().split("\n\n")]

    def test_version_of_the_changelog_is_that_of_the_package(self) -> None:
        first, *_ = self.text("changelog").splitlines()
        self.assertRegex(first, rf"^routing-crust \({re.escape(__version__)}\) \w+; urgency=\w+$")

    def test_control_file_describes_a_source_and_one_package(self) -> None:
        source, package = self.stanzas("control")
        self.assertEqual((source["Source"], package["Package"]), ("routing-crust", "routing-crust"))
        self.assertEqual(source["Maintainer"], package["Maintainer"] or source["Maintainer"])
        for each in ("adduser", "${python:Version}", "${python:Next}", "${shlibs:Depends}"):
            self.assertIn(each, package["Depends"])
        # both are filled in by the rules
        for each in re.findall(r"\$\{(python:\w+)\}", package["Depends"]):
            self.assertIn(f"-V{each}=", self.text("rules"))

    def test_licence_is_that_of_the_source(self) -> None:
        copyright = self.text("copyright")
        self.assertIn("License: MIT\n", copyright)
        words = re.sub(r"(?m)^ \.?", "", copyright).split()
        licence = in_tree("LICENSE").read_text("utf-8").partition("Permission")[2].split()
        self.assertEqual(words[-len(licence) :], licence)

    def test_scripts_are_ones_of_the_shell_that_stop_at_the_first_error(self) -> None:
        for each in (*self.scripts, *self.programs):
            text = each.read_text("utf-8")
            self.assertTrue(text.startswith("#!/bin/sh\n"), each)
            done = subprocess.run(["sh", "-n", str(each)], capture_output=True, text=True, check=False)
            self.assertEqual((done.returncode, done.stderr), (0, ""), each)
        for each in self.scripts:
            self.assertIn("\nset -e\n", each.read_text("utf-8"))
            self.assertIn("\n#DEBHELPER#\n", each.read_text("utf-8"))

    def test_state_goes_with_a_purge_only(self) -> None:
        for each in self.scripts:
            before, found, after = each.read_text("utf-8").partition("rm -rf /var/lib/routing-crust")
            self.assertEqual(bool(found), each.suffix == ".postrm", each)
            if found:
                self.assertIn('if [ "$1" = purge ]; then', before)
                self.assertIn("\nfi\n", after)

    def test_programs_start_the_python_of_the_package_and_nobody_elses_modules(self) -> None:
        self.assertEqual([each.name for each in self.programs], ["routing-crust", "twistd"])
        for each in self.programs:
            (line,) = re.findall(r"(?m)^exec (.+)$", each.read_text("utf-8"))
            self.assertTrue(line.startswith(f"{LIBRARY}/bin/python3 -I -c '"), line)
            self.assertTrue(line.endswith('\' "$@"'), line)
            (code,) = re.findall(r"-c '(.+)'", line)
            compile(code, each.name, "exec")
            self.assertIn(f'sys.argv[0] = "{each.name}"', code)
            self.assertTrue(os.access(each, os.X_OK), each)

    def test_rules_are_ones_that_make_can_read(self) -> None:
        make = shutil.which("make")
        if make is None:
            raise SkipTest("make is not here")
        rules = self.folder / "rules"
        self.assertTrue(os.access(rules, os.X_OK))
        done = subprocess.run(
            [make, "-n", "-f", str(rules), "override_dh_auto_install"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("contrib/systemd/system/routing-crust@.service", done.stdout)
        unit = in_tree("contrib", "systemd", "system", "routing-crust@.service").read_text("utf-8")
        # what the rules replace by the folder of the package
        self.assertIn("/opt/routing-crust/bin/twistd", unit)

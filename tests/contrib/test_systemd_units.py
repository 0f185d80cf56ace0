"""The units for systemd, judged by systemd itself."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from routing_crust.daemon.options import Options

from ..daemon.fakes import temporary_directory
from ..test_packaging import in_tree

MAX_EXPOSURE = 2.5
"""Of 10; systemd calls what is below 2 to 5 safe enough for most services."""


class UnitTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.units = in_tree("contrib", "systemd")
        self.folder = temporary_directory(self)

    def instances(self, kind: str) -> list[Path]:
        """The units of one kind as instances named 'home', with a program that is there."""
        made = []
        for unit in sorted((self.units / kind).glob("*@.*")):
            text = re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={sys.executable}", unit.read_text("utf-8"))
            path = self.folder / unit.name.replace("@", "@home")
            path.write_text(text, "utf-8")
            made.append(path)
        self.assertTrue(made)
        return made

    def analyze(self, *arguments: str | Path) -> str:
        program = shutil.which("systemd-analyze")
        if program is None:
            raise SkipTest("systemd-analyze is not here")
        done = subprocess.run(
            [program, *map(str, arguments)],
            capture_output=True,
            text=True,
            env={**os.environ, "XDG_RUNTIME_DIR": str(self.folder)},
            check=False,
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        return done.stdout

    def test_units_of_the_system_are_clean(self) -> None:
        # the manual pages need not be installed here
        self.analyze("verify", "--man=no", *self.instances("system"))

    def test_units_of_a_user_are_clean(self) -> None:
        self.analyze("--user", "verify", "--man=no", *self.instances("user"))

    def test_service_of_the_system_has_little_that_it_does_not_need(self) -> None:
        (service,) = (each for each in self.instances("system") if each.suffix == ".service")
        said = self.analyze("security", "--offline=yes", service)
        exposure = re.search(r"Overall exposure level for \S+: ([\d.]+)", said)
        assert exposure is not None, said
        self.assertLessEqual(float(exposure[1]), MAX_EXPOSURE)

    def test_services_wait_until_the_node_listens_and_watch_it(self) -> None:
        for kind in ("system", "user"):
            text = (self.units / kind / "routing-crust@.service").read_text("utf-8")
            for line in ("Type=notify", "WatchdogSec=60", "UMask=0077"):
                self.assertIn(f"\n{line}\n", text)
            # pyOpenSSL's callbacks need memory that is written and executed: with it no link comes up
            self.assertNotIn("\nMemoryDenyWriteExecute=yes", text)

    def test_services_start_the_daemon_in_its_folder_with_options_that_it_has(self) -> None:
        for kind in ("system", "user"):
            text = (self.units / kind / "routing-crust@.service").read_text("utf-8")
            (command,) = re.findall(r"(?m)^ExecStart=(.+)", text)
            (folder,) = re.findall(r"(?m)^WorkingDirectory=(.+)", text)
            words = shlex.split(command)
            options = Options()
            options.parseOptions(words[words.index("routing-node") + 1 :])
            self.assertEqual(options.given, {"state_dir": folder})
            # the journal, and not a file, has the log
            self.assertEqual(words[1 : words.index("routing-node")], ["--nodaemon", "--pidfile="])

    def test_sockets_take_ipv4_and_ipv6_apart(self) -> None:
        for kind in ("system", "user"):
            text = (self.units / kind / "routing-crust@.socket").read_text("utf-8")
            for line in ("BindIPv6Only=ipv6-only", "Accept=no", "ReusePort=yes"):
                self.assertIn(f"\n{line}\n", text)

"""Completion: scripts that the shells understand, and the names that they offer."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.util import find_spec
from typing import Any
from unittest import mock

from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SkipTest

from routing_crust.daemon.control.inbox import DaemonInbox
from routing_crust.daemon.control.server import ControlServer
from routing_crust.daemon.manual.completion import completed_names, script

from ..fakes import BOB, CAROL, FakeService
from ..test_cli import CliTestCase

SHELLS = {"bash": "-n", "zsh": "-n", "fish": "-n"}


class ScriptTests(CliTestCase):
    def setUp(self) -> None:
        super().setUp()
        if find_spec("shtab") is None:
            raise SkipTest("shtab is not installed")

    def shell(self, name: str, *arguments: str) -> str:
        if shutil.which(name) is None:
            raise SkipTest(f"{name} is not here")
        done = subprocess.run([name, *arguments], capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def understood(self, name: str) -> None:
        path = self.folder / "script"
        path.write_text(script(name), "utf-8")
        self.shell(name, "-n", str(path))

    def test_bash_understands_it(self) -> None:
        self.understood("bash")

    def test_zsh_understands_it(self) -> None:
        self.understood("zsh")

    def test_fish_understands_it(self) -> None:
        self.understood("fish")

    def completed(self, *words: str) -> list[str]:
        """What bash offers for the last word, with a stand-in for the names of nodes."""
        path = self.folder / "script"
        path.write_text(script("bash"), "utf-8")
        typed = " ".join(f"'{each}'" for each in words)
        said = self.shell(
            "bash",
            *("--norc", "-c"),
            f"routing-crust() {{ echo laptop desk; }}; source {path}; COMP_WORDS=({typed}); "
            f"COMP_CWORD={len(words) - 1}; COMP_LINE='{' '.join(words)}'; COMP_POINT=${{#COMP_LINE}}; "
            f"_shtab_routing_crust '{words[0]}' '{words[-1]}'; echo \"${{COMPREPLY[@]}}\"",
        )
        return said.split()

    def test_commands_options_and_names_are_completed(self) -> None:
        self.assertEqual(self.completed("routing-crust", "doc"), ["doctor"])
        self.assertEqual(self.completed("routing-crust", "send", "--ti"), ["--timeout"])
        self.assertEqual(self.completed("routing-crust", "send", "lap"), ["laptop"])
        self.assertEqual(self.completed("routing-crust", "ban", "de"), ["desk"])

    def test_commands_of_two_words_are_completed_word_by_word(self) -> None:
        self.assertEqual(self.completed("routing-crust", "contact", "re"), ["remove"])
        self.assertEqual(self.completed("routing-crust", "expose", "add", "--sa"), ["--save"])
        self.assertEqual(self.completed("routing-crust", "forward", "list", "--js"), ["--json"])

    def test_command_prints_the_script(self) -> None:
        self.assertEqual(self.run_script("completion", "bash"), 0)
        self.assertEqual(self.out.getvalue(), script("bash") + "\n")


class WithoutShtabTests(CliTestCase):
    def test_missing_package_is_named_with_the_command_that_installs_it(self) -> None:
        with mock.patch.dict(sys.modules, {"shtab": None}):
            self.assertEqual(self.run_script("completion", "bash"), 1)
        self.assertIn('pip install "routing-crust[completion]"', self.err.getvalue())

    def test_shell_that_is_not_known_is_refused(self) -> None:
        self.assertIn("invalid choice: 'csh'", self.refused("completion", "csh"))


class NamesTests(CliTestCase):
    def test_nicknames_are_offered_and_names_where_there_is_none(self) -> None:
        links = [{"peer": str(BOB), "nickname": "bob"}, {"peer": str(CAROL), "nickname": ""}]
        members = [{"name": str(BOB), "nickname": "bob"}, {"name": "x", "nickname": "desk"}]
        self.assertEqual(completed_names(links, members), sorted(["bob", "desk", str(CAROL)]))

    def test_nothing_that_a_shell_would_expand_is_offered(self) -> None:
        """Bash expands the words once more, and a peer chooses its nickname."""
        names = ("$(reboot)", "`reboot`", "a b", "*", "~", "")
        self.assertEqual(completed_names([], [{"nickname": each} for each in names]), [])

    def test_without_a_daemon_nothing_is_offered(self) -> None:
        self.assertEqual(self.run_script(*self.here("completion", "names")), 0)
        self.assertEqual((self.out.getvalue(), self.err.getvalue()), ("", ""))

    async def test_daemon_is_asked_for_its_links(self) -> None:
        service: Any = FakeService()
        service.links = [{"peer": str(BOB), "nickname": "bob"}]
        server = ControlServer(service, DaemonInbox(), dict)
        server.listen(self.folder / "control.sock", reactor)
        self.addCleanup(server.stop, reactor)
        code = await deferToThread(self.run_script, *self.here("completion", "names"))
        self.assertEqual((code, self.out.getvalue()), (0, "bob\n"))

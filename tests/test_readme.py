"""What the README shows is what there is: its example and its command lines."""

from __future__ import annotations

import shlex
from importlib.util import find_spec
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.daemon.commands.arguments import make_parser
from routing_crust.daemon.plugin import Options

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.rst"


class ReadmeTests(SynchronousTestCase):
    def setUp(self) -> None:
        if not README.exists():
            raise self.skipTest("the README is not installed with the tests")
        self.text = README.read_text(encoding="utf-8")

    def commands(self, program: str) -> list[list[str]]:
        """The arguments of each call of this program."""
        found = []
        for line in self.text.splitlines():
            if not line.startswith("   "):
                continue
            for part in line.strip().removeprefix("$ ").split("&&"):
                # no apostrophe of a text in between is taken for a quote
                words = shlex.split(part, comments=True) if part.strip().startswith(program) else []
                if words[:1] == [program]:
                    found.append(words[1:])
        return found

    def test_example_is_the_one_that_runs(self) -> None:
        """It is the one that runs, line by line."""
        example = (ROOT / "examples" / "greeter.py").read_text()
        shown = "".join(f"    {line}" if line.strip() else "\n" for line in example.splitlines(keepends=True))
        self.assertIn(shown, self.text)

    def test_every_call_of_the_daemon_is_understood(self) -> None:
        """Every call of the daemon is understood."""
        calls = [words[words.index("routing-node") + 1 :] for words in self.commands("twistd")]
        self.assertGreaterEqual(len(calls), 1)
        for words in calls:
            Options().parseOptions(words)

    def test_every_call_of_the_console_script_is_understood(self) -> None:
        """Every call of the console script is understood."""
        calls = self.commands("routing-crust")
        self.assertGreaterEqual(len(calls), 5)
        for words in calls:
            self.assertEqual(make_parser().parse_args(words).command, words[0])

    def test_every_command_that_runs_tests_names_tests_that_are_there(self) -> None:
        calls = [words for words in self.commands("python") if words[:2] == ["-m", "twisted.trial"]]
        self.assertIn(["-m", "twisted.trial", "tests"], calls)
        for words in calls:
            for name in words[2:]:
                self.assertIsNotNone(find_spec(name), name)

"""What the README shows is what there is: its example and its command lines."""

from __future__ import annotations

import shlex
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.daemon.arguments import make_parser
from routing_crust.daemon.plugin import Options

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.rst"


class ReadmeTests(SynchronousTestCase):
    def setUp(self) -> None:
        if not README.exists():
            raise self.skipTest("the README is not installed with the tests")
        self.text = README.read_text()

    def commands(self, program: str) -> list[list[str]]:
        """The arguments of each call of this program, with something in place of what the shell puts in."""
        found = []
        for line in self.text.splitlines():
            if not line.startswith("    "):
                continue
            for part in line.replace("$(routing-crust name --state-dir /tmp/three)", "a" * 52).split("&&"):
                words = shlex.split(part.replace("$FIRST", "a" * 52 + "@127.0.0.1:5501"), comments=True)
                if words[:1] == [program]:
                    found.append(words[1:])
        return found

    def test_the_example(self) -> None:
        """It is the one that runs, line by line."""
        example = (ROOT / "examples" / "greeter.py").read_text()
        shown = "".join(f"    {line}" if line.strip() else "\n" for line in example.splitlines(keepends=True))
        self.assertIn(shown, self.text)

    def test_twistd(self) -> None:
        """Every call of the daemon is understood."""
        calls = [words[words.index("routing-node") + 1 :] for words in self.commands("twistd")]
        self.assertGreaterEqual(len(calls), 4)
        for words in calls:
            Options().parseOptions(words)

    def test_console_script(self) -> None:
        """Every call of the console script is understood."""
        calls = self.commands("routing-crust")
        self.assertGreaterEqual(len(calls), 3)
        for words in calls:
            self.assertEqual(make_parser().parse_args(words).command, words[0])

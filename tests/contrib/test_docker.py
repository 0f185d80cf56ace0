"""The files for containers: their commands are ones that the programs take, and a linter likes them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from routing_crust.daemon.commands.arguments import make_parser
from routing_crust.daemon.options import Options

from ..test_packaging import ROOT, in_tree
from .docker import instructions


class DockerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.file = in_tree("contrib", "docker", "Dockerfile")
        self.text = self.file.read_text("utf-8")

    def options(self, words: list[str]) -> Options:
        """The options of a command line of twistd's."""
        options = Options()
        options.parseOptions(words[words.index("routing-node") + 1 :])
        return options

    def listed(self, instruction: str) -> list[str]:
        (found,) = re.findall(rf"(?m)^ *{instruction} (\[.+\])$", self.text)
        words = json.loads(found)
        assert isinstance(words, list)
        return words

    def test_container_runs_the_daemon_in_its_folder_as_nobody_special(self) -> None:
        words = self.listed("ENTRYPOINT")
        self.assertEqual(words[:3], ["twistd", "--nodaemon", "--pidfile="])
        self.assertEqual(self.options(words).given, {"state_dir": "/state"})
        self.assertRegex(self.text, r"(?m)^USER (?!0)\d+:\d+$")
        self.assertIn("\nVOLUME /state\n", self.text)

    def test_health_is_what_the_status_command_says(self) -> None:
        words = self.listed("CMD")
        options = make_parser().parse_args(words[1:])
        self.assertEqual(
            (words[0], options.command, options.state_dir), ("routing-crust", "status", Path("/state"))
        )

    def test_dry_run_knows_every_instruction_that_makes_files(self) -> None:
        found = instructions(self.text)
        made = [word for word, _ in found if word in ("FROM", "RUN", "COPY")]
        self.assertEqual(made, re.findall(r"(?m)^(FROM|RUN|COPY)\b", self.text))
        self.assertNotIn("ADD", dict(found))
        installs = [rest for word, rest in found if word == "RUN" and "pip install" in rest]
        self.assertTrue(installs[0].endswith("--demo-seconds 20"), "it is one command to its end")

    def test_what_is_copied_is_there(self) -> None:
        for line in re.findall(r"(?m)^COPY (?!--from)(.+) \S+$", self.text):
            for each in line.split():
                self.assertTrue((ROOT / each).exists(), each)

    def test_nodes_of_the_example_are_in_one_network_and_the_second_knows_the_first(self) -> None:
        text = (self.file.parent / "compose.yaml").read_text("utf-8")
        first, second = (json.loads(each) for each in re.findall(r"(?m)^    command: (\[.+\])$", text))
        entry = self.listed("ENTRYPOINT")
        given = [self.options(entry + each).given for each in (first, second)]
        self.assertEqual([each["network"] for each in given], ["example", "example"])
        self.assertEqual(given[0]["role"], "first")
        address, _ = given[1]["contacts"][0].split(":")
        self.assertIn(f"ipv4_address: {address}}}", text.partition("second:")[0])

    def test_linter_has_nothing_to_say(self) -> None:
        program = shutil.which("hadolint")
        if program is None:
            raise SkipTest("hadolint is not here")
        done = subprocess.run([program, str(self.file)], capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stdout), (0, ""))

"""
The first hour, and the pages on open networks, endpoints, forwards and asyncio: their commands are run as
they stand, in the order of the page, with other ports and another folder than C{/tmp}.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from textwrap import dedent

from twisted.internet.defer import Deferred
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import SkipTest, TestCase

from routing_crust.daemon.settings_file import merge_settings, read_settings_file
from tests.integration.processes import environment
from tests.integration.programs import Program, free_port, missing
from tests.integration.test_daemons import asynchronous

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = {
    "twistd": "from twisted.scripts.twistd import run; run()",
    "routing-crust": "from routing_crust.daemon.cli import main; main()",
}
READY = {"web": "Starting factory <twisted.web.server.Site", "routing-node": "contact: "}

QUIET = "routing-node --no-lan-discovery --no-port-mapping "


def page(name: str) -> str:
    path = ROOT / "docs" / f"{name}.rst"
    if not path.exists():
        raise SkipTest("the documentation is not here: it is not installed")
    return path.read_text(encoding="utf-8")


def commands(text: str) -> list[tuple[str, str]]:
    """The commands of a page, each with the output that stands below it."""
    found: list[tuple[str, str]] = []
    text = re.sub(r"^\.\. not run: .*\n\n(.*\n)*?\n(   .*\n)+", "", text, flags=re.MULTILINE)
    for line in text.splitlines():
        if line.startswith("   $ "):
            found.append((line[5:], ""))
        elif found and line.startswith("   ") and not found[-1][0].startswith("end"):
            found[-1] = (found[-1][0], found[-1][1] + line[3:] + "\n")
        else:
            found.append(("end", ""))
    return [each for each in found if each[0] != "end"]


class PagesTests(TestCase):
    def setUp(self) -> None:
        if gone := missing({"curl": "curl"}):
            raise SkipTest(gone)
        # short, for the sake of sockets
        self.folder = Path(tempfile.mkdtemp(prefix="rc-"))
        self.addCleanup(shutil.rmtree, self.folder)
        scripts = self.folder / "bin"
        scripts.mkdir()
        for name, code in SCRIPTS.items():
            script = scripts / name
            script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{code}" "$@"\n')
            script.chmod(0o755)
        (scripts / "python").symlink_to(sys.executable)
        self.environment = environment()
        self.environment["PATH"] = f"{scripts}{os.pathsep}{self.environment['PATH']}"
        self.ports: dict[str, str] = {}
        self.assigned: list[str] = []

    def here(self, text: str) -> str:
        """The same with our ports and folder."""

        def port(found: re.Match[str]) -> str:
            return found[1] + self.ports.setdefault(found[2], str(free_port()))

        text = re.sub(r"(\b(?:tcp|localhost|127\.0\.0\.1):)(\d{4})\b", port, text)
        return text.replace("/tmp/", f"{self.folder}/").replace("examples/", f"{ROOT}/examples/")

    def line(self, command: str) -> str:
        """The command after what was assigned before, for a shell of its own."""
        return "; ".join([*self.assigned, command])

    async def run_page(self, name: str) -> int:
        count = 0
        for command, output in commands(page(name)):
            count += 1
            if re.match(r"[A-Z]+=", command):
                self.assigned.append(self.here(command))
                continue
            words = self.here(command).replace("routing-node ", QUIET)
            lasting = re.match(r"twistd.* (web|routing-node) |routing-crust (expose|forward) ", command)
            if lasting:
                program = Program("/bin/sh", "-c", self.line(f"exec {words}"), **self.environment)
                self.addCleanup(lambda program=program: Deferred.fromCoroutine(program.end()))
                await program.says((self.here(output) or READY[lasting[1]]).encode())
                continue
            out, err, status = await getProcessOutputAndValue(
                "/bin/sh", ["-c", self.line(words)], env=self.environment
            )
            # the beginning of a new key
            printed = re.sub(r"\(\w{8}\)", "(NAME)", out.decode())
            self.assertEqual((printed, status), (self.here(output), 0), f"{command}\n{err.decode()}")
        return count

    @asynchronous
    async def test_commands_of_the_first_hour_work(self) -> None:
        self.assertGreater(await self.run_page("first-hour"), 8)

    @asynchronous
    async def test_commands_of_the_forwarding_page_work(self) -> None:
        self.assertGreater(await self.run_page("forwarding"), 7)

    @asynchronous
    async def test_commands_of_the_page_on_open_networks_work(self) -> None:
        self.assertGreater(await self.run_page("open-networks"), 5)

    @asynchronous
    async def test_commands_of_the_endpoints_page_work(self) -> None:
        self.assertGreater(await self.run_page("endpoints"), 5)

    @asynchronous
    async def test_commands_of_the_asyncio_page_work(self) -> None:
        self.assertEqual(await self.run_page("asyncio"), 1)

    def test_settings_of_the_daemon_page_can_be_used(self) -> None:
        """The TOML of the page can be used as it stands."""
        found = re.search(r"code-block:: toml\n\n((?:   .*\n|\n)+)", page("forwarding"))
        assert found is not None
        path = self.folder / "file.toml"
        path.write_text(dedent(found[1]))
        settings = merge_settings({}, read_settings_file(path), path)
        self.assertEqual([each.protocol for each in settings.expose], ["ssh", "db"])
        self.assertEqual(len(settings.allow_peer), 3)
        self.assertEqual(settings.forward[0].name, settings.contacts[0].name)

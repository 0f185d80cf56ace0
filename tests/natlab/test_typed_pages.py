"""
The README and the pages for several machines: their commands are typed as they stand, in the order of the
page, each at the machine that C{.. on: MACHINE} names, on machines with routers between. What is printed
below a command comes, with anything in place of C{...}; the line of the last invitation stands for C{rc1...}.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SkipTest

from .first_hour import DELAY_SECONDS, ROOT, Hour, Machines, of_this_checkout
from .lab import Lab, why_not
from .node import LabTestCase
from .router import Nat, Router

LASTING = ("python3 -m http.server", "routing-crust expose", "routing-crust forward")
READY = {LASTING[0]: "Serving HTTP on ..."}
EXAMPLE_ADDRESS = "203.0.113.7"


def typed(text: str) -> Iterator[tuple[str, str, list[str]]]:
    """The machine, the command and the lines below it, for each command of a page."""
    for place, block in re.findall(r"^\.\. on: (\w+)\n\n::\n\n((?:   .*\n)+)", text, re.MULTILINE):
        for command, output in re.findall(r"^   \$ (.*)\n((?:   (?!\$ ).*\n)*)", block, re.MULTILINE):
            yield place, command, [line.strip() for line in output.splitlines()]


def pattern(line: str) -> str:
    """What a line of the page stands for."""
    return ".*".join(map(re.escape, line.split("...")))


class TypedPagesTests(LabTestCase):
    def play(self, text: str, hosts: Mapping[str, Router | None]) -> list[str]:
        """Type what the page has. Returns the machines, in order."""
        folder = Path(tempfile.mkdtemp(prefix="pg-"))
        line = ""
        places = []
        try:
            with Lab(hosts, delay=DELAY_SECONDS) as lab:
                machines = Machines(lab, folder, of_this_checkout(folder), Hour("here", ()))
                for place, command, output in typed(text):
                    places.append(place)
                    known = command.replace("rc1...", line)
                    if "server" in hosts:
                        known = known.replace(EXAMPLE_ADDRESS, lab.public("server"))
                    running = machines.start(place, known)
                    lasting = next((each for each in LASTING if command.startswith(each)), "")
                    for each in output or filter(None, [READY.get(lasting)]):
                        running.says(pattern(each))
                    if not lasting:
                        said = running.ends()
                        line = next((each for each in said.split() if each.startswith("rc1")), line)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return places

    async def play_page(self, path: Path, hosts: Mapping[str, Router | None]) -> list[str]:
        if reason := why_not(delay=True):
            raise SkipTest(reason)
        if not path.exists():
            raise SkipTest("the documentation is not here: it is not installed")
        if shutil.which("curl") is None:
            raise SkipTest("curl is not installed")
        found: list[str] = await deferToThread(self.play, path.read_text(encoding="utf-8"), hosts)
        return found

    async def test_first_hour_of_the_readme_works_with_a_router_that_maps_ports(self) -> None:
        hosts = {"desk": Router(Nat.PORT_RESTRICTED, natpmp=True), "laptop": Router(Nat.PORT_RESTRICTED)}
        places = await self.play_page(ROOT / "README.rst", hosts)
        self.assertEqual([places.count(each) for each in hosts], [5, 3])

    async def test_tutorial_works_with_routers_that_let_nobody_in(self) -> None:
        hosts = {"desk": Router(Nat.PORT_RESTRICTED), "laptop": Router(Nat.PORT_RESTRICTED), "server": None}
        places = await self.play_page(ROOT / "docs" / "two-machines.rst", hosts)
        self.assertEqual([places.count(each) for each in hosts], [6, 4, 1])

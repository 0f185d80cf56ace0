"""
C{python -m tests.natlab.first_hour}: the way from two empty machines to a page of the one on the other, typed
as a person would, with this project and with fowl, in one laboratory and one run.

The machines are behind routers of their own. Everything is installed into fresh environments first, from the
index that pip knows; fowl gets a mailbox server and a transit relay at a public address of the laboratory.
Prints what is typed, and with C{--table} writes the table of the documentation.
"""

from __future__ import annotations

import csv
import os
import re
import select
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ..daemon.children import SCRIPT
from .command import Command
from .lab import Lab
from .layout import RENDEZVOUS
from .namespaces import PATIENCE, LabError
from .router import Nat, Router

ROOT: Final = Path(__file__).resolve().parents[2]
OURS: Final = ("routing-crust",)
FOWL: Final = ("fowl", "magic-wormhole-mailbox-server", "magic-wormhole-transit-relay")
PAGE: Final = b"hello\n"
DELAY_SECONDS: Final = 0.010
COLUMNS: Final = (
    "way",
    "machines",
    "commands",
    "characters carried by hand",
    "seconds to install",
    "seconds to the first byte",
)
_PLACE: Final = (
    'mount --bind "$0/lib" /var/lib && mount --bind "$0/hosts" /etc/hosts && cd "$0/home" && exec sh -c "$1"'
)
"""Each machine has a /var/lib of its own, so that nobody has to say where anything is, and its own hosts."""


@dataclass(slots=True)
class Hour:
    """
    What it took, so far.

    @ivar packages: what is installed on each machine.
    @ivar typed: each command, with the machine.
    @ivar carried: what was read on one machine and typed on another.
    """

    way: str
    packages: tuple[str, ...]
    typed: list[tuple[str, str]] = field(default_factory=list)
    carried: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def row(self, installing: float) -> tuple[object, ...]:
        """The row of the table."""
        machines = {place for place, _ in self.typed}
        commands = len(self.typed) + len(machines)
        seconds = f"{installing:.0f}" if installing else ""
        return (
            self.way,
            len(machines),
            commands,
            sum(map(len, self.carried)),
            seconds,
            f"{self.seconds:.1f}",
        )


class Running:
    """A command that was typed and goes on."""

    def __init__(self, program: subprocess.Popen[bytes], command: str) -> None:
        self._program = program
        self._command = command
        self.said = ""

    def says(self, pattern: str) -> str:
        """
        Wait until it says something.

        @return: the first group, or all of it.
        @raise LabError: it does not, or has ended.
        """
        stdout: Any = self._program.stdout
        until = time.monotonic() + PATIENCE
        while (found := re.search(pattern, self.said, re.MULTILINE)) is None:
            ready, _, _ = select.select([stdout], [], [], max(0.0, until - time.monotonic()))
            read = os.read(stdout.fileno(), 65536) if ready else b""
            if not read:
                raise LabError(f"{self._command}: no {pattern!r} in {self.said!r}")
            self.said += read.decode(errors="replace")
        return found[1] if found.re.groups else found[0]

    def ends(self) -> str:
        """
        Wait for its end, and return what it has said.

        @raise LabError: it failed.
        """
        out, _ = self._program.communicate(timeout=PATIENCE)
        self.said += out.decode(errors="replace")
        if self._program.returncode:
            raise LabError(f"{self._command}: {self.said}")
        return self.said


class Machines:
    """The machines of one run, at which somebody types."""

    def __init__(self, lab: Lab, folder: Path, environment: Path, hour: Hour) -> None:
        self._lab = lab
        self._folder = folder
        self._environment = environment
        self.hour = hour

    def type(self, place: str, command: str) -> Running:
        """Type a command at a machine, and count it."""
        print(f"  {place}$ {command}", flush=True)
        self.hour.typed.append((place, command))
        return self.start(place, command)

    def start(self, place: str, command: str) -> Running:
        """Start something there that is no part of the way."""
        folder = self._folder / place
        for each in ("lib", "home"):
            (folder / each).mkdir(parents=True, exist_ok=True)
        hosts = f"127.0.0.1 localhost\n{Lab.rendezvous[0]} transit.magic-wormhole.io\n"
        (folder / "hosts").write_text(hosts)
        path = f"{self._environment / 'bin'}:{os.environ['PATH']}"
        kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        program = self._lab.popen(
            place,
            *("unshare", "--mount", "sh", "-c", _PLACE, str(folder), command),
            env={**kept, "PATH": path, "HOME": str(folder / "home"), "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        return Running(program, command)

    def serve(self) -> None:
        """The page that is wanted, on a web server that knows nothing of all this."""
        www = self._folder / "www"
        www.mkdir()
        (www / "page").write_bytes(PAGE)
        server = (
            f"{sys.executable} -u -m http.server --bind=127.0.0.1 --directory={shlex.quote(str(www))} 8080"
        )
        self.start("desk", server).says("^Serving HTTP on ")

    def get(self) -> None:
        """
        Get the page at the laptop.

        @raise LabError: something else came.
        """
        said = self.start(
            "laptop", "curl --silent --show-error --max-time 60 http://127.0.0.1:8081/page"
        ).ends()
        if said.encode() != PAGE:
            raise LabError(f"another page came: {said}")


def ours(machines: Machines) -> None:
    """With this project: the first machine's router maps a port, so that no third machine is needed."""
    machines.type("desk", "routing-crust init home --nickname desk --start").ends()
    *_, line = machines.type("desk", "routing-crust invite laptop --short").ends().split()
    machines.hour.carried.append(line)
    machines.type("desk", "routing-crust expose web=tcp:localhost:8080 --allow laptop").says("^exposing ")
    machines.type("laptop", f"routing-crust join --start {line}").ends()
    machines.type("laptop", "routing-crust forward tcp:8081=desk/web").says("^forwarding ")
    machines.get()


def with_fowl(machines: Machines) -> None:
    """With fowl, and the two servers that it needs on a third machine at a public address."""
    mailbox = machines.type(RENDEZVOUS, "twist wormhole-mailbox --port tcp:4000")
    relay = machines.type(RENDEZVOUS, "twist transitrelay --port tcp:4001")
    mailbox.says("Starting reactor")
    relay.says("Starting reactor")
    url = f"ws://{Lab.rendezvous[0]}:4000/v1"
    service = machines.type("desk", f"fowl --no-logo --mailbox {url} --service web:8080")
    code = service.says(r"\b(\d+-[a-z]+-[a-z]+)\b")
    machines.hour.carried.append(code)
    client = machines.type("laptop", f"fowl --no-logo --mailbox {url} --client web:8081 {code}")
    client.says("8081")
    machines.get()


def play(hour: Hour, environment: Path, folder: Path) -> None:
    """Go all the way once."""
    print(f"{hour.way}:", flush=True)
    routers = {"desk": Router(Nat.PORT_RESTRICTED, natpmp=True), "laptop": Router(Nat.PORT_RESTRICTED)}
    with Lab(routers, delay=DELAY_SECONDS) as lab:
        machines = Machines(lab, folder, environment, hour)
        machines.serve()
        began = time.monotonic()
        (with_fowl if "fowl" in hour.packages else ours)(machines)
        hour.seconds = time.monotonic() - began
    print(f"  the page came after {hour.seconds:.1f} s", flush=True)


def of_this_checkout(folder: Path) -> Path:
    """An environment in which C{routing-crust} is that of this checkout, with nothing installed."""
    scripts = folder / "environment" / "bin"
    scripts.mkdir(parents=True)
    script = scripts / "routing-crust"
    path = ":".join([str(ROOT), *sys.path])
    script.write_text(f'#!/bin/sh\nPYTHONPATH="{path}" exec "{sys.executable}" -c "{SCRIPT[1]}" "$@"\n')
    script.chmod(0o755)
    return scripts.parent


@contextmanager
def installed(packages: Sequence[str], given: Path | None) -> Iterator[tuple[Path, float]]:
    """An environment with these packages, and how many seconds it took to make; 0 for one that was given."""
    if given is not None:
        yield given, 0.0
        return
    with tempfile.TemporaryDirectory(prefix="first-hour-") as folder:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        pip = ("-m", "pip", "--quiet", "--disable-pip-version-check")
        if packages == OURS:
            # a wheel, as the other comes as one; setuptools would leave its modules in the checkout
            kept_out = shutil.ignore_patterns(".*", "build", "docs", "tests", "benchmarks")
            source = shutil.copytree(ROOT, f"{folder}/source", ignore=kept_out)
            wheel = (sys.executable, *pip, "wheel", "--no-deps", "--wheel-dir", folder, str(source))
            subprocess.run(wheel, check=True, env=kept)
            packages = [str(each) for each in Path(folder).glob("*.whl")]
        began = time.monotonic()
        venv.create(folder, with_pip=True)
        subprocess.run((f"{folder}/bin/python", *pip, "install", *packages), check=True, env=kept)
        yield Path(folder), time.monotonic() - began


def main(arguments: Sequence[str] | None = None) -> int:
    """Play both, and write the table. Returns the exit status."""
    command = Command("tests.natlab.first_hour", "Play the first hour with this project, and with fowl.")
    command.add_table()
    command.add_argument("--ours", type=Path, metavar="VENV", help="an environment that has this project")
    command.add_argument("--fowl", type=Path, metavar="VENV", help=f"one that has {', '.join(FOWL)}")
    options = command.read(arguments)
    rows = []
    try:
        for way, packages, given in (
            ("routing-crust", OURS, options.ours),
            ("fowl", FOWL, options.fowl),
        ):
            hour = Hour(way, packages)
            folder = Path(tempfile.mkdtemp(prefix="fh-"))
            try:
                with installed(packages, given) as (environment, seconds):
                    play(hour, environment, folder)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            rows.append(hour.row(seconds))
    except (LabError, subprocess.SubprocessError) as error:
        print(f"it did not work: {error}", file=sys.stderr)
        return 1
    for row in (COLUMNS, *rows):
        print(" | ".join(map(str, row)))
    if options.table is not None:
        with options.table.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows((COLUMNS, *rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""
C{python -m tests.contrib.debian}: builds the Debian package, has lintian judge it, and installs, runs,
removes and purges it in a fresh Debian.

It takes root, some minutes, the programs of L{NEEDED}, and Debian's and Python's package indexes. The exit
status is 0 only if all of it went well.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from routing_crust import __version__

from ..test_packaging import ROOT

NEEDED: Final = ("dpkg-buildpackage", "dh", "lintian", "debootstrap")
LEFT_OUT: Final = ("build", "*.egg-info", "__pycache__", ".git", "_trial_temp", ".hypothesis")
STATE: Final = "/var/lib/routing-crust"
HOME: Final = f"{STATE}/home"
DAEMON: Final = (
    "runuser",
    "--user=routing-crust",
    "--",
    "/usr/lib/routing-crust/bin/twistd",
    "--nodaemon",
    "--pidfile=",
    "routing-node",
    f"--state-dir={HOME}",
)
START_SECONDS: Final = 120.0
_LOOK_EVERY_SECONDS: Final = 0.5


class Wrong(Exception):
    """Something did not go as it must; the text says what."""


def run(*command: object, cwd: Path | None = None, fails: bool = False) -> str:
    """
    What a command prints.

    @param fails: whether it has to fail.
    """
    done = subprocess.run(
        [str(each) for each in command],
        cwd=cwd,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if bool(done.returncode) != fails:
        raise Wrong(f"{' '.join(map(str, command))}: exit status {done.returncode}\n{done.stdout}")
    return done.stdout


def check(holds: object, what: str) -> None:
    """
    @raise Wrong: it does not hold.
    """
    if not holds:
        raise Wrong(what)


def build(folder: Path) -> Path:
    """Build the package from a copy of the tree, and have lintian find no error in it."""
    tree = folder / "source"
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(*LEFT_OUT))
    shutil.copytree(ROOT / "contrib" / "debian", tree / "debian")
    # its build dependencies may be there in another way than as packages
    run("dpkg-buildpackage", "-b", "-d", "-us", "-uc", cwd=tree)
    (changes,) = folder.glob("*.changes")
    said = run("lintian", "--allow-root", "--fail-on=error", changes)
    if said:
        print(said, end="")
    (package,) = folder.glob("*.deb")
    return package


class Chroot:
    """A fresh Debian in a folder."""

    def __init__(self, folder: Path, suite: str) -> None:
        self._folder = folder
        run("debootstrap", "--variant=minbase", "--include=adduser,python3", suite, folder)

    def run(self, *command: object, fails: bool = False) -> str:
        """As L{run}, in there."""
        return run("chroot", self._folder, "env", "DEBIAN_FRONTEND=noninteractive", *command, fails=fails)

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start a command and let it run."""
        return subprocess.Popen(
            ["chroot", str(self._folder), *command],
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def add(self, file: Path) -> str:
        """Put a file in there, and say where."""
        shutil.copy(file, self._folder / file.name)
        return f"/{file.name}"

    def holds(self, path: str) -> bool:
        """Whether there is something at a path."""
        return (self._folder / path.lstrip("/")).exists()


def use_daemon(debian: Chroot) -> None:
    """Found a network, run its daemon as the user of the package, ask it, and stop it."""
    debian.run("routing-crust", "init", "home", f"--state-dir={HOME}", "--listen=127.0.0.1:0")
    debian.run("chown", "--recursive", "routing-crust:routing-crust", HOME)
    daemon = debian.start(*DAEMON)
    try:
        ends = time.monotonic() + START_SECONDS
        while not debian.holds(f"{HOME}/control.sock"):
            check(daemon.poll() is None, "the daemon has ended")
            check(time.monotonic() < ends, "the daemon does not listen")
            time.sleep(_LOOK_EVERY_SECONDS)
        status = json.loads(debian.run("routing-crust", "status", "--json", f"--state-dir={HOME}"))
        check(status["network"].startswith("key:"), f"the network is {status['network']}")
        check(status["version"] == __version__, f"the daemon is of version {status['version']}")
    finally:
        daemon.terminate()
        said, _ = daemon.communicate(timeout=START_SECONDS)
    check("stopped" in said and "Traceback" not in said, f"the daemon did not end well:\n{said}")


def play(debian: Chroot, package: Path) -> None:
    """Install, use, install again, remove, purge."""
    file = debian.add(package)
    debian.run("dpkg", "--install", file)
    mode = debian.run("stat", "--format=%U:%G %a", STATE).strip()
    check(mode == "routing-crust:routing-crust 700", f"{STATE} is of {mode}")
    check(debian.holds("/lib/systemd/system/routing-crust@.service"), "the unit is not there")
    use_daemon(debian)
    print("installed; its daemon ran as the package's user")
    debian.run("dpkg", "--install", file)
    check(debian.holds(f"{HOME}/key.pem"), "an update has removed the state")
    debian.run("dpkg", "--remove", "routing-crust")
    check(debian.holds(f"{HOME}/key.pem"), "the removal has removed the state")
    check(not debian.holds("/usr/lib/routing-crust"), "the removal has left modules")
    debian.run("routing-crust", "--version", fails=True)
    print("removed; the state is still there")
    debian.run("dpkg", "--purge", "routing-crust")
    check(not debian.holds(STATE), "the purge has left the state")
    debian.run("id", "routing-crust", fails=True)
    print("purged; the state and the user are gone")


def main(arguments: Sequence[str] | None = None) -> int:
    """Do all of it."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.contrib.debian",
        description="Build the Debian package, and install, run, remove and purge it in a fresh Debian. "
        f"Takes root, some minutes, and {', '.join(NEEDED)}.",
    )
    parser.add_argument("--suite", default="bookworm", help="which Debian (default: %(default)s)")
    parser.add_argument("--package", type=Path, metavar="FILE", help="take this one, and build none")
    options = parser.parse_args(arguments)
    missing = [each for each in NEEDED if shutil.which(each) is None]
    if missing:
        parser.error(f"install what is missing first: {', '.join(missing)}")
    with tempfile.TemporaryDirectory(prefix="routing-crust-debian-") as name:
        folder = Path(name)
        try:
            package = options.package or build(folder)
            print(f"{package.name}: {package.stat().st_size / 1_000_000:.1f} MB")
            play(Chroot(folder / "debian", options.suite), package)
        except Wrong as problem:
            print(problem)
            return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

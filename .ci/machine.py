"""
What the checks need of the machine: a copy of the tree, Debian's packages, Pythons.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from functools import cache
from pathlib import Path

from runner import Job

SYSTEM = (
    *(
        "ansible-core",
        "bind9-dnsutils",
        "conntrack",
        "curl",
        "dnsmasq-base",
        "haproxy",
        "iproute2",
        "libnginx-mod-stream",
        "microsocks",
        "miniupnpd",
        "nftables",
        "nginx-light",
        "tinyproxy",
    ),
    *("git", "openssh-client", "openssh-server", "postgresql", "prometheus", "rsync", "socat", "systemd"),
    *("fish", "man-db", "zsh"),
)
"""
Debian's packages for tests with NATs, routers that map ports, programs to forward, the judges of systemd's
units and of metrics, shells and C{man}.
"""
APT = {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
_apt = threading.Lock()  # apt-get does not wait for another one


def install_system(job: Job) -> None:
    """Install what the tests need that is no Python."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return  # the tests that need it are skipped where it is missing, and say why
    if subprocess.run(["dpkg", "-s", *SYSTEM], capture_output=True, check=False).returncode:
        install_debian(job, *SYSTEM)


def install_debian(job: Job, *packages: str) -> None:
    with _apt:
        job.run("apt-get", "update", "-qq", env=APT)
        job.run("apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages, env=APT)


def make_venv(job: Job, python: Path, folder: Path, pip: bool) -> None:
    """
    Make an environment.

    @param pip: whether it gets a pip of its own, which takes longer than all the rest; else another's serves.
    """
    wanted = "ensurepip, venv" if pip else "venv"
    if subprocess.run([python, "-I", "-c", f"import {wanted}"], capture_output=True, check=False).returncode:
        install_debian(job, f"python{version_of(python)}-venv")  # Debian's Python comes without
    job.run(python, "-m", "venv", *([] if pip else ["--without-pip"]), folder)


@cache
def version_of(python: str | Path) -> str:
    """C{3.11} or the like; empty if this is no Python, or a name of pyenv's for one that is not there."""
    # -I: trial's workers have the modules of another Python in PYTHONPATH
    asked = [str(python), "-I", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()


@cache
def find_python(version: str) -> str:
    """A command for this version; empty if there is none."""
    # pyenv has a command on the PATH for versions that are not switched on, and it fails
    installed = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    of_pyenv = installed.glob(f"{version}.*/bin/python{version}") if os.access(installed, os.R_OK) else ()
    names = [f"python{version}", *map(str, of_pyenv), "python3"]
    found = (shutil.which(each) for each in names)
    return next((each for each in found if each and version_of(each) == version), "")


def copy_tree(source: Path, target: Path) -> None:
    """Copy what git knows or would add; all of it if there is no git."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        names = subprocess.run(listing, cwd=source, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        shutil.copytree(source, target, ignore=shutil.ignore_patterns(".git", "__pycache__", "_trial_temp"))
        return
    for each in filter(None, names.split("\0")):
        if (source / each).exists():  # or it is deleted, and not yet committed
            (target / each).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / each, target / each)

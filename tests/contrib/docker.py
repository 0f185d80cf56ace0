"""
C{python -m tests.contrib.docker}: what C{docker build} would do, without Docker: each C{RUN} and C{COPY} of
the Dockerfile in a fresh Debian. Then the size of what it makes is looked at, and a node is run in there.

It takes root, some minutes, C{debootstrap}, and Debian's and Python's package indexes. The exit status is 0
only if all of it went well.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import ssl
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ..test_packaging import ROOT
from .debian import Wrong, check, run

MAX_IMAGE_BYTES: Final = 150_000_000
NOT_IN_SLIM: Final = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "var/cache/apt")
"""What Debian's small image leaves out of what debootstrap makes."""
RESOLVER: Final = "etc/resolv.conf"
CERTIFICATES: Final = "of-this-machine.crt"
"""By which pip knows its index: an index of one's own may have them from an authority of one's own."""
SEARCHED: Final = "PATH=/opt/routing-crust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ALONE: Final = ("--ignore-environment", SEARCHED)
"""What this machine has set is about paths of its own."""
GIVEN: Final = ("DEBIAN_FRONTEND=noninteractive", f"PIP_CERT=/{CERTIFICATES}")
PASSED_ON: Final = ("PIP_INDEX_URL", "http_proxy", "https_proxy")
USER: Final = "5483:5483"


def instructions(text: str) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile, each with its arguments in one line."""
    lines = [each for each in text.split("\n") if not each.startswith("#")]
    joined = re.sub(r"\\\n *", "", "\n".join(lines))
    return [(word, rest) for word, _, rest in (each.partition(" ") for each in joined.split("\n")) if word]


def build(base: Path, folder: Path) -> Path:
    """Carry the instructions out. Returns the last stage's folder."""
    stages: dict[str, Path] = {}
    here = base
    for word, rest in instructions((ROOT / "contrib" / "docker" / "Dockerfile").read_text("utf-8")):
        if word == "FROM":
            _, _, name = rest.partition(" AS ")
            here = folder / (name or "image")
            stages[name] = here
            run("cp", "--archive", base, here)
        elif word == "RUN":
            index = [f"{each}={os.environ[each]}" for each in PASSED_ON if each in os.environ]
            # what else this machine has set is about paths of its own
            run(
                "chroot", here, "env", "--ignore-environment", SEARCHED, *GIVEN, *index, "/bin/sh", "-c", rest
            )
        elif word == "COPY":
            *sources, target = rest.split()
            copy(sources, target, stages, here)
    for each in (RESOLVER, CERTIFICATES):
        (here / each).unlink()
    return here


def copy(sources: list[str], target: str, stages: dict[str, Path], here: Path) -> None:
    """Copy files or one folder, from the tree or from another stage."""
    tree, left_out = ROOT, ["__pycache__"]
    if sources[0].startswith("--from="):
        tree, left_out = stages[sources.pop(0).removeprefix("--from=")], []
    to = here / target.lstrip("/")
    for each in (tree / source.lstrip("/") for source in sources):
        if each.is_dir():
            shutil.copytree(each, to, symlinks=True, ignore=shutil.ignore_patterns(*left_out))
        else:
            to.mkdir(parents=True, exist_ok=True)
            shutil.copy(each, to)


def size(folder: Path) -> int:
    """The bytes of all files, as the layers of an image hold them: those with several names once."""
    found = {}
    for each in folder.rglob("*"):
        if each.is_file() and not each.is_symlink():
            status = each.stat()
            found[status.st_ino] = status.st_size
    return sum(found.values())


def use(image: Path) -> None:
    """Run nodes in there, as the user that the container has."""
    given = ("chroot", f"--userspec={USER}", image, "env", *ALONE, "HOME=/state", "PYTHONDONTWRITEBYTECODE=1")
    run(*given, "routing-crust", "init", "home", "--state-dir=/state/home", "--listen=127.0.0.1:0")
    said = run(*given, "twistd", "-n", "--pidfile=", "routing-node", "--demo=2", "--demo-seconds=10")
    check("2 of 2 linked with all neighbours" in said, said)


def main(arguments: Sequence[str] | None = None) -> int:
    """Do all of it."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.contrib.docker",
        description="Do what 'docker build' would, in a folder, and look at the size and a node. Takes root, "
        "some minutes and debootstrap; PIP_INDEX_URL and PIP_CERT are heeded.",
    )
    parser.add_argument("--suite", default="bookworm", help="which Debian (default: %(default)s)")
    options = parser.parse_args(arguments)
    if shutil.which("debootstrap") is None:
        parser.error("install what is missing first: debootstrap")
    with tempfile.TemporaryDirectory(prefix="routing-crust-docker-") as name:
        folder = Path(name)
        base = folder / "base"
        try:
            run("debootstrap", "--variant=minbase", options.suite, base)
            for each in NOT_IN_SLIM:
                shutil.rmtree(base / each, ignore_errors=True)
            shutil.copy(f"/{RESOLVER}", base / RESOLVER)
            known = os.environ.get("PIP_CERT") or ssl.get_default_verify_paths().openssl_cafile
            shutil.copy(known, base / CERTIFICATES)
            image = build(base, folder)
            print(f"the image: {size(image) / 1e6:.0f} MB")
            check(size(image) < MAX_IMAGE_BYTES, f"it is larger than {MAX_IMAGE_BYTES / 1e6:.0f} MB")
            use(image)
            print("its nodes have found each other")
        except Wrong as problem:
            print(problem)
            return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

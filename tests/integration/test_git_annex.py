"""C{examples/git-annex-p2p-crust}: git-annex's way to a P2P network."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from random import Random
from unittest import skipUnless

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from .processes import environment
from .programs import find, missing
from .test_daemons import asynchronous
from .test_forwarding import TwoDaemonsCase

SCRIPT = Path(__file__).resolve().parents[2] / "examples/git-annex-p2p-crust"
_CLI = "from routing_crust.daemon.cli import main; main()"
_LISTS = "import json, sys; print(json.dumps(sys.argv[1:]))"


def program(path: Path, python: str) -> None:
    """Write a program that runs some Python."""
    python_path = environment()["PYTHONPATH"]
    path.write_text(f"#!/bin/sh\nPYTHONPATH='{python_path}' exec '{sys.executable}' -c '{python}' \"$@\"\n")
    path.chmod(0o755)


def version_with_networks() -> bool:
    """Whether there is a git-annex that takes P2P networks from commands."""
    path = find("git-annex")
    if path is None or find("git") is None:
        return False
    said = subprocess.run([path, "p2p", "--help"], capture_output=True, check=False).stdout
    return b"--enable" in said


@skipUnless(SCRIPT.exists(), "the examples are not here: they are not installed")
@skipUnless(not missing({"git": "git"}), missing({"git": "git"}))
class ContractTests(SynchronousTestCase):
    """What git-annex calls, and what a program in the place of routing-crust is then told."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir(parents=True)
        program(self.folder / "routing-crust", _LISTS)
        subprocess.run(["git", "init", "--quiet"], cwd=self.folder, check=True)

    def call(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "PATH": f"{self.folder}{os.pathsep}{os.environ['PATH']}", **more}
        command = [str(SCRIPT), *words]
        return subprocess.run(command, cwd=self.folder, env=env, capture_output=True, text=True, check=False)

    def test_address_is_the_name_and_a_protocol_for_the_repository(self) -> None:
        subprocess.run(["git", "config", "annex.uuid", "12345678-9abc-def0"], cwd=self.folder, check=True)
        said = self.call("address", CRUST_OPTIONS="--state-dir=/srv/node")
        self.assertEqual(
            (said.stdout, said.returncode), ('["name", "--state-dir=/srv/node"]/annex-12345678\n', 0)
        )

    def test_folder_that_is_no_annex_has_no_address(self) -> None:
        said = self.call("address")
        self.assertEqual((said.stdout, said.returncode), ("", 1))
        self.assertIn("run git annex init first", said.stderr)

    def test_peer_is_connected_to_by_a_pipe(self) -> None:
        self.assertEqual(self.call("laptop/annex-12345678").stdout, '["pipe", "laptop/annex-12345678"]\n')

    def test_socket_is_exposed_to_whom_the_user_names(self) -> None:
        """Nothing in its path is taken for a part of the string of an endpoint, or for several words."""
        path = self.folder / "a b:c\\d"
        path.touch()
        for allowed, more in (("*", {}), ("tag:family", {"CRUST_ALLOW": "tag:family"})):
            said = self.call("name/annex-1", str(path), **more)
            target = f"annex-1=unix:{self.folder}/a b\\\\:c\\\\\\\\d"
            self.assertEqual(said.stdout, f'["expose", "--allow={allowed}", "{target}"]\n')

    def test_anything_else_is_told_how_to_call_it(self) -> None:
        said = self.call("nonsense")
        self.assertEqual((said.stdout, said.returncode), ("", 2))
        self.assertIn("git-annex-p2p-crust ADDRESS SOCKET", said.stderr)


class GitAnnexTests(TwoDaemonsCase):
    """With the real program."""

    async def git(self, folder: Path, *words: str) -> str:
        daemon = self.server if folder.name == "server" else self.client
        out, status = await self.output(
            "git", "-C", str(folder), *words, **self.env, CRUST_OPTIONS=f"--state-dir={daemon.state_dir}"
        )
        self.assertEqual(status, 0, self.last_error)
        return out.decode()

    def remove(self, folder: Path) -> None:
        """Also what git-annex has made read-only."""
        for each in folder.rglob("*"):
            if each.is_dir() and not each.is_symlink():
                each.chmod(0o700)
        shutil.rmtree(folder)

    async def annexes(self) -> tuple[Path, Path]:
        """Two repositories, and the programs of the adapter where they are found."""
        # git-annex makes a socket in its repository, whose path may have 107 bytes
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(self.remove, self.folder)
        bin = self.folder / "bin"
        bin.mkdir()
        shutil.copy(SCRIPT, bin)
        program(bin / "routing-crust", _CLI)
        # a wheel of git-annex has no name for what git calls
        annex = find("git-annex")
        assert annex is not None
        (bin / "git-remote-p2p-annex").symlink_to(annex)
        (self.folder / ".gitconfig").write_text("[user]\nname = a\nemail = a@localhost\n")
        path = os.pathsep.join((str(bin), str(Path(annex).parent), os.environ["PATH"]))
        self.env = {"HOME": str(self.folder), "PATH": path, "GIT_TERMINAL_PROMPT": "0"}
        server, client = (self.folder / each for each in ("server", "client"))
        server.mkdir()
        await self.git(server, "init", "--quiet", "--initial-branch=main")
        await self.git(server, "annex", "init")
        return server, client

    @asynchronous
    async def test_file_is_fetched_from_the_repository_of_a_peer(self) -> None:
        if not SCRIPT.exists() or not version_with_networks():
            raise SkipTest("no git-annex that takes P2P networks from commands: pip install git-annex")
        await self.two({})
        server, client = await self.annexes()
        content = Random(3).randbytes(3_000_000)
        (server / "large").write_bytes(content)
        await self.git(server, "annex", "add", "large")
        await self.git(server, "commit", "--quiet", "--message=large")
        await self.git(server, "annex", "p2p", "--enable", "crust")
        address = await self.git(server, "annex", "p2p", "--gen-addresses")
        listen = f"exec setsid git-annex remotedaemon --foreground > '{self.folder}/log' 2>&1"
        options = f"--state-dir={self.server.state_dir}"
        listener = self.program(
            "sh", "-c", f"cd '{server}'; {listen}", **{**os.environ, **self.env, "CRUST_OPTIONS": options}
        )
        # what it has started outlives it, and holds a pipe of ours open
        self.addCleanup(os.killpg, listener.transport.pid, signal.SIGKILL)  # type: ignore[union-attr]
        while not (await self.status(self.server))["exposed"]:
            pass
        # that of git-annex for git fails now and then, also over a socket of this machine
        client.mkdir()
        await self.git(client, "clone", "--quiet", str(server), ".")
        await self.git(client, "annex", "init")
        await self.git(client, "remote", "remove", "origin")
        (self.folder / "address").write_text(address)
        link = f"git -C '{client}' annex p2p --link --name=peer < '{self.folder}/address'"
        options = f"--state-dir={self.client.state_dir}"
        _, status = await self.output("sh", "-c", link, **self.env, CRUST_OPTIONS=options)
        self.assertEqual(status, 0, self.last_error)
        await self.git(client, "annex", "get", "--from=peer", "large")
        self.assertEqual((client / "large").read_bytes(), content)

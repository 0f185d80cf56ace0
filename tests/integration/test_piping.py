"""
C{ssh}, C{scp}, C{rsync}, C{git} and C{ansible} by nickname, through C{routing-crust pipe} and the lines of
C{ssh-config}.
"""

from __future__ import annotations

import shutil
import signal
import sys
from pathlib import Path

from twisted.trial.unittest import SkipTest

from tests.integration.processes import environment
from tests.integration.programs import free_port, missing
from tests.integration.test_daemons import asynchronous
from tests.integration.test_forwarding import SshCase, TwoDaemonsCase

_CLI = "from routing_crust.daemon.cli import main; main()"


class OwnClientTests(TwoDaemonsCase):
    async def ended(self) -> None:
        """Wait until no daemon runs with the client's state directory."""
        status = 0
        while not status:
            _, _, status = await self.run_command("status", f"--state-dir={self.client.state_dir}")

    @asynchronous
    async def test_pipe_starts_a_client_where_no_daemon_runs(self) -> None:
        """It ends with the pipe. What keeps it from starting is told, and it makes no key."""
        folder = self.files()
        port = free_port()
        await self.web(folder, f"tcp:{port}:interface=127.0.0.1")
        await self.two({"web": f"tcp:127.0.0.1:{port}"})
        self.client.signal(signal.SIGTERM)
        await self.client.ended
        where = f"--state-dir={self.client.state_dir}"
        pipe = self.program(
            sys.executable, "-c", _CLI, "pipe", where, f"{self.server.name}/web", **environment()
        )
        # with its input open: this server hangs up when a request ends with it
        pipe.transport.write(b"GET /small HTTP/1.0\r\n\r\n")  # type: ignore[union-attr]
        await pipe.says(b"small\n")
        pipe.transport.closeStdin()  # type: ignore[union-attr]
        self.assertEqual(await pipe.ended, 0)
        await self.ended()

        (self.client.state_dir / "config.toml").write_text("listen = 'nowhere'\n")
        _, problem, status = await self.run_command("pipe", where, f"{self.server.name}/web")
        self.assertEqual(status, 1)
        self.assertRegex(problem, "a client for this pipe did not start: .*listen: 'nowhere'")
        _, problem, status = await self.run_command("pipe", f"{where}-none", f"{self.server.name}/web")
        self.assertEqual(status, 1)
        self.assertIn("no daemon runs with the state directory", problem)
        self.assertNotIn("a client", problem)
        self.assertFalse(Path(f"{self.client.state_dir}-none").exists())


class PipeTests(SshCase):
    async def by_nickname(self) -> None:
        """Two daemons, a server for SSH behind one, and what ssh is told to reach it through the other."""
        await self.two({"ssh": f"tcp:127.0.0.1:{await self.sshd()}"})
        script = self.folder / "routing-crust"
        python_path = environment()["PYTHONPATH"]
        script.write_text(
            f"#!/bin/sh\nPYTHONPATH='{python_path}' exec '{sys.executable}' -c '{_CLI}' \"$@\"\n"
        )
        script.chmod(0o755)
        printed, _, status = await self.run_command("ssh-config", f"--state-dir={self.client.state_dir}")
        self.assertEqual(status, 0)
        first, proxy = printed.splitlines()
        self.assertEqual(first, "Host *.crust")
        _, _, words = proxy.partition(" pipe ")
        self.config = self.folder / "ssh_config"
        self.config.write_text(
            f"{first}\n    ProxyCommand '{script}' pipe {words}\n    IdentityFile {self.folder}/user\n"
            "    StrictHostKeyChecking no\n    UserKnownHostsFile /dev/null\n    BatchMode yes\n"
            "    LogLevel ERROR\n"
        )
        self.ssh = f"ssh -F {self.config}"

    async def done(self, *command: str, **more: str) -> bytes:
        out, status = await self.output(*command, **more)
        self.assertEqual(status, 0, self.last_error)
        return out

    @asynchronous
    async def test_ssh_and_scp_reach_a_nickname(self) -> None:
        await self.by_nickname()
        out, status = await self.output(
            "ssh", "-F", str(self.config), "there.crust", "echo from afar; exit 3"
        )
        self.assertEqual((out, status), (b"from afar\n", 3), self.last_error)
        folder = self.files()
        copying = ("scp", "-F", str(self.config), "-q")
        await self.done(*copying, str(folder / "large"), f"there.crust:{folder}/there")
        await self.done(*copying, f"there.crust:{folder}/there", str(folder / "back"))
        self.assertEqual((folder / "back").read_bytes(), (folder / "large").read_bytes())
        await self.nothing_open(self.server, self.client)

    @asynchronous
    async def test_rsync_sends_what_is_missing(self) -> None:
        if gone := missing({"rsync": "rsync"}):
            raise SkipTest(gone)
        await self.by_nickname()
        folder = self.files()
        copying = ("rsync", "-a", "-e", self.ssh, f"{folder}/", f"there.crust:{self.folder}/copy/")
        await self.done(*copying)
        (folder / "small").write_bytes(b"changed\n")
        await self.done(*copying)
        for each in ("small", "large"):
            self.assertEqual((self.folder / "copy" / each).read_bytes(), (folder / each).read_bytes())

    @asynchronous
    async def test_git_clones_and_pushes(self) -> None:
        if gone := missing({"git": "git"}):
            raise SkipTest(gone)
        await self.by_nickname()
        bare, clone = self.folder / "bare.git", self.folder / "clone"
        git = {
            "GIT_SSH_COMMAND": self.ssh,
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_NOSYSTEM": "1",
            **{
                f"GIT_{who}_{what}": "tester@example.org"
                for who in ("AUTHOR", "COMMITTER")
                for what in ("NAME", "EMAIL")
            },
        }
        await self.done("git", "init", "-q", "--bare", str(bare), **git)
        await self.done("git", "clone", "-q", f"there.crust:{bare}", str(clone), **git)
        shutil.copy(self.files() / "large", clone)
        at = ("git", "-C", str(clone))
        await self.done(*at, "add", "large", **git)
        await self.done(*at, "commit", "-q", "-m", "large", **git)
        await self.done(*at, "push", "-q", "origin", "HEAD:main", **git)
        here = await self.done(*at, "rev-parse", "HEAD", **git)
        self.assertEqual(await self.done("git", "-C", str(bare), "rev-parse", "main", **git), here)

    @asynchronous
    async def test_ansible_sets_up_what_is_missing(self) -> None:
        if gone := missing({"ansible": "ansible-core"}):
            raise SkipTest(gone)
        await self.by_nickname()
        made = self.folder / "made"
        settings = {
            "ANSIBLE_SSH_ARGS": f"-F {self.config}",
            "ANSIBLE_LOCAL_TEMP": str(self.folder / "local"),
            "LC_ALL": "C.UTF-8",
        }
        remote = f"ansible_remote_tmp={self.folder}/remote ansible_python_interpreter={sys.executable}"
        task = ("-m", "file", "-a", f"path={made} state=directory", "-e", remote)
        for said in (b"CHANGED", b"SUCCESS"):
            out = await self.done("ansible", "all", "-i", "there.crust,", *task, **settings)
            self.assertIn(b"there.crust | " + said, out)
        self.assertTrue(made.is_dir())

    @asynchronous
    async def test_what_is_wrong_is_said_in_a_line(self) -> None:
        await self.two({"web": "tcp:127.0.0.1:1"}, allow="")
        for target, said in (
            ("nobody/web", "'nobody' is no nickname that the setting nicknames gives"),
            ("there/ssh", "there does not offer ssh (nobody offers this protocol there)"),
            ("there.crust/web", "there does not let this node use web"),
        ):
            out, err, status = await self.run_command("pipe", target, f"--state-dir={self.client.state_dir}")
            self.assertEqual((out, status), ("", 1))
            self.assertEqual(err.count("\n"), 1, err)
            self.assertTrue(err.startswith("routing-crust: "), err)
            self.assertIn(said, err)

"""
Daemons and scripts as an operator has them: processes of their own.
"""

from __future__ import annotations

import json
import os
import signal
import socket

from routing_crust.daemon.state_directory import StateLock

from .children import SCRIPT, TWIST, TWISTD, Child, ProcessTestCase
from .fakes import temporary_directory

LOCAL = ("--listen=127.0.0.1:0", "--no-lan-discovery")
QUIET = ("-n", "--pidfile=", "routing-node")
TRACEBACK = "Traceback"


class DaemonTestCase(ProcessTestCase):
    """A folder for everything."""

    def setUp(self) -> None:
        self.folder = temporary_directory(self)

    def daemon(self, name: str, *arguments: str, terminal: bool = False) -> Child:
        where = f"--state-dir={self.folder / name}"
        return self.spawn(TWISTD, *QUIET, *LOCAL, where, *arguments, folder=self.folder, terminal=terminal)

    async def script(self, name: str, *arguments: str) -> tuple[int, str, str]:
        child = self.spawn(SCRIPT, *arguments, f"--state-dir={self.folder / name}", folder=self.folder)
        return await child.ended, child.out, child.err

    async def network(self) -> tuple[Child, Child, str, str]:
        """Two daemons that are linked, and their names."""
        one = self.daemon("one", "--first")
        contact = await one.wait_for(r"contact: (\S+)$")
        two = self.daemon("two", f"--contact={contact}")
        name = await two.wait_for(r"this is the node (\S+) of")
        for each in (one, two):
            await each.wait_for("linked with all neighbours")
        return one, two, contact.partition("@")[0], name


class NetworkTests(DaemonTestCase):
    """Two daemons and the script."""

    async def test_they_talk_and_stop(self) -> None:
        one, two, first, second = await self.network()
        self.assertEqual(await self.script("one", "name"), (0, f"{first}\n", ""))
        self.assertEqual(await self.script("two", "request", first, "ping"), (0, "pong\n", ""))

        listener = self.spawn(
            SCRIPT,
            "listen",
            "--count=2",
            "--answer=yes",
            f"--state-dir={self.folder}/one",
            folder=self.folder,
        )
        await self.until_listening("one")
        code, out, err = await self.script("two", "send", first, "grüße")
        self.assertEqual((code, err), (0, ""))
        self.assertRegex(out, rf"^acknowledged by {first}, direct, in \d+ ms\n$")
        self.assertEqual(await self.script("two", "request", first, "well?"), (0, "yes\n", ""))
        self.assertEqual(await listener.ended, 0)
        self.assertEqual(listener.out, f"{second} grüße\n{second} well?\n")

        code, out, _ = await self.script("two", "status")
        self.assertEqual(code, 0)
        self.assertRegex(out, r"(?m)^state: +connected, linked with all neighbours$")
        self.assertRegex(out, rf"(?m)^  (to  |from) {first} at 127.0.0.1:\d+, member, for \d+ s")

        code, out, err = await self.script("two", "explain", first)
        self.assertEqual((code, err), (0, ""))
        self.assertRegex(out, rf"^{first}: there is a link: direct, (we connected to|it connected from) 127")
        self.assertRegex(out, r"(?m)^  127.0.0.1:\d+, from the setting contacts")

        for daemon, name, by in ((one, "one", signal.SIGTERM), (two, "two", signal.SIGINT)):
            daemon.transport.signalProcess(by.name[3:])
            # twistd stops in good order, and then ends as the signal would have ended it
            self.assertEqual(await daemon.ended, -by)
            self.assertRegex(daemon.out, r"stopping\n(.*\n)*.* stopped\n")
            self.assertNotIn(TRACEBACK, daemon.out + daemon.err)
            left = set(os.listdir(self.folder / name))
            self.assertEqual(left & {"lock", "control.sock"}, set())
            self.assertIn("key.pem", left)

    async def test_a_closed_terminal_ends_a_daemon_in_good_order(self) -> None:
        one = self.daemon("one", "--first")
        contact = await one.wait_for(r"contact: (\S+)$")
        two = self.daemon("two", f"--contact={contact}", terminal=True)
        name = await two.wait_for(r"this is the node (\w+) of")
        await one.wait_for("linked with all neighbours")
        two.transport.loseConnection()
        # the peer has heard a Goodbye
        await one.wait_for(rf"lost .*{name}.*: the service is stopping")
        self.assertEqual(await two.ended, -signal.SIGHUP)
        self.assertEqual(set(os.listdir(self.folder / "two")) & {"lock", "control.sock"}, set())

    async def test_sighup_without_a_terminal_reloads(self) -> None:
        one = self.daemon("one", "--first")
        await one.wait_for("contact: ")
        one.transport.signalProcess("HUP")
        await one.wait_for("reloaded: nothing has changed")
        code, out, err = await self.script("one", "reload")
        self.assertEqual((code, out.splitlines()[0], err), (0, "changed nothing", ""))

    async def until_listening(self, name: str) -> None:
        while True:
            _, out, _ = await self.script(name, "status", "--json")
            if json.loads(out)["listeners"]:
                return

    async def test_a_killed_daemon_starts_again_under_its_name(self) -> None:
        one = self.daemon("one", "--first")
        name = await one.wait_for(r"this is the node (\S+) of")
        await one.wait_for("contact: ")
        one.transport.signalProcess("KILL")
        self.assertEqual(await one.ended, -signal.SIGKILL)
        again = self.daemon("one", "--first")
        self.assertEqual(await again.wait_for(r"this is the node (\S+) of"), name)
        code, out, err = await self.script("one", "status")
        self.assertEqual((code, err), (0, ""))
        self.assertIn(name, out)


class RefusalTests(DaemonTestCase):
    """What an operator may get wrong: each is one line, and the exit code is 1."""

    async def cannot_start(self, child: Child) -> str:
        """What the log says, without its time."""
        self.assertEqual(await child.ended, 1)
        self.assertNotIn(TRACEBACK, child.out + child.err)
        self.assertEqual(child.err, "")
        (line,) = [line for line in child.out.splitlines() if "cannot start: " in line]
        return line.partition(" critical: cannot start: ")[2]

    async def test_folder_open_to_others_is_refused(self) -> None:
        path = self.folder / "one"
        path.mkdir(mode=0o755)
        self.assertEqual(
            await self.cannot_start(self.daemon("one", "--first")),
            f"state_dir: the folder {path} has mode 0755, so others may look into it: run 'chmod 700 {path}'",
        )

    async def test_a_pid_file_that_cannot_be_written_is_one_line(self) -> None:
        child = self.spawn(
            TWISTD, "-n", "--pidfile=/no/such/folder/node.pid", "routing-node", "--first", folder=self.folder
        )
        self.assertEqual(await child.ended, 1)
        self.assertEqual(
            child.err,
            "routing-node: the pid file /no/such/folder/node.pid cannot be written: there is no folder "
            "/no/such/folder. Write 'twistd --pidfile= ...' for none, or 'twistd --pidfile=PATH ...'\n",
        )
        self.assertEqual(child.out, "")

    async def test_key_open_to_others_is_refused(self) -> None:
        self.assertEqual((await self.script("one", "keygen"))[0], 0)
        path = self.folder / "one" / "key.pem"
        path.chmod(0o644)
        self.assertEqual(
            await self.cannot_start(self.daemon("one", "--first")),
            f"the key file {path} has mode 0644, so others may read it: if nobody has, run "
            f"'chmod 600 {path}'; else replace the key",
        )

    async def test_damaged_key_is_refused(self) -> None:
        path = self.folder / "one" / "key.pem"
        path.parent.mkdir(mode=0o700)
        path.write_text("-----BEGIN")
        path.chmod(0o600)
        said = await self.cannot_start(self.daemon("one", "--first"))
        self.assertTrue(said.startswith(f"the key file {path} is damaged: "), said)

    async def test_folder_that_cannot_be_made_is_one_line(self) -> None:
        (self.folder / "file").touch()
        path = self.folder / "file" / "state"
        self.assertEqual(
            await self.cannot_start(self.daemon("file/state", "--first")),
            f"state_dir: the folder {path} cannot be made: Not a directory",
        )

    async def test_folder_in_use_is_one_line(self) -> None:
        path = self.folder / "one"
        path.mkdir(mode=0o700)
        self.addCleanup(StateLock(path).release)
        self.assertEqual(
            await self.cannot_start(self.daemon("one", "--first")),
            f"state_dir: another daemon, the process {os.getpid()}, uses {path}: stop it first, or give this "
            "one another folder",
        )

    async def test_taken_port_is_one_line(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            child = self.spawn(
                TWISTD,
                *QUIET,
                "--first",
                f"--listen=127.0.0.1:{port}",
                f"--state-dir={self.folder / 'one'}",
                folder=self.folder,
            )
            said = await self.cannot_start(child)
        self.assertEqual(
            said,
            f"cannot listen on 127.0.0.1, port {port}: another program listens there: stop it, or set listen "
            "to another port",
        )

    async def test_value_that_cannot_be_used_is_one_line(self) -> None:
        child = self.daemon("one", "--set=hello_timeout=500")
        self.assertEqual(await child.ended, 1)
        self.assertEqual(
            (child.out, child.err),
            ("", "routing-node: hello_timeout: 500 is out of range; valid is 0.5 to 120 s\n"),
        )

    async def test_settings_file_that_cannot_be_used_is_one_line(self) -> None:
        path = self.folder / "node.toml"
        path.write_text("helo_timeout = 3\n")
        child = self.daemon("one", f"--config={path}")
        self.assertEqual(await child.ended, 1)
        self.assertEqual(
            (child.out, child.err),
            (
                "",
                "routing-node: helo_timeout: there is no such setting; did you mean hello_timeout? "
                f"(in {path}, line 1)\n",
            ),
        )

    async def test_unknown_option_is_one_line(self) -> None:
        child = self.daemon("one", "--frist")
        self.assertEqual(await child.ended, 1)
        self.assertTrue(child.out.endswith(": option --frist not recognized\n"), child.out)

    async def test_in_the_background_the_terminal_is_told_too(self) -> None:
        path = self.folder / "one"
        path.mkdir(mode=0o755)
        child = self.spawn(
            TWISTD,
            "--pidfile=node.pid",
            "--logfile=node.log",
            "routing-node",
            *LOCAL,
            "--first",
            f"--state-dir={path}",
            folder=self.folder,
        )
        self.assertEqual(await child.ended, 1)
        self.assertIn("CannotStart: state_dir: the folder", child.err)
        self.assertIn("cannot start: state_dir: the folder", (self.folder / "node.log").read_text())

    async def test_twist_says_it_too(self) -> None:
        path = self.folder / "one"
        path.mkdir(mode=0o755)
        child = self.spawn(TWIST, "routing-node", "--first", f"--state-dir={path}", folder=self.folder)
        self.assertEqual(await child.ended, 1)
        self.assertEqual(
            (child.out, child.err),
            (
                "",
                f"cannot start: state_dir: the folder {path} has mode 0755, so others may look into it: "
                f"run 'chmod 700 {path}'\n",
            ),
        )


class DemoTests(DaemonTestCase):
    """The demonstration."""

    def demo(self, *arguments: str) -> Child:
        return self.spawn(TWISTD, *QUIET, *arguments, folder=self.folder)

    async def test_it_ends_by_itself(self) -> None:
        child = self.demo("--demo=3", "--demo-seconds=10")
        self.assertEqual(await child.ended, 0, child.out)
        self.assertRegex(child.out, r"(?m)^\S+ \S+ node 2 \(\S+\): connected$")
        self.assertRegex(
            child.out,
            r"(?m)^\S+ \S+ \d+ messages/s: \d+ acknowledged, \d+ failed; latency \S+ ms median, \S+ ms p99; "
            r"\d links; \d of 3 linked with all neighbours$",
        )
        self.assertIn("in all, in ", child.out)
        self.assertEqual(os.listdir(self.folder), [])

    async def test_interrupted_demo_ends_in_order(self) -> None:
        child = self.demo("--demo=2")
        await child.wait_for("messages/s: ")
        child.transport.signalProcess("INT")
        self.assertEqual(await child.ended, -signal.SIGINT)
        self.assertEqual(child.out.count(": terminated\n"), 2)
        self.assertNotIn(TRACEBACK, child.out + child.err)

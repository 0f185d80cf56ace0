"""
The console script starts at once: what only talks to the daemon loads nothing of Twisted. A time would depend
on the machine; what is loaded does not.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from threading import Thread

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.daemon.control.messages import (
    AnswerReply,
    Command,
    DoneReply,
    ExplainCommand,
    ExplainReply,
    ListenCommand,
    ListeningReply,
    Reply,
    RequestCommand,
    SendCommand,
    StatusCommand,
    StatusReply,
    decode_command,
    encode,
)
from routing_crust.daemon.control.session_messages import (
    ExposeCommand,
    ExposingReply,
    ForwardCommand,
    ForwardingReply,
)
from routing_crust.daemon.state_directory import socket_path
from routing_crust.daemon.text import TUNNEL
from routing_crust.endpoints import PathKind

from .fakes import ALICE, temporary_directory

REPORT = """
import sys
from routing_crust.daemon.cli import main
try:
    main(sys.argv[1:])
finally:
    heavy = ("twisted", "cryptography", "asyncio", "routing_crust.routing")
    sys.stderr.write(f"loaded: {[each for each in heavy if each in sys.modules]}\\n")
"""
EXPLANATION = {"name": str(ALICE), "summary": "no link", "candidates": [], "attempts": [], "next": []}


def replies(command: Command) -> list[Reply]:
    """What the daemon says, before it closes the connection."""
    if isinstance(command, StatusCommand):
        return [StatusReply(status={"links": [{"rung": "tunnel"}]})]
    if isinstance(command, ExplainCommand):
        return [ExplainReply(explanation=EXPLANATION)]
    if isinstance(command, SendCommand):
        return [DoneReply(name=str(ALICE), way="direct", seconds=2.0)]
    if isinstance(command, RequestCommand):
        return [AnswerReply(body=b"pong")]
    if isinstance(command, ListenCommand):
        return [ListeningReply()]
    if isinstance(command, ExposeCommand):
        return [ExposingReply()]
    assert isinstance(command, ForwardCommand)
    return [ForwardingReply(listen="127.0.0.1:2222")]


class OneAnswer(Thread):
    """A daemon that answers one program."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self.asked: list[Command] = []
        path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen()
        self.start()

    def run(self) -> None:
        connection, _ = self._socket.accept()
        with self._socket, connection, connection.makefile("rb") as lines:
            command = decode_command(lines.readline())
            self.asked.append(command)
            for reply in replies(command):
                connection.sendall(encode(reply) + b"\n")


class QuickStartTests(SynchronousTestCase):
    def run_script(self, *arguments: str) -> tuple[str, str]:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(each for each in sys.path if each)}
        # those that only an interrupt ends fail, since their daemon goes
        run = subprocess.run(
            [sys.executable, "-c", REPORT, *arguments],
            check=False,
            capture_output=True,
            text=True,
            env=environment,
        )
        return run.stdout, run.stderr.splitlines()[-1]

    def test_help_loads_neither_twisted_nor_cryptography(self) -> None:
        out, loaded = self.run_script("--help")
        self.assertIn("exit codes:", out)
        self.assertEqual(loaded, "loaded: []")

    def test_commands_for_the_daemon_load_neither_twisted_nor_cryptography(self) -> None:
        folder = temporary_directory(self)
        for arguments, shown in (
            (("status",), "relayed"),
            (("status", "--json"), '"rung": "tunnel"'),
            (("status", "--network=default"), "relayed"),
            (("send", str(ALICE), "hi"), f"acknowledged by {ALICE}, direct, in 2.0 s"),
            (("request", str(ALICE), "ping"), "pong"),
            (("explain", str(ALICE)), "no link"),
            (("listen",), ""),
            (("expose", "ssh=tcp:localhost:22", "--allow", "bob"), "exposing"),
            (("forward", "tcp:2222=bob/ssh"), "forwarding 127.0.0.1:2222"),
        ):
            daemon = OneAnswer(socket_path(folder))
            out, loaded = self.run_script(*arguments, "--state-dir", str(folder))
            self.assertEqual((len(daemon.asked), loaded), (1, "loaded: []"), arguments)
            self.assertIn(shown, out)

    def test_the_word_for_a_tunnel_is_the_one_of_path_kinds(self) -> None:
        self.assertEqual(TUNNEL, PathKind.TUNNEL.value)

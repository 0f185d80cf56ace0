"""
Servers of others on I{bob}: for SSH, a database, and a WebSocket.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from ...integration.programs import find, missing, unprivileged
from .household import Household
from .program import Program

SSH: Final = "ssh"
DATABASE: Final = "database"
WEBSOCKET: Final = "websocket"
PORTS: Final = {SSH: 8122, DATABASE: 8132, WEBSOCKET: 8180}
"""The protocols and the ports on 127.0.0.1, at both hosts."""
USER: Final = "tester"
"""Of the database."""
_SSHD_CONFIG: Final = """
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
PidFile none
UsePAM no
AuthorizedKeysFile {folder}/user.pub
StrictModes no
PermitRootLogin yes
PasswordAuthentication no
Subsystem sftp internal-sftp
"""
_ECHO: Final = """
import sys
from websockets.sync.server import serve

def echo(connection):
    for message in connection:
        connection.send(message)

with serve(echo, "127.0.0.1", int(sys.argv[1])) as server:
    print("listening", flush=True)
    server.serve_forever()
"""


def why_not() -> str:
    """Why there cannot be all of them; empty if there can."""
    ssh = dict.fromkeys(("ssh", "scp", "ssh-keygen"), "openssh-client")
    database = {"initdb": "postgresql", "postgres": "postgresql", "psql": "postgresql-client"}
    gone = missing({**ssh, "sshd": "openssh-server", **database})
    if not gone and find_spec("websockets") is None:
        return "the Python package websockets is not installed"
    if not gone and unprivileged() is None:
        return "a PostgreSQL server cannot run as root, and there is no other user"
    return gone


class Servers:
    """
    Started when it is made; they end with the laboratory, and C{stack} removes their files.

    @ivar folder: where the key is that the SSH server lets in, C{user}.
    """

    def __init__(self, household: Household, stack: ExitStack) -> None:
        self._household = household
        self.folder = self._folder(stack)
        self._start_ssh()
        self._start_database(self._folder(stack))
        self._start_websocket()

    def _folder(self, stack: ExitStack) -> Path:
        folder = Path(tempfile.mkdtemp(prefix="natlab-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        return folder

    def _run(self, *command: str, **options: int) -> Program:
        return Program(self._household.lab, "bob", *command, **options)

    def _start_ssh(self) -> None:
        for name in ("host", "user"):
            command = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / name))
            subprocess.run(command, check=True)
        config = self.folder / "sshd_config"
        config.write_text(_SSHD_CONFIG.format(port=PORTS[SSH], folder=self.folder))
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        self._run(str(find("sshd")), "-D", "-e", "-f", str(config)).wait("Server listening on 127.0.0.1")

    def _start_database(self, folder: Path) -> None:
        ids = unprivileged()
        assert ids is not None
        os.chown(folder, *ids)
        user, group = ids
        words = ("-D", f"{folder}/data", "-U", USER, "--auth=trust", "--no-sync", "-E", "UTF8")
        made = self._run(str(find("initdb")), *words, user=user, group=group)
        made.wait("^Success")
        words = (
            "-D",
            f"{folder}/data",
            "-p",
            str(PORTS[DATABASE]),
            "-k",
            str(folder),
            "-h",
            "127.0.0.1",
            "-F",
        )
        server = self._run(str(find("postgres")), *words, user=user, group=group)
        server.wait("ready to accept connections")

    def _start_websocket(self) -> None:
        self._run(sys.executable, "-u", "-c", _ECHO, str(PORTS[WEBSOCKET])).wait("^listening")


def ssh_options(folder: Path) -> Sequence[str]:
    """For C{ssh} and C{scp}: with our key and nothing of this machine's."""
    options = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "BatchMode=yes", "LogLevel=ERROR")
    return ("-F", "none", "-i", str(folder / "user"), *(word for each in options for word in ("-o", each)))


def psql(port: int) -> Sequence[str]:
    """The command, without anything of its user's."""
    where = f"host=127.0.0.1 port={port} user={USER} dbname=postgres"
    return ("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", where)

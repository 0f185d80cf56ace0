"""
Other programs that forward a port: each end is started by an actor of its own, on whose core it runs.
"""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectError
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater

from .cpu import cpu_seconds

ATTEMPTS: Final = 200
ATTEMPT_SECONDS: Final = 0.05
_SBIN: Final = os.pathsep.join(("", "/usr/sbin", "/usr/local/sbin"))


class Programs:
    """Starts programs in a folder of their own; they end with this process's group of children."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._started: list[subprocess.Popen[bytes]] = []
        self.folder = Path(mkdtemp(prefix="forwarding-"))
        reactor.addSystemEventTrigger("after", "shutdown", self._end)

    def do_cpu(self) -> float:
        """The processor time of the programs, and of this process, which does nothing."""
        return cpu_seconds()

    def run(self, *command: str) -> None:
        """Run a program to its end."""
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    async def start(self, port: int, *command: str) -> int:
        """
        Start a program that listens on a port.

        @return: the port, once it listens.
        """
        quiet = subprocess.DEVNULL
        program = subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=subprocess.PIPE)
        self._started.append(program)
        for _ in range(ATTEMPTS):
            await deferLater(self._reactor, ATTEMPT_SECONDS)
            if program.poll() is not None:
                assert program.stderr is not None
                raise RuntimeError(f"{command[0]} has ended: {program.stderr.read().decode()[-500:]}")
            try:
                made: Any = await self._connect(port)
            except ConnectError:
                continue
            made.transport.loseConnection()
            return port
        raise RuntimeError(f"{command[0]} does not listen on {port}")

    def _connect(self, port: int) -> Deferred[Any]:
        endpoint = TCP4ClientEndpoint(self._reactor, "127.0.0.1", port)
        made: Deferred[Any] = endpoint.connect(Factory.forProtocol(Protocol))
        return made

    def _end(self) -> None:
        for program in self._started:
            program.terminate()
            program.wait()
        shutil.rmtree(self.folder)


class Ssh(Programs):
    """C{ssh -L}, with the server's and the client's keys made for this, and their own choice of ciphers."""

    async def do_serve(self, number: int, target: int, port: int) -> dict[str, Any]:
        """Start the server."""
        sshd = shutil.which("sshd", path=os.environ.get("PATH", "") + _SBIN)
        if sshd is None:
            raise RuntimeError("there is no sshd here: apt-get install openssh-server")
        host, user = self.folder / "host", self.folder / "user"
        for each in (host, user):
            self.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(each))
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        options = {
            "ListenAddress": f"127.0.0.1:{port}",
            "HostKey": host,
            "AuthorizedKeysFile": f"{user}.pub",
            "StrictModes": "no",
            "PidFile": "none",
            "UsePAM": "no",
            "MaxStartups": "100",
        }
        settings = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
        await self.start(port, sshd, "-D", "-e", "-f", "/dev/null", *settings)
        return {"port": port, "target": target, "key": str(user)}

    async def do_forward(self, number: int, to: dict[str, Any], port: int) -> int:
        """Start the client. Returns the port."""
        command = ["ssh", "-N", "-F", "/dev/null", "-i", to["key"], "-p", str(to["port"])]
        for option in (
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
            "ExitOnForwardFailure=yes",
            "BatchMode=yes",
        ):
            command += ["-o", option]
        forward = f"127.0.0.1:{port}:127.0.0.1:{to['target']}"
        return await self.start(port, *command, "-L", forward, f"{getpass.getuser()}@127.0.0.1")


class Socat(Programs):
    """C{socat} with TLS: a process and a handshake for each connection, certificates of both ends checked."""

    async def do_serve(self, number: int, target: int, port: int) -> dict[str, Any]:
        """Start the far end."""
        key, certificate = self.folder / "key.pem", self.folder / "certificate.pem"
        subject = ("-days", "2", "-subj", "/CN=localhost", "-keyout", str(key), "-out", str(certificate))
        self.run("openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", *subject)
        pem = self.folder / "both.pem"
        pem.write_text(key.read_text() + certificate.read_text())
        keys = f"cert={pem},cafile={certificate}"
        # the larger blocks, since its own 8 KiB are no choice for a comparison
        listen = f"OPENSSL-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork,backlog=128,{keys},verify=1"
        await self.start(port, "socat", "-b", "65536", listen, f"TCP:127.0.0.1:{target},nodelay")
        return {"port": port, "keys": f"{keys},verify=1,commonname=localhost"}

    async def do_forward(self, number: int, to: dict[str, Any], port: int) -> int:
        """Start the near end. Returns the port."""
        listen = f"TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork,backlog=128,nodelay"
        far = f"OPENSSL:127.0.0.1:{to['port']},nodelay,{to['keys']}"
        return await self.start(port, "socat", "-b", "65536", listen, far)

"""
Programs that know nothing of this package, over a forward: an interactive SSH session, a transaction of a
database, a copy of files, and a WebSocket.

All but the copy ask ten times a second, and each answer has to be the next one.
"""

from __future__ import annotations

import random
import sys
from hashlib import sha256
from typing import ClassVar, Final

from routing_crust.limits import MIB

from .household import Household
from .servers import DATABASE, PORTS, SSH, WEBSOCKET, Servers, psql, ssh_options
from .traffic import Traffic

COPIED_MIB: Final = 16
"""The size of each file that is copied."""
COPIED_FILES: Final = 32
COPIED_RATE: Final = MIB
"""In bytes a second."""
_TURNS: Final = """
import sys, threading, time
end = threading.Event()
threading.Thread(target=lambda: (sys.stdin.readline(), end.set()), daemon=True).start()

def turns(ask):
    number = 0
    while not end.is_set():
        number += 1
        ask(number)
        print("at", time.monotonic(), number, flush=True)
        end.wait(0.1)
    return number
"""
_SSH: Final = (
    _TURNS
    + r"""
import os, pty, re
child, terminal = pty.fork()
if not child:
    os.execvp("ssh", ["ssh", *sys.argv[1:]])
seen = b""

def ask(number):
    global seen
    # the terminal echoes the line, in which the number of the answer is not
    os.write(terminal, b"echo answer-$((%d * 2))\n" % number)
    while not (found := re.search(rb"answer-(\d+)\r\n", seen)):
        seen += os.read(terminal, 65536)
    if int(found[1]) != 2 * number:
        sys.exit(f"the answer to {number} is {found[1]}")
    seen = seen[found.end():]

number = turns(ask)
os.write(terminal, b"exit 7\n")
_, status = os.waitpid(child, 0)
print("ended", number, os.waitstatus_to_exitcode(status), flush=True)
"""
)
_PSQL: Final = (
    _TURNS
    + """
import subprocess
psql = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

def ask(number):
    psql.stdin.write(f"insert into turns values ({number}) returning number;\\n")
    answer = psql.stdout.readline()
    if answer.strip() != str(number):
        sys.exit(f"the answer to {number} is {answer!r}")

psql.stdin.write("begin;\\n")
number = turns(ask)
psql.stdin.write("commit;\\n")
psql.stdin.close()
print("ended", number, psql.wait(), flush=True)
"""
)
_WEBSOCKET: Final = (
    _TURNS
    + """
from websockets.sync.client import connect
# without a limit for the answer to a ping, which by default ends connections after 20 to 40 s of silence
with connect(sys.argv[1], ping_timeout=None) as connection:
    def ask(number):
        message = f"{number} " * 50
        connection.send(message)
        if connection.recv() != message:
            sys.exit(f"the answer to {number} is another one")

    number = turns(ask)
print("ended", number, connection.close_code, flush=True)
"""
)
_SCP: Final = """
import hashlib, os, shutil, subprocess, sys, threading, time
end = threading.Event()
threading.Thread(target=lambda: (sys.stdin.readline(), end.set()), daemon=True).start()
target, digest, *command = sys.argv[1:]
copied = copies = wrong = 0

def grown(folder, size):
    now = sum(each.stat().st_size for each in os.scandir(folder)) if os.path.isdir(folder) else 0
    if now > size:
        print("at", time.monotonic(), copied + now, flush=True)
    return now

def check(folder):
    global wrong
    for each in os.scandir(folder):
        with open(each, "rb") as file:
            wrong += hashlib.sha256(file.read()).hexdigest() != digest
    shutil.rmtree(folder)

checks = []
while not end.is_set():
    folder = f"{target}{copies}"
    scp, size = subprocess.Popen([*command, folder]), 0
    while scp.poll() is None:
        size = grown(folder, size)
        time.sleep(0.02)
    copied += grown(folder, size)
    copies += 1
    if scp.returncode:
        sys.exit(f"copy {copies} has failed with {scp.returncode}")
    checks.append(threading.Thread(target=check, args=(folder,)))
    checks[-1].start()
for each in checks:
    each.join()
print("ended", copied, wrong, flush=True)
"""

# scp's own limit sleeps for up to a second at once, which looks like a break
_SLOWLY: Final = """
import os, socket, sys, threading, time
port, rate, hurry = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
connection = socket.create_connection(("127.0.0.1", port))

def send():
    while data := os.read(0, 65536):
        connection.sendall(data)
    connection.shutdown(socket.SHUT_WR)

threading.Thread(target=send, daemon=True).start()
while data := connection.recv(32768):
    took = len(data)
    while data:
        data = data[os.write(1, data):]
    if not os.path.exists(hurry):
        time.sleep(took / rate)
"""


class Session(Traffic):
    """
    Its numbers count answers.

    @cvar status: what its program ends with.
    """

    status: ClassVar[int] = 0

    def finish(self, seconds: float) -> None:
        """Leave it as a user does."""
        self._client.tell("end")
        self._finished(seconds)

    def _finished(self, seconds: float) -> None:
        last = self._last_line(seconds)
        expected = f"ended {self.came} {self.status}"
        if last != expected:
            raise AssertionError(f"{self.label}: {self._said} instead of {expected!r}")


class Ssh(Session):
    """A shell on a terminal, which is given line after line."""

    label: ClassVar[str] = "ssh"
    status: ClassVar[int] = 7

    def __init__(self, household: Household, servers: Servers) -> None:
        words = (*ssh_options(servers.folder), "-tt", "-p", str(PORTS[SSH]), "127.0.0.1", "sh -i")
        super().__init__(household, _SSH, *words)


class Psql(Session):
    """A transaction: nobody sees anything of it before its end, and then everything."""

    label: ClassVar[str] = "psql"

    def __init__(self, household: Household, servers: Servers) -> None:
        self._household = household
        self._there("create table turns (number int primary key)")
        super().__init__(household, _PSQL, *psql(PORTS[DATABASE]))

    def _there(self, statement: str) -> str:
        """Run a statement where the server is."""
        return self._household.lab.run("bob", *psql(PORTS[DATABASE]), "-c", statement).strip()

    def finish(self, seconds: float) -> None:
        count = "select count(*), max(number) from turns"
        if self._there(count) != "0|":
            raise AssertionError("others see a transaction that has not ended")
        super().finish(seconds)
        rows = self._there(count)
        if rows != f"{self.came}|{self.came}":
            raise AssertionError(f"{rows} rows are there of {self.came}")


class WebSocket(Session):
    """Messages that come back."""

    label: ClassVar[str] = "WebSocket"
    status: ClassVar[int] = 1000

    def __init__(self, household: Household, servers: Servers) -> None:
        super().__init__(household, _WEBSOCKET, f"ws://127.0.0.1:{PORTS[WEBSOCKET]}/")


class Scp(Session):
    """
    A folder of large files is copied at a steady rate, and once more when all of it is there. Its numbers
    are bytes.
    """

    label: ClassVar[str] = "scp"

    def __init__(self, household: Household, servers: Servers) -> None:
        content = random.Random(COPIED_MIB).randbytes(COPIED_MIB * MIB)
        source, target, slowly = (servers.folder / each for each in ("source", "target", "slowly.py"))
        self._hurry = servers.folder / "hurry"
        source.mkdir()
        first = source / "0"
        first.write_bytes(content)
        for number in range(1, COPIED_FILES):
            (source / str(number)).hardlink_to(first)
        slowly.write_text(_SLOWLY)
        proxy = f"{sys.executable} {slowly} {PORTS[SSH]} {COPIED_RATE} {self._hurry}"
        options = (*ssh_options(servers.folder), "-r", "-q", "-o", f"ProxyCommand={proxy}")
        command = ("scp", *options, f"127.0.0.1:{source}")
        super().__init__(household, _SCP, str(target), sha256(content).hexdigest(), *command)

    def finish(self, seconds: float) -> None:
        self._client.tell("end")
        self._hurry.touch()
        self._finished(seconds)


SESSIONS: Final = (Ssh, Psql, Scp, WebSocket)

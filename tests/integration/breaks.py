"""
A large file over two daemons with breaks: C{python -m tests.integration.breaks}.

While the file is under way, in turn the receiver is killed, the sender interrupted (so that it tells what it
has sent) and a daemon killed, and started again. At the end the hash
must be equal, and what was sent more than once below a hundredth. With C{--wormhole FOLDER}, a virtual
environment that has magic-wormhole with its two servers, the same file goes by C{wormhole} as well.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from routing_crust.limits import MIB
from tests.integration.processes import environment
from tests.integration.programs import free_port

_CLI = "from routing_crust.daemon.cli import main; main()"
_TWISTD = "from twisted.scripts.twistd import run; run()"
_PATIENCE_SECONDS = 600.0
_LOOK_SECONDS = 0.02
_ALLOWED_SHARE = 0.01


class Ends:
    """Two daemons, and the commands that use them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.into = folder / "into"
        self.into.mkdir()
        self.ports = free_port(), free_port()
        self.daemons: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, which: str) -> None:
        """Start a daemon, and wait until it can be used."""
        state_dir = self.folder / which
        words = ["-n", "--pidfile=", "routing-node", "--no-lan-discovery", f"--state-dir={state_dir}"]
        if which == "here":
            words += ["--first", f"--listen=127.0.0.1:{self.ports[0]}"]
        else:
            name = self.output("here", "name").strip()
            words += [f"--listen=127.0.0.1:{self.ports[1]}", f"--nickname=here={name}"]
            words += [f"--contact={name}@127.0.0.1:{self.ports[0]}"]
        self.daemons[which] = subprocess.Popen(
            [sys.executable, "-c", _TWISTD, *words], env=environment(), stdout=subprocess.DEVNULL
        )
        until(lambda: '"connected"' in self.output(which, "status", "--json") or which == "here")
        until(lambda: self.output(which, "status", "--json"))

    def output(self, which: str, *words: str) -> str:
        """What a command prints."""
        done = subprocess.run(
            self.command(which, *words), env=environment(), capture_output=True, check=False
        )
        return done.stdout.decode()

    def command(self, which: str, *words: str) -> list[str]:
        """A command for one of the daemons."""
        return [sys.executable, "-c", _CLI, *words, f"--state-dir={self.folder / which}"]

    def receive(self) -> subprocess.Popen[bytes]:
        """Start a receiver, and wait until it can be sent to."""
        words = ("receive", "--yes", "--json", f"--into={self.into}")
        receiver = subprocess.Popen(
            self.command("here", *words), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert receiver.stdout is not None
        receiver.stdout.readline()
        return receiver

    def send(self, path: Path) -> subprocess.Popen[bytes]:
        """Start a sender."""
        words = ("send-file", "--json", str(path), "here")
        return subprocess.Popen(
            self.command("there", *words), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def arrived(self) -> int:
        """How much of the file is on the disk."""
        found = self.into.glob(".routing-crust-*/item")
        return sum(each.stat().st_size for each in found)

    def end(self) -> None:
        for each in self.daemons.values():
            each.kill()
            each.wait()

    @classmethod
    @contextmanager
    def with_file(cls, mib: int) -> Iterator[tuple[Ends, Path]]:
        """Both ends, started, and a random file of this size; ends and files are gone afterwards."""
        with tempfile.TemporaryDirectory(prefix="rc-ends-", ignore_cleanup_errors=True) as folder:
            ends = cls(Path(folder))
            path = ends.folder / "file"
            with path.open("wb") as file:
                for _ in range(mib):
                    file.write(os.urandom(MIB))
            try:
                ends.start("here")
                ends.start("there")
                yield ends, path
            finally:
                ends.end()


def until(what: Any) -> None:
    """
    Wait until this holds.

    @raise SystemExit: it never does.
    """
    began = time.monotonic()
    while not what():
        if time.monotonic() - began > _PATIENCE_SECONDS:
            raise SystemExit("it did not happen")
        time.sleep(_LOOK_SECONDS)


def is_listening(port: int) -> bool:
    """Whether some program listens there: a connection that is tried could be the one that it waits for."""
    return f":{port:04X} " in Path("/proc/net/tcp").read_text()


def with_breaks(ends: Ends, path: Path, breaks: int) -> tuple[int, float]:
    """
    Send the file.

    @return: the bytes that were sent in all, and for how many seconds something was under way.
    """
    size = path.stat().st_size
    sent, seconds = 0, 0.0
    for number in range(breaks + 1):
        receiver = ends.receive()
        began = time.monotonic()
        sender = ends.send(path)
        if number < breaks:
            goal = size * (number + 1) // (breaks + 1)
            until(lambda goal=goal: ends.arrived() >= goal)
            victim = (receiver, sender, ends.daemons["there"])[number % 3]
            os.kill(victim.pid, signal.SIGINT if victim is sender else signal.SIGKILL)
        out, _ = sender.communicate()
        seconds += time.monotonic() - began
        if number < breaks:
            receiver.kill()
            receiver.wait()
            say(f"break {number + 1}: {ends.arrived() / MIB:.1f} MiB have arrived")
            if number % 3 == 2:
                ends.daemons["there"].wait()
                ends.start("there")
        else:
            receiver.wait()
        sent += int(json.loads(out.splitlines()[-1])["moved"])
    return sent, seconds


def without_breaks(ends: Ends, path: Path) -> float:
    """The seconds that it takes."""
    receiver = ends.receive()
    began = time.monotonic()
    sender = ends.send(path)
    sender.communicate()
    receiver.wait()
    return time.monotonic() - began


def by_wormhole(venv: Path, folder: Path, path: Path) -> float:
    """The seconds that magic-wormhole takes, with servers on this machine."""
    mailbox, transit = free_port(), free_port()
    servers = [
        subprocess.Popen([venv / "bin/twist", *words], cwd=folder, stdout=subprocess.DEVNULL)
        for words in (
            ("wormhole-mailbox", f"--port=tcp:{mailbox}:interface=127.0.0.1", "--channel-db=:memory:"),
            ("transitrelay", f"--port=tcp:{transit}:interface=127.0.0.1"),
        )
    ]
    until(lambda: is_listening(mailbox) and is_listening(transit))
    common = [
        str(venv / "bin/wormhole"),
        f"--relay-url=ws://127.0.0.1:{mailbox}/v1",
        f"--transit-helper=tcp:127.0.0.1:{transit}",
    ]
    into = folder / "wormhole"
    into.mkdir()
    began = time.monotonic()
    sender = subprocess.Popen(
        [*common, "send", "--hide-progress", "--code=1-purple-sausages", str(path)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    subprocess.run(
        [*common, "receive", "--hide-progress", "--accept-file", "1-purple-sausages"], cwd=into, check=True
    )
    sender.wait()
    seconds = time.monotonic() - began
    for each in servers:
        each.kill()
        each.wait()
    assert digest(into / path.name) == digest(path)
    return seconds


def say(text: str) -> None:
    """Print a line, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def digest(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        hasher = hashlib.sha256()
        while block := file.read(MIB):
            hasher.update(block)
    return hasher.hexdigest()


def main() -> None:
    """Run it, and print what was seen."""
    parser = argparse.ArgumentParser(prog="python -m tests.integration.breaks", description=__doc__)
    parser.add_argument("--mib", type=int, default=2048, help="the size of the file (default: %(default)s)")
    parser.add_argument("--breaks", type=int, default=10, help="(default: %(default)s)")
    parser.add_argument("--wormhole", type=Path, metavar="FOLDER", help="a virtual environment with it")
    options = parser.parse_args()
    with Ends.with_file(options.mib) as (ends, path):
        sent, seconds = with_breaks(ends, path, options.breaks)
        size = path.stat().st_size
        again = sent / size - 1
        say(f"{options.breaks} breaks: {seconds:.1f} s, sent again: {100 * again:.2f} %")
        same = digest(ends.into / "file") == digest(path)
        say(f"hash equal: {'yes' if same else 'no'}")
        (ends.into / "file").unlink()
        whole = without_breaks(ends, path)
        say(f"without breaks: {whole:.1f} s, {options.mib / whole:.1f} MiB/s")
        if options.wormhole:
            taken = by_wormhole(options.wormhole, ends.folder, path)
            say(f"magic-wormhole, without breaks: {taken:.1f} s, {options.mib / taken:.1f} MiB/s")
        sys.exit(0 if same and again < _ALLOWED_SHARE else 1)


if __name__ == "__main__":
    main()

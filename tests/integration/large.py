"""
A large file, and many connections at once, through two daemons and a forward, with what that takes. Not a
test, since it takes a while; run it by hand::

    python -m tests.integration.large                    # 1 GiB, 200 connections
    python -m tests.integration.large --mib 100 --connections 50

An unmodified C{twistd web} serves, curl fetches. It exits with 1 if a hash differs, a connection fails, or a
daemon needs more memory than C{--most-memory}.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.integration.processes import environment
from tests.integration.programs import free_port

TWISTD = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "-n", "--pidfile="]
MIB = 1 << 20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--mib", type=int, default=1024, help="the size of the file (default: %(default)s)")
    parser.add_argument("--connections", type=int, default=200, help="at once (default: %(default)s)")
    parser.add_argument(
        "--most-memory", type=int, default=100, help="of a daemon, in MiB (default: %(default)s)"
    )
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rc-large-")))
        return run(stack, folder, options)


def run(stack: ExitStack, folder: Path, options: argparse.Namespace) -> int:
    (folder / "www").mkdir()
    digest = make_file(folder / "www" / "large", options.mib)
    (folder / "www" / "page").write_bytes(os.urandom(100_000))
    web, forward = free_port(), free_port()
    stack.enter_context(
        process(folder / "web.log", "web", f"--listen=tcp:{web}:interface=127.0.0.1", f"--path={folder}/www")
    )
    node = ["routing-node", "--no-lan-discovery", "--listen=127.0.0.1:0"]
    exposed = [f"--expose=web=tcp:127.0.0.1:{web}", "--allow-peer=web=*"]
    server = stack.enter_context(
        process(folder / "server.log", *node, "--first", f"--state-dir={folder}/s", *exposed)
    )
    contact = wait_for(folder / "server.log", r"contact: (\S+)")
    forwarded = [f"--contact={contact}", f"--forward=tcp:{forward}={contact.partition('@')[0]}/web"]
    client = stack.enter_context(process(folder / "client.log", *node, f"--state-dir={folder}/c", *forwarded))
    wait_for(folder / "client.log", r"(connected) \(was")
    daemons = {"the server's": server, "the client's": client}
    good = large_file(web, forward, digest, options.mib)
    good &= many(forward, folder, options.connections)
    for whose, daemon in daemons.items():
        most = peak_memory(daemon.pid)
        print(f"memory of {whose} daemon: {most:.1f} MiB at the most")
        good &= most < options.most_memory
    return 0 if good else 1


def make_file(path: Path, mib: int) -> str:
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for _ in range(mib):
            data = os.urandom(MIB)
            digest.update(data)
            file.write(data)
    return digest.hexdigest()


def large_file(web: int, forward: int, digest: str, mib: int) -> bool:
    good = True
    for how, port in (("straight", web), ("through the daemons", forward)):
        began = time.monotonic()
        with subprocess.Popen(
            ["curl", "-s", f"http://127.0.0.1:{port}/large"], stdout=subprocess.PIPE
        ) as curl:
            found = hashlib.sha256()
            assert curl.stdout is not None
            while data := curl.stdout.read(MIB):
                found.update(data)
        seconds = time.monotonic() - began
        same = found.hexdigest() == digest and curl.returncode == 0
        print(
            f"{mib} MiB {how}: {'intact' if same else 'DAMAGED'}, {seconds:.1f} s, {mib / seconds:.0f} MiB/s"
        )
        good &= same
    return good


def many(forward: int, folder: Path, count: int) -> bool:
    page = (folder / "www" / "page").read_bytes()
    url = f"http://127.0.0.1:{forward}/page"
    began = time.monotonic()
    # slowly, so that all of them are open at once
    words = ["curl", "-s", "--limit-rate", "50k", "--max-time", "120", url]
    running = [subprocess.Popen(words, stdout=subprocess.PIPE) for _ in range(count)]
    got = [each.communicate()[0] for each in running]
    good = sum(each == page for each in got)
    print(f"{good} of {count} connections at once finished, in {time.monotonic() - began:.1f} s")
    return good == count


@contextmanager
def process(log: Path, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as file:
        running = subprocess.Popen([*TWISTD, *words], stdout=file, stderr=file, env=environment())
    try:
        yield running
    finally:
        running.send_signal(signal.SIGTERM)
        running.wait()


def wait_for(log: Path, pattern: str) -> str:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        found = re.search(pattern, log.read_text())
        if found is not None:
            return found[1]
        time.sleep(0.1)
    sys.exit(f"{pattern!r} never came:\n{log.read_text()}")


def peak_memory(pid: int) -> float:
    """The most that a process has had in memory, in MiB."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


if __name__ == "__main__":
    sys.exit(main())

"""
Chromium opens a page of a peer through the proxy, by SOCKS5, by HTTP and by the configuration that it has.

C{python -m tests.daemon.proxy.browser}. It needs Debian's C{chromium}, and is a command: what a browser takes
its time for shall fail nobody's change.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.integration.processes import environment
from tests.integration.programs import free_port

WAIT_SECONDS = 120
_TWISTD = "from twisted.scripts.twistd import run; run()"
_CLI = "from routing_crust.daemon.cli import main; main()"
_PAGE = '<!doctype html><title>there</title><p id="said">no script</p><script src="page.js"></script>'
_SCRIPT = 'document.getElementById("said").textContent = "the script has run";'


@contextmanager
def running(log: Path, *words: str) -> Iterator[None]:
    """A child of C{twistd} meanwhile."""
    with log.open("wb") as file:
        command = [sys.executable, "-c", _TWISTD, "-n", "--pidfile=", *words]
        child = subprocess.Popen(command, env=environment(), stdout=file, stderr=file)
    try:
        yield
    finally:
        child.terminate()
        child.wait()


def wait_for(log: Path, text: str) -> None:
    end = time.monotonic() + WAIT_SECONDS
    while text not in log.read_text():
        if time.monotonic() > end:
            raise SystemExit(f"{log.name} does not say {text!r}:\n{log.read_text()}")
        time.sleep(0.2)


def shown(folder: Path, *options: str) -> str:
    """What Chromium makes of the page."""
    path = shutil.which("chromium")
    if path is None:
        raise SystemExit("chromium is not here: apt-get install chromium")
    command = [
        *(path, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}/chromium"),
        *(*options, "--virtual-time-budget=20000", "--dump-dom", "http://there.crust/"),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=WAIT_SECONDS, check=False).stdout


def main() -> None:
    """Two daemons, a web server, a browser."""
    with tempfile.TemporaryDirectory(prefix="rc-") as name:
        folder = Path(name)
        (folder / "www").mkdir()
        (folder / "www" / "index.html").write_text(_PAGE)
        (folder / "www" / "page.js").write_text(_SCRIPT)
        web, proxy, one, two = (free_port() for _ in range(4))
        node = ("routing-node", "--no-lan-discovery", "--no-port-mapping")
        first = (f"--listen=127.0.0.1:{one}", f"--state-dir={folder}/server", "--first")
        served = (f"--expose=web=tcp:127.0.0.1:{web}", "--allow-peer=web=*")
        logs = [folder / each for each in ("web", "server.log", "client.log")]
        listen = f"--listen=tcp:{web}:interface=127.0.0.1"
        with (
            running(logs[0], "web", listen, f"--path={folder}/www"),
            running(logs[1], *node, *first, *served),
        ):
            wait_for(logs[1], "contact: ")
            asked = [sys.executable, "-c", _CLI, "name", f"--state-dir={folder}/server"]
            there = subprocess.run(asked, env=environment(), capture_output=True, text=True, check=True)
            server = there.stdout.strip()
            second = (
                f"--listen=127.0.0.1:{two}",
                f"--state-dir={folder}/client",
                f"--local-proxy=tcp:{proxy}",
            )
            known = (f"--contact={server}@127.0.0.1:{one}", f"--nickname=there={server}")
            with running(logs[2], *node, *second, *known):
                wait_for(logs[2], " connected (was")
                for option in (
                    f"--proxy-server=socks5://127.0.0.1:{proxy}",
                    f"--proxy-server=http://127.0.0.1:{proxy}",
                    f"--proxy-pac-url=http://127.0.0.1:{proxy}/proxy.pac",
                ):
                    dom = shown(folder, option)
                    holds = "the script has run" in dom
                    print("ok  " if holds else "FAIL", f"chromium {option}", flush=True)
                    if not holds:
                        raise SystemExit(f"{dom}\n{logs[2].read_text()}")


if __name__ == "__main__":
    main()

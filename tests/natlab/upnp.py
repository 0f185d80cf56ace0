"""
Debian's miniupnpd on a router: it maps ports for each host that asks, over UPnP IGD and NAT-PMP. It does so
only if the router's own address is a public one.
"""

from __future__ import annotations

import subprocess
import tempfile
import threading
from pathlib import Path
from typing import IO, Any, Final

from .namespaces import PATH, PATIENCE, LabError, Namespace
from .rules import UPNP_RULES

_READY: Final = "Listening for NAT-PMP"
_CONF: Final = """
ext_ifname=wan0
listening_ip=lan0
enable_natpmp=yes
enable_upnp=yes
secure_mode=yes
system_uptime=yes
uuid=0c7a4d43-1f0c-4a2b-9d0f-6f3f3bb4a2ce
allow 1024-65535 0.0.0.0/0 1024-65535
deny 0-65535 0.0.0.0/0 0-65535
"""


class PortMappingDaemon:
    """
    One of them; a context manager for its files.

    @ivar lines: what it has said.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._folder = tempfile.TemporaryDirectory(prefix="natlab-")
        self._ready = threading.Event()

    def __enter__(self) -> PortMappingDaemon:
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def start(self, router: Namespace) -> subprocess.Popen[str]:
        """
        Start it, and wait until it listens.

        @raise LabError: it does not.
        """
        router.command("nft", "-f", "-", given=UPNP_RULES)
        conf = Path(self._folder.name, "conf")
        conf.write_text(_CONF)
        program: subprocess.Popen[Any] = router.popen(
            ["miniupnpd", "-d", "-f", str(conf), "-P", str(conf.with_name("pid"))],
            env={"PATH": PATH},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert program.stdout is not None
        # it is read to its end, or the daemon would wait for it
        threading.Thread(target=self._read, args=(program.stdout,), daemon=True).start()
        if not self._ready.wait(PATIENCE) or program.poll() is not None:
            program.kill()
            program.wait()
            raise LabError(f"miniupnpd does not start: {' '.join(self.lines)}")
        return program

    def _read(self, output: IO[str]) -> None:
        with output:
            for line in output:
                self.lines.append(line.strip())
                if _READY in line:
                    self._ready.set()
        self._ready.set()

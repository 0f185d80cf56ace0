"""
Tells systemd how its service is: C{sd_notify(3)}, whose protocol is a datagram of lines C{NAME=value}.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

READY: Final = "READY=1"
RELOADING: Final = "RELOADING=1"
STOPPING: Final = "STOPPING=1"
WATCHDOG: Final = "WATCHDOG=1"
MICROSECONDS: Final = 1_000_000


class Notifier:
    """
    The socket at which systemd, or what stands in for it, hears of its service.
    """

    def __init__(self, address: str) -> None:
        """
        @param address: what C{NOTIFY_SOCKET} says: a path, or with C{@} at its beginning an abstract name.
        """
        self._address = b"\0" + os.fsencode(address[1:]) if address.startswith("@") else os.fsencode(address)

    def tell(self, *lines: str) -> None:
        """Send these lines. A supervisor that does not hear is none that the node could depend on."""
        # each with a socket of its own: nothing has to be closed, and a new supervisor is heard, too
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
            out.setblocking(False)
            out.sendto("\n".join(lines).encode(), self._address)


def notifier_of(environment: Mapping[str, str]) -> Notifier | None:
    """The notifier that the environment names; C{None} if it names none, or one of another kind."""
    address = environment.get("NOTIFY_SOCKET", "")
    return Notifier(address) if address[:1] in ("/", "@") and len(address) > 1 else None


def watchdog_of(environment: Mapping[str, str], process: int) -> float | None:
    """
    Within how many seconds systemd wants to hear from this process again and again.

    @return: C{None} if it does not, or means another process.
    """
    period = environment.get("WATCHDOG_USEC", "")
    meant = environment.get("WATCHDOG_PID", str(process))
    if not (period.isascii() and period.isdigit() and int(period[:18])) or meant != str(process):
        return None
    return int(period[:18]) / MICROSECONDS


def moment_line() -> str:
    """The line for the moment at which a reload begins, so that systemd takes no older one for it."""
    return f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}"


def status_line(text: str) -> str:
    """The line that C{systemctl status} shows."""
    return "STATUS=" + text.replace("\n", " ")

"""
Network namespaces. A thread that has entered one sees its devices and makes its sockets and processes there,
and the rest of this process stays where it is; so most of what a laboratory does needs no helper.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import signal
import socket
import struct
import subprocess
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

_T = TypeVar("_T")
FOLDER: Final = Path("/run/netns")
"""Where C{ip netns} keeps them."""
PREFIX: Final = "natlab"
"""What the names of all laboratories' namespaces begin with. The id of the process that made it is next."""
PATH: Final = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
PATIENCE: Final = 300.0
"""Seconds for which anything is waited for: a bound on hanging, however slow the machine."""
# linux/if_tun.h
_TUNSETIFF: Final = 0x400454CA
_IFF_TAP: Final = 0x0002
_IFF_NO_PI: Final = 0x1000
# linux/netlink.h, linux/netfilter/nfnetlink_conntrack.h
_NETLINK_NETFILTER: Final = 12
_CT_DELETE: Final = (1 << 8) | 2
_REQUEST_ACK: Final = 1 | 4


class LabError(Exception):
    """A laboratory cannot be built, or changed."""


def command(*arguments: str, given: str = "") -> str:
    """
    Run a program and return what it prints.

    @raise LabError: it fails; the text is what it says.
    """
    done = subprocess.run(
        arguments, input=given, capture_output=True, text=True, check=False, env={**os.environ, "PATH": PATH}
    )
    if done.returncode:
        raise LabError(f"{' '.join(arguments)}: {done.stderr.strip() or done.returncode}")
    return done.stdout


def batch(lines: Iterable[str], *options: str) -> None:
    """
    Give lines to C{ip -batch}.

    @raise LabError: one of them fails; those after it are not done.
    """
    given = "\n".join(lines)
    if given:
        command("ip", *options, "-batch", "-", given=f"{given}\n")


class Namespace:
    """An existing namespace, by its name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.path = FOLDER / name

    def inside(self, what: Callable[[], _T]) -> _T:
        """Do something in this namespace, and wait for it."""

        def enter_and_do() -> _T:
            with self.path.open("rb") as namespace:
                if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), 0):
                    raise OSError(ctypes.get_errno(), f"{self.name} cannot be entered")
            return what()

        # the thread ends with this, so nothing else ever runs in there
        with ThreadPoolExecutor(1) as threads:
            return threads.submit(enter_and_do).result()

    def batch(self, lines: Iterable[str], *options: str) -> None:
        """Give lines to C{ip -batch} in this namespace."""
        batch(lines, "-n", self.name, *options)

    def command(self, *arguments: str, given: str = "") -> str:
        """Run a program in this namespace and return what it prints."""
        return self.inside(lambda: command(*arguments, given=given))

    def popen(self, arguments: Iterable[str], **options: Any) -> subprocess.Popen[Any]:
        """Start a program in this namespace, with the options of L{subprocess.Popen}."""
        return self.inside(lambda: subprocess.Popen(list(arguments), **options))

    def sysctl(self, settings: dict[str, str]) -> None:
        """Set what is below C{/proc/sys/net}; what this kernel does not have is left out."""

        def write() -> None:
            for name, value in settings.items():
                path = Path("/proc/sys/net", name)
                if path.exists():
                    path.write_text(value)

        self.inside(write)

    def open_tap(self, device: str) -> int:
        """Make a network device whose frames this descriptor reads and writes, and which ends with it."""

        def make() -> int:
            tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            try:
                fcntl.ioctl(tap, _TUNSETIFF, struct.pack("16sH14x", device.encode(), _IFF_TAP | _IFF_NO_PI))
            except OSError:
                os.close(tap)
                raise
            return tap

        return self.inside(make)

    def forget_connections(self) -> None:
        """
        Empty the table of connections, as C{conntrack -F} does.

        @raise OSError: the kernel does not do it.
        """

        def flush() -> bytes:
            with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as netlink:
                netlink.settimeout(PATIENCE)
                netlink.send(struct.pack("=IHHIIBBH", 20, _CT_DELETE, _REQUEST_ACK, 1, 0, 0, 0, 0))
                return netlink.recv(4096)

        # the answer is an error message, with 0 for none
        (error,) = struct.unpack_from("=i", self.inside(flush), 16)
        if error:
            raise OSError(-error, f"the connections of {self.name} cannot be forgotten")


def kill_all_in(namespaces: Iterable[Namespace]) -> None:
    """
    Kill each process in one of these namespaces, and wait until it has ended. This process never is one.

    @raise LabError: one does not end.
    """
    places = {status.st_ino for each in namespaces if (status := _status_of(each.path)) is not None}
    while victims := [pid for pid in _processes() if _is_in(pid, places)]:
        for pid in victims:
            _kill(pid, places)


def remove_orphans() -> None:
    """Remove laboratories whose processes were killed, with all that runs in them."""
    orphans = []
    for path in FOLDER.glob(f"{PREFIX}-*-*"):
        pid = path.name.split("-")[1]
        if not Path("/proc", pid).exists():
            orphans.append(Namespace(path.name))
    if orphans:
        kill_all_in(orphans)
        # another one may be doing the same
        with suppress(LabError):
            batch((f"netns del {each.name}" for each in orphans), "-force")


def _kill(pid: int, places: set[int]) -> None:
    with suppress(ProcessLookupError):
        process = os.pidfd_open(pid)
        try:
            # once more: the number may be that of another process by now, but not the descriptor
            if not _is_in(pid, places):
                return
            signal.pidfd_send_signal(process, signal.SIGKILL)
            ended = select.poll()
            ended.register(process, select.POLLIN)
            if not ended.poll(PATIENCE * 1000):
                raise LabError(f"process {pid} does not end")
        finally:
            os.close(process)


def _processes() -> list[int]:
    own = os.getpid()
    return [pid for each in os.listdir("/proc") if each.isdecimal() and (pid := int(each)) != own]


def _is_in(pid: int, places: set[int]) -> bool:
    # what has ended and is not yet reaped is nowhere
    status = _status_of(Path(f"/proc/{pid}/ns/net"))
    return status is not None and status.st_ino in places


def _status_of(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None

"""
Sockets that are listening already, handed over by systemd: C{sd_listen_fds(3)}.

Twisted looks for them as well, for its endpoints C{systemd:}, when it is imported, and removes what the
environment says. So the environment is read that the process was started with.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ...endpoints import Endpoint
from ...plain_errors import ConfigurationError

FIRST_DESCRIPTOR: Final = 3
"""Where the given descriptors begin: after the three that every program has."""
MAX_GIVEN_SOCKETS: Final = 64
_STARTED_WITH: Final = Path("/proc/self/environ")


def environment_at_start() -> dict[str, str]:
    """What the process was started with; empty where the system does not tell."""
    try:
        content = _STARTED_WITH.read_bytes()
    except OSError:
        return {}
    pairs = (each.partition("=") for each in os.fsdecode(content).split("\0"))
    return {name: value for name, equals, value in pairs if equals}


def take_sockets(environment: Mapping[str, str], process: int) -> dict[Endpoint, socket.socket]:
    """
    Take what the environment says was given to this process.

    @return: the sockets, each with where it listens. The caller closes them.
    @raise ConfigurationError: one of them is of no use to a node.
    """
    count = _count(environment, process)
    taken: dict[Endpoint, socket.socket] = {}
    for descriptor in range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + count):
        given = _socket(descriptor)
        host, port = given.getsockname()[:2]
        taken[Endpoint.of(host, port)] = given
    return taken


def make_ours(given: Mapping[Endpoint, socket.socket]) -> str:
    """
    Have the sockets belong to our user, so that we may dial from their ports as well: the system lets only
    sockets of one user share a port, and these are of the user who made them, in a system unit root.

    @return: why that did not work, for the log; empty if it did.
    """
    user = os.geteuid()
    for endpoint, each in given.items():
        owner = os.fstat(each.fileno()).st_uid
        if owner == user:
            continue
        try:
            os.fchown(each.fileno(), user, -1)
        except OSError:
            return (
                f"the socket for {endpoint} belongs to the user with id {owner}, so peers cannot be dialled "
                "from its port, and no hole can be punched: give the unit AmbientCapabilities=CAP_CHOWN and "
                "CapabilityBoundingSet=CAP_CHOWN, or stop the socket unit and have the daemon listen itself"
            )
    return ""


def _count(environment: Mapping[str, str], process: int) -> int:
    if environment.get("LISTEN_PID") != str(process):
        return 0
    text = environment.get("LISTEN_FDS", "")
    count = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else -1
    if not 0 <= count <= MAX_GIVEN_SOCKETS:
        raise _problem(f"LISTEN_FDS is {text!r}: valid is 0 to {MAX_GIVEN_SOCKETS}")
    return count


def _socket(descriptor: int) -> socket.socket:
    try:
        # a program that the daemon starts would keep the port from the next daemon
        os.set_inheritable(descriptor, False)
        given = socket.socket(fileno=descriptor)
    except OSError as error:
        raise _problem(f"descriptor {descriptor} is no socket ({error.strerror})") from None
    problem = _problem_of(given)
    if problem:
        # not left to garbage collection: by then the number may be that of another descriptor
        given.close()
        raise _problem(f"descriptor {descriptor} {problem}")
    given.setblocking(False)
    return given


def _problem_of(given: socket.socket) -> str:
    """Why a node cannot listen with this socket; empty if it can."""
    listens = given.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if (
        given.family not in (socket.AF_INET, socket.AF_INET6)
        or given.type != socket.SOCK_STREAM
        or not listens
    ):
        return (
            "is not a listening TCP socket: write ListenStream=ADDRESS:PORT and Accept=no in the socket unit"
        )
    if given.family == socket.AF_INET6 and not given.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY):
        # its IPv4 connections would have addresses that no rule for IPv4 is about
        return (
            "takes IPv4 and IPv6 at once: write BindIPv6Only=ipv6-only in the socket unit, and a "
            "ListenStream for each"
        )
    return ""


def _problem(text: str) -> ConfigurationError:
    return ConfigurationError("listen", f"the sockets that systemd gives are of no use: {text}")

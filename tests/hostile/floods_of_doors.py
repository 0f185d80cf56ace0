"""
Floods of the doors of local programs, the proxy and a forwarded UDP port.
"""

from __future__ import annotations

import os
import socket
import struct
from contextlib import ExitStack, suppress
from typing import Final

from .behaviour import SOURCES, Target, behaviour
from .breaches_of_doors import GREETING

KEPT_OUT: Final = "kept out"
_REFUSED: Final = b"\x05\x00\x05\x02"
_HELD: Final = 560
"""More than the proxy has."""
_LINGER: Final = struct.pack("ii", 1, 0)


@behaviour("connections to the proxy with half a request each, 200 a second, which stay", flood=True)
def half_requests_to_the_proxy(target: Target) -> None:
    with ExitStack() as held:
        programs: list[socket.socket] = []
        for number in target.paced(200):
            with suppress(OSError):
                programs.append(held.enter_context(socket.create_connection(target.proxy, timeout=5)))
                programs[-1].sendall((b"\x05", b"GET http://ho", GREETING)[number % 3])
            if len(programs) > _HELD:
                programs.pop().close()
        target.reaction = _outcome(target)


@behaviour("560 connections to the proxy that send a byte of a request each second", flood=True)
def slow_requests_to_the_proxy(target: Target) -> None:
    with ExitStack() as held:
        programs = [
            held.enter_context(socket.create_connection(target.proxy, timeout=5)) for _ in range(_HELD)
        ]
        for _ in target.paced(1):
            for each in programs:
                with suppress(OSError):
                    each.sendall(b"G")
        target.reaction = _outcome(target)


@behaviour("requests to the proxy for a peer that is off, 50 a second, not waited for", flood=True)
def requests_for_a_peer_that_is_off(target: Target) -> None:
    for _ in target.paced(50):
        with suppress(OSError), socket.create_connection(target.proxy, timeout=5) as program:
            program.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
            program.sendall(GREETING + b"\x05\x01\x00\x03\x0cnobody.crust\x00\x50")


@behaviour("datagrams to the forwarded UDP port from made-up sources, 2,000 a second", flood=True)
def datagrams_of_many_sources(target: Target) -> None:
    for number in target.paced(200):
        with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as program:
            program.bind((f"{SOURCES}.{number % 250}.{number // 250 % 250}", 0))
            for _ in range(10):
                program.sendto(os.urandom(1200), target.forwarded)


def _outcome(target: Target) -> str:
    """Whether the proxy still takes an honest program: it refuses a host that is none of the network."""
    came = b""
    with suppress(OSError), socket.create_connection(target.proxy, timeout=target.patience) as program:
        program.sendall(GREETING + b"\x05\x01\x00\x03\x0bexample.com\x00\x50")
        while data := program.recv(100):
            came += data
    return f"an honest program is {'answered' if came.startswith(_REFUSED) else KEPT_OUT}"

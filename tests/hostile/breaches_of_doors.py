"""
What a program of this machine, or a page of a browser there, can say to the proxy that is no request.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress

from .behaviour import KEPT, Target, behaviour

GREETING = b"\x05\x01\x00"


@behaviour("the proxy is sent bytes that are no request")
def proxy_garbage(target: Target) -> None:
    target.expect_plain_close(b"\x16\x03\x01" + os.urandom(300) + b"\r\n\r\n", to=target.proxy)


@behaviour("the proxy is asked by HTTP with a head that has no end")
def proxy_endless_head(target: Target) -> None:
    with socket.create_connection(target.proxy, timeout=target.patience) as program:
        program.sendall(b"GET http://home.crust/ HTTP/1.1\r\n")
        target.reaction = KEPT
        with suppress(ConnectionError):
            for number in range(100_000):
                program.sendall(b"X-%d: %s\r\n" % (number, b"a" * 1000))
        with suppress(ConnectionError):
            while program.recv(65536):
                pass
        target.reaction = "closed"


@behaviour("the proxy is asked by SOCKS5 for a host whose name is no text")
def proxy_host_of_zeros(target: Target) -> None:
    request = GREETING + b"\x05\x01\x00\x03\xff" + bytes(255) + b"\x00\x50"
    target.expect_plain_close(request, to=target.proxy)


@behaviour("the proxy is asked for an address outside of the network")
def proxy_foreign_address(target: Target) -> None:
    request = GREETING + b"\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x16"
    target.expect_plain_close(request, to=target.proxy)

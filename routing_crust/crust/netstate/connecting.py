"""
TCP connections by a reactor, on the path that is wanted.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any, Final

from twisted.internet.interfaces import IConnector
from twisted.internet.tcp import Client, Connector, makeBinding

from ...endpoints import Endpoint
from .paths import SYSTEM_PATH, DialPath

NO_TIMEOUT: Any = None
_BIND_TO_DEVICE: Final[int | None] = getattr(socket, "SO_BINDTODEVICE", None)


def connect_tcp(
    reactor: Any,
    remote: Endpoint,
    factory: Any,
    origin: Endpoint | None,
    path: DialPath = SYSTEM_PATH,
) -> IConnector:
    """
    Connect by a reactor, as C{Platform.connect} describes.

    @param reactor: provides C{IReactorTCP}, and C{IReactorFDSet} for any path but the system's own.
    """
    bind = None
    if path.uplink is not None:
        port = 0 if origin is None else origin.port
        # with its address, too: it may be known to the rules of a host with several tables of routes
        bind = makeBinding(path.uplink.address, port, reuseAddress=port > 0, reusePort=port > 0)
    elif origin is not None:
        host = "" if origin.address.is_unspecified and not origin.is_v6 else origin.host
        bind = makeBinding(host, origin.port, reuseAddress=True, reusePort=True)
    connector: IConnector
    if path == SYSTEM_PATH:
        connector = reactor.connectTCP(remote.host, remote.port, factory, timeout=None, bindAddress=bind)
    else:
        connector = made = PathConnector(remote.host, remote.port, factory, NO_TIMEOUT, bind, reactor)
        made.path = path
        made.connect()
    return connector


class PathClient(Client):
    """A connection whose socket gets its path before anything is sent."""

    connector: PathConnector

    def createInternetSocket(self) -> socket.socket:
        made: socket.socket = super().createInternetSocket()  # type: ignore[no-untyped-call]
        take_path(made, self.connector.path)
        return made


class PathConnector(Connector):
    """
    Makes a L{PathClient}.

    @ivar path: its path, set before the connection is begun.
    """

    path = SYSTEM_PATH

    def _makeTransport(self) -> PathClient:
        return PathClient(  # type: ignore[no-untyped-call]
            self.host, self.port, self.bindAddress, self, self.reactor
        )


def take_path(made: socket.socket, path: DialPath) -> None:
    """
    Have a socket that is not connected take a path.

    @raise OSError: the interface is gone, or the system does not let us choose it. Since version 5.7 Linux
        lets every user.
    """
    if path.uplink is not None and _BIND_TO_DEVICE is not None:
        # the address alone does not choose the way out: that is for the routes
        made.setsockopt(socket.SOL_SOCKET, _BIND_TO_DEVICE, path.uplink.interface.encode() + b"\0")
    if path.segment_bytes:
        # not every system lets us, and then larger ones may do
        with suppress(OSError):
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, path.segment_bytes)

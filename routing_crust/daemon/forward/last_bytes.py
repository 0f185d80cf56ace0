"""
How the connection of a program ends. If the program has closed it and has not read all that came, the kernel
reports an error, though nothing that the program has written is lost: it waits in our end of the socket.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IUNIXTransport
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure

_READ_BYTES: Final = 256 * 1024
"""More than the kernel keeps for most sockets, as it comes."""


def read_last_bytes(transport: Any, received: Callable[[bytes], object]) -> None:
    """
    Have a connection end only after everything that the program has written was read; and end cleanly if it
    is a UNIX socket, where the error tells of unread input and of nothing else. Does nothing for a transport
    without a socket of its own.

    Twisted gives the connection up at the first error, which may be that of a write, or come while nothing
    was to be read; what was not read then would be gone.

    @param received: takes what had not been read yet, before the protocol hears of the end.
    """
    if not isinstance(transport, Connection):
        return

    def lost(reason: Failure) -> None:
        del transport.connectionLost  # the circle that keeps the transport
        # the subclass is our own wish
        if reason.check(ConnectionLost) and not reason.check(ConnectionAborted):
            for data in _rest(transport.socket):
                received(data)
            if IUNIXTransport.providedBy(transport):
                reason = Failure(ConnectionDone())
        transport.connectionLost(reason)

    transport.connectionLost = lost  # type: ignore[method-assign]


def _rest(socket: Any) -> Iterator[bytes]:
    try:
        while data := socket.recv(_READ_BYTES):
            yield data
    except OSError:
        # the error that we know of
        return

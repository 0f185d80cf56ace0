"""
How a program closes a UNIX socket. If it has not read all that came, the kernel reports an error, though
nothing that the program has written is lost: it waits in our end of the socket.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.python.failure import Failure

_READ_BYTES: Final = 256 * 1024
"""More than the kernel keeps for one socket, as it comes."""


def close_cleanly(transport: Any, received: Callable[[bytes], object]) -> None:
    """
    Have a connection that the program has closed end cleanly, after everything that it has written.

    Twisted gives the connection up at the first error, which may be that of a write, or come while nothing
    was to be read; what was not read then would be gone.

    @param transport: a connection of Twisted's that provides C{IUNIXTransport}.
    @param received: takes what had not been read yet, before the protocol hears of the end.
    """
    lose = transport.connectionLost

    def lost(reason: Failure) -> None:
        # the subclass is our own wish
        if reason.check(ConnectionLost) and not reason.check(ConnectionAborted):
            for data in _rest(transport.socket):
                received(data)
            reason = Failure(ConnectionDone())
        lose(reason)

    transport.connectionLost = lost


def _rest(socket: Any) -> Iterator[bytes]:
    try:
        while data := socket.recv(_READ_BYTES):
            yield data
    except OSError:
        # the error that we know of
        return

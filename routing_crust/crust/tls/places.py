"""
Two buffers that all TLS sessions of the process share: records are read into one and written to the other,
and each user empties it within the same call. OpenSSL puts records there side by side; pyOpenSSL would make
an object of each, which was most of the time that TLS took in Python.
"""

from __future__ import annotations

from typing import Any, Final

from OpenSSL import SSL
from OpenSSL._util import ffi, lib

from .records import OVERHEAD_BYTES, RECORD_BYTES

PIECE_BYTES: Final = 128 * 1024
"""What goes through OpenSSL at once. Its buffers keep room for this much while the session lasts."""
READ_BYTES: Final = 256 * 1024
"""What is read from a socket, or given to it, at once."""
PLACE_BYTES: Final = READ_BYTES + OVERHEAD_BYTES * (READ_BYTES // RECORD_BYTES + 2) + 2 * RECORD_BYTES

_content: Final[Any] = ffi.new("char[]", PLACE_BYTES)
_written: Final[Any] = ffi.new("char[]", PLACE_BYTES)
_view: Final = memoryview(ffi.buffer(_written, PLACE_BYTES))
_read: Final[Any] = lib.SSL_read
_take: Final[Any] = lib.BIO_read
_buffer: Final[Any] = ffi.buffer


def read_records(connection: Any, at: int, count: int) -> tuple[int, int]:
    """
    Decrypt what has come.

    @param at: where in the place to begin.
    @param count: at most how many records.
    @return: where the content ends, and the last result of OpenSSL: not above 0 if it had no more.
    """
    ssl, place, result = connection._ssl, _content, 1
    # a whole record must still fit: OpenSSL does not know where the place ends
    while count and at <= PLACE_BYTES - RECORD_BYTES:
        result = _read(ssl, place + at, RECORD_BYTES)
        if result <= 0:
            break
        at += result
        count -= 1
    return at, result


def raise_problem(connection: Any, result: int) -> None:
    """
    Raise what kept OpenSSL from reading more: at once, since it looks at the last error.

    @raise OpenSSL.SSL.Error: the problem; C{WantReadError} if there simply was no more.
    """
    connection._raise_ssl_error(connection._ssl, result)


def content(end: int) -> bytes:
    """A copy of what was read, up to C{end}."""
    data: bytes = _buffer(_content, end)[:]
    return data


def take_written(connection: SSL.Connection, at: int) -> int:
    """
    Take out what OpenSSL has written.

    @param at: where in the place to put it.
    @return: where it ends.
    """
    size: int = _take(connection._from_ssl, _written + at, PLACE_BYTES - at)
    return at + max(0, size)


def written(end: int) -> memoryview:
    """What was taken out, up to C{end}: to be used or copied before anything else is called."""
    return _view[:end]

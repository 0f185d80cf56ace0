"""
Where the body of an HTTP request ends (RFC 9112, sections 6 and 7). It passes as it is; what follows it may
be a request to another host, which the first one must not see.
"""

from __future__ import annotations

from typing import Final

MAX_LINE_BYTES: Final = 1024
MAX_TRAILER_BYTES: Final = 8192


class BadBody(Exception):
    """The bytes are no body of the kind that was announced."""


class Body:
    """
    A body of known length.

    @ivar is_over: whether all of it has come.
    """

    def __init__(self, length: int) -> None:
        self._left = length
        self.is_over = not length

    def take(self, data: bytes) -> int:
        """
        @return: how many of these bytes belong to it.
        @raise BadBody: they cannot be of one.
        """
        mine = min(self._left, len(data))
        self._left -= mine
        self.is_over = not self._left
        return mine


class ChunkedBody(Body):
    """A body in chunks."""

    def __init__(self) -> None:
        super().__init__(0)
        self.is_over = False
        self._line = bytearray()
        self._in_trailer = self._after_chunk = False
        self._trailer = 0

    def take(self, data: bytes) -> int:
        """As that of L{Body}."""
        at = 0
        while at < len(data) and not self.is_over:
            if self._left:
                mine = min(self._left, len(data) - at)
                self._left -= mine
                at += mine
                self._after_chunk = not self._left
                continue
            end = data.find(b"\n", at)
            piece = data[at:] if end < 0 else data[at : end + 1]
            self._line += piece
            at += len(piece)
            if len(self._line) > MAX_LINE_BYTES:
                raise BadBody("a line of a chunked body is too long")
            if end >= 0:
                line = bytes(self._line)
                self._line.clear()
                self._read(line)
        return at

    def _read(self, line: bytes) -> None:
        if not line.endswith(b"\r\n"):
            # a lone LF ends a line for some programs and not for others: so requests are smuggled
            raise BadBody("a line of a chunked body does not end as it should")
        text = line[:-2]
        if self._in_trailer:
            self._trailer += len(line)
            if self._trailer > MAX_TRAILER_BYTES:
                raise BadBody("the trailer of a chunked body is too long")
            self.is_over = not text
        elif self._after_chunk:
            if text:
                raise BadBody("a chunk is longer than it says")
            self._after_chunk = False
        else:
            digits = text.partition(b";")[0].strip()
            if not digits or len(digits) > 15 or digits.strip(b"0123456789abcdefABCDEF"):
                raise BadBody("the size of a chunk is no number")
            self._left = int(digits, 16)
            self._in_trailer = not self._left

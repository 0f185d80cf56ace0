"""
The stream of a transfer, on a connection of the control socket that has become one.

Messages wait until bytes of a file follow or L{Channel.flush} is called, so that many small files do not
cost a system call for each.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from math import inf
from time import monotonic
from typing import BinaryIO, Final

from ...limits import KIB
from ...plain_errors import RoutingCrustError
from ..control.chunks import (
    MAX_CHUNK_BYTES,
    READ_BYTES,
    ChunkKind,
    ChunkReader,
    NotAChunk,
    chunk_head,
    make_room,
)
from .messages import Message, data_head, message_frame

_CLOSE_SECONDS: Final = 10.0
"""How long a daemon that is stuck is waited for."""
_HELD_BYTES: Final = 32 * KIB


class ChannelLost(RoutingCrustError):
    """The stream has ended; the text says why."""


class Channel:
    """Both ways of one stream. One thread may read while another writes."""

    def __init__(self, wire: socket.socket, incoming: BinaryIO) -> None:
        """
        @param wire: where chunks are written.
        @param incoming: where chunks are read.
        """
        self._wire = wire
        make_room(wire)
        self._incoming = incoming
        self._held = bytearray()
        self._usual = wire.gettimeout()
        self._until: float | None = None
        self._may_be_buffered = True
        self._patience = self._patience_left = inf
        self._out_of_patience: Callable[[], object] = lambda: None

    def limit(self, seconds: float | None) -> None:
        """Stop reading this many seconds from now; C{None} lifts the limit."""
        self._until = None if seconds is None else monotonic() + seconds

    def when_kept_waiting(self, seconds: float, call: Callable[[], object]) -> None:
        """
        From now on call this each time that what was read has been waited for so long, all waits added up. It
        may raise.
        """
        self._patience = self._patience_left = seconds
        self._out_of_patience = call

    def pieces(self) -> Iterator[bytes]:
        """
        What comes, until the other end has closed the stream.

        @raise ChannelLost: it ends otherwise, or the time of L{limit} is over.
        """
        chunks = ChunkReader()
        try:
            while data := self._read():
                chunks.add(data)
                while (chunk := chunks.next()) is not None:
                    kind, payload = chunk
                    if kind is ChunkKind.DATA:
                        yield payload
                    elif kind is ChunkKind.RESET:
                        # loads Twisted, for which no stream that goes well need wait
                        from ..control.resets import reset_problem

                        raise ChannelLost(f"the stream has ended: {reset_problem(payload)}")
                    else:
                        return
        except ConnectionResetError:
            pass
        except TimeoutError:
            raise ChannelLost("what was waited for has not come in time") from None
        except NotAChunk:
            raise ChannelLost("the daemon sent what is no stream: is it of another version?") from None
        raise ChannelLost("the daemon has stopped")

    def _read(self) -> bytes:
        while True:
            began = monotonic()
            left = inf if self._until is None else self._until - began
            # also for one that sends a byte now and then
            if left <= 0:
                raise TimeoutError
            wait = min(left, self._patience_left)
            try:
                return self._read_once() if wait == inf else self._read_within(wait)
            except TimeoutError:
                if wait == inf:
                    raise
            finally:
                self._waited(monotonic() - began)

    def _read_within(self, seconds: float) -> bytes:
        self._wire.settimeout(seconds)
        try:
            return self._read_once()
        finally:
            # the same socket is written to
            self._wire.settimeout(self._usual)

    def _read_once(self) -> bytes:
        if not self._may_be_buffered:
            return self._wire.recv(READ_BYTES)
        # once: the last line of the daemon may have come together with the first bytes, which are all taken
        self._may_be_buffered = False
        read: bytes = self._incoming.read1(READ_BYTES)  # type: ignore[attr-defined]
        return read

    def _waited(self, seconds: float) -> None:
        self._patience_left -= seconds
        if self._patience_left <= 0:
            self._patience_left = self._patience
            self._out_of_patience()

    def tell(self, message: Message) -> None:
        """
        Send a message, soon.

        @raise ChannelLost: the stream is gone.
        """
        self._held += message_frame(message)
        if len(self._held) >= _HELD_BYTES:
            self.flush()

    def tell_data(self, offset: int, content: bytes) -> None:
        """
        Send bytes of a file.

        @raise ChannelLost: the stream is gone.
        """
        # in one call with what waits before it: a file of a few bytes costs one
        self._held += data_head(offset, len(content))
        vectors = self._take_held()
        view = memoryview(content)
        for start in range(0, len(view), MAX_CHUNK_BYTES):
            part = view[start : start + MAX_CHUNK_BYTES]
            vectors += (chunk_head(ChunkKind.DATA, part), part)
        self._write(vectors)

    def flush(self) -> None:
        """
        Send the messages that wait.

        @raise ChannelLost: the stream is gone.
        """
        if self._held:
            self._write(self._take_held())

    def close(self) -> None:
        """Send what waits, close the stream, and read on until the daemon has taken that."""
        with suppress(ChannelLost):
            self.flush()
            self._write([chunk_head(ChunkKind.CLOSE, b"")])
        with suppress(OSError):
            self._wire.shutdown(socket.SHUT_WR)
        # a socket that is closed with bytes unread would have the daemon throw ours away
        with suppress(OSError):
            self._patience_left = inf
            self.limit(_CLOSE_SECONDS)
            while self._read():
                pass

    def _take_held(self) -> list[bytes | memoryview]:
        held = memoryview(bytes(self._held))
        self._held.clear()
        vectors: list[bytes | memoryview] = []
        for start in range(0, len(held), MAX_CHUNK_BYTES):
            part = held[start : start + MAX_CHUNK_BYTES]
            vectors += (chunk_head(ChunkKind.DATA, part), part)
        return vectors

    def _write(self, vectors: list[bytes | memoryview]) -> None:
        left = sum(map(len, vectors))
        try:
            while left:
                written = self._wire.sendmsg(vectors)
                left -= written
                while left and written >= len(vectors[0]):
                    written -= len(vectors[0])
                    del vectors[0]
                if left and written:
                    vectors[0] = memoryview(vectors[0])[written:]
        except OSError:
            raise ChannelLost("the daemon has stopped") from None

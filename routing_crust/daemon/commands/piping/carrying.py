"""
Carries the standard input and output over a stream of the daemon.

One thread for each direction writes what it has read before it reads on, so an end that does not read stops
the other. Nothing is made non-blocking: that would change the terminal of the shell that started us.
"""

from __future__ import annotations

import os
import select
import socket
import stat
from contextlib import suppress
from threading import Thread
from typing import BinaryIO

from ...control.chunks import READ_BYTES, ChunkKind, ChunkReader, NotAChunk, chunk_head, make_room
from ...control.client import ClientError


class StreamLost(ClientError):
    """The stream has ended before both sides had sent all; the text says why."""


class PipeCarrier:
    """
    One stream, from L{run} to its end.

    @ivar sent: bytes of the input that have gone out.
    @ivar received: bytes that have been written to the output.
    """

    def __init__(self, wire: socket.socket, incoming: BinaryIO, near_in: int, near_out: int) -> None:
        """
        @param wire: where chunks are written.
        @param incoming: where chunks are read.
        @param near_in: the descriptor of the input.
        @param near_out: the descriptor of the output.
        """
        self.sent = self.received = 0
        self._wire = wire
        make_room(wire)
        self._incoming = incoming
        self._in = near_in
        self._out = near_out
        self._problem = ""
        self._read_over = self._write_over = False

    def run(self) -> None:
        """
        Carry until both ends have sent all, or the peer has closed.

        @raise StreamLost: it ends otherwise.
        @raise BrokenPipeError: nobody reads the output any more.
        """
        Thread(target=self._send, daemon=True).start()
        chunks = ChunkReader()
        try:
            while data := self._incoming.read1(READ_BYTES):  # type: ignore[attr-defined]
                chunks.add(data)
                while (chunk := chunks.next()) is not None:
                    if self._chunk(*chunk):
                        return
        except ConnectionResetError:
            # the daemon is gone, and has not read all that we had written
            self._write_over = False
        except NotAChunk:
            raise StreamLost("the daemon sent what is no stream: is it of another version?") from None
        if not (self._read_over and self._write_over):
            raise StreamLost(self._problem or "the daemon has stopped")

    def _chunk(self, kind: ChunkKind, payload: bytes) -> bool:
        """
        Take one chunk.

        @return: whether the stream is over.
        """
        if kind is ChunkKind.DATA:
            _write(self._out, payload)
            self.received += len(payload)
        elif kind is ChunkKind.END:
            self._read_over = True
            _end_output(self._out)
        elif kind is ChunkKind.CLOSE:
            return True
        else:
            # loads Twisted, for which no stream that goes well need wait
            from ...control.resets import reset_problem

            raise StreamLost(f"the stream has ended: {reset_problem(payload)}")
        return False

    def _send(self) -> None:
        try:
            while data := _read(self._in):
                if not self._tell(ChunkKind.DATA, data):
                    return
                self.sent += len(data)
        except OSError as error:
            # not the end of the input: the peer must not take what came for all
            self._problem = f"the standard input cannot be read: {error.strerror}"
            with suppress(OSError):
                self._wire.shutdown(socket.SHUT_RDWR)
            return
        self._write_over = True
        self._tell(ChunkKind.END, b"")

    def _tell(self, kind: ChunkKind, payload: bytes) -> bool:
        try:
            self._wire.sendall(chunk_head(kind, payload) + payload)
        except OSError:
            # the other thread reads why
            return False
        return True


def _wait(descriptor: int, event: int) -> None:
    # not select(), which knows no descriptor above 1,023
    poll = select.poll()
    poll.register(descriptor, event)
    poll.poll()


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, READ_BYTES)
    except BlockingIOError:
        # the program that started us has made it non-blocking
        _wait(descriptor, select.POLLIN)
    return _read(descriptor)


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[_write_some(descriptor, view) :]


def _write_some(descriptor: int, data: memoryview) -> int:
    try:
        return os.write(descriptor, data)
    except BlockingIOError:
        _wait(descriptor, select.POLLOUT)
    return _write_some(descriptor, data)


def _end_output(descriptor: int) -> None:
    """Let the reader of the output see its end, while the input is read on."""
    if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
        with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as end:
            end.shutdown(socket.SHUT_WR)
    # not closed: the next file that is opened would get its number
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, descriptor)
    os.close(nothing)

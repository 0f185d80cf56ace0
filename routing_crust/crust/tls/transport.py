"""
Twisted's TLS transport, with fewer steps for each byte.

Twisted's own takes 16 KiB to OpenSSL and back to the socket at a time, calls the protocol for each record,
and asks OpenSSL after each read for more than there is, which costs an exception. This one encrypts a piece
of 128 KiB before it takes out what that became, gives the protocol all records of a read at once, and asks
for as many records as it has counted (L{routing_crust.crust.tls.records}), which are read side by side into
one place (L{routing_crust.crust.tls.places}).

All else is inherited from Twisted: the handshake, producers, the close_notify of either end, errors. So
Twisted's own tests hold for this one (C{tests.crust.tls.test_as_twisted}).
"""

from __future__ import annotations

from typing import Any, Final

from OpenSSL.SSL import Error, WantReadError, ZeroReturnError
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure

from .places import (
    PIECE_BYTES,
    PLACE_BYTES,
    READ_BYTES,
    content,
    raise_problem,
    read_records,
    take_written,
    written,
)
from .records import RecordCounter

_ALL: Final = 1 << 30
"""More records than there are: the number is not known."""


class TlsTransport(TLSMemoryBIOProtocol):
    """
    Made by a factory of Twisted's, C{TLSMemoryBIOFactory}, as its C{protocol}.
    """

    _tlsConnection: Any
    _records: RecordCounter
    transport: Any
    wrappedProtocol: Any
    # how much is in the two places; 0 whenever a call from outside begins or ends
    _read_end = 0
    _written_end = 0

    def makeConnection(self, transport: Any) -> None:
        self._records = RecordCounter()
        super().makeConnection(transport)  # type: ignore[no-untyped-call]

    # What comes.

    def dataReceived(self, bytes: bytes) -> None:
        size = len(bytes)
        if size <= PIECE_BYTES:
            self._take(bytes)
            return
        whole = memoryview(bytes)
        for at in range(PIECE_BYTES, size + PIECE_BYTES, PIECE_BYTES):
            # the protocol may end the connection from within
            if self._aborted or self._lostTLSConnection:
                self._read_end = 0
                return
            self._take(whole[at - PIECE_BYTES : at], at < size and at % READ_BYTES > 0)

    def _take(self, piece: bytes | memoryview, more: bool = False) -> None:
        """
        Take a piece of ciphertext.

        @param more: whether the protocol is given its content together with that of the next piece.
        """
        count = self._records.ending_in(piece)
        self._tlsConnection.bio_write(piece)
        if not self._handshakeDone:
            self._checkHandshakeStatus()  # type: ignore[no-untyped-call]
            if not self._handshakeDone:
                return
            # some were of the handshake
            count = _ALL
        if self._appSendBuffer:
            self._unbufferPendingWrites()  # type: ignore[no-untyped-call]
        if (count or (self._read_end and not more)) and not self._lostTLSConnection:
            self._receive(count, more)

    def _receive(self, count: int, more: bool) -> None:
        """
        Have the protocol take what is in the records that have come.

        @param count: at most how many they are.
        """
        begin = self._read_end
        end, result = read_records(self._tlsConnection, begin, count)
        self._decrypted(end - begin)
        if more and result > 0:
            self._read_end = end
            return
        is_over, failure = False, None
        if result <= 0:
            try:
                raise_problem(self._tlsConnection, result)
            except WantReadError:
                pass  # some were of TLS itself
            except ZeroReturnError:
                is_over = True
            except Error:
                failure = Failure()
        self._read_end = 0
        if end and not self._aborted:
            self.wrappedProtocol.dataReceived(content(end))
        if result > 0:
            return
        if is_over:
            self._shutdownTLS()  # type: ignore[no-untyped-call]
        if is_over or failure is not None:
            self._tlsShutdownFinished(failure)  # type: ignore[no-untyped-call]
        # OpenSSL may have an answer to what was not for the protocol
        self._flushSendBIO()

    def _decrypted(self, size: int) -> None:
        """This number of bytes has come out of a piece of ciphertext."""

    # What goes.

    def _write(self, bytes: bytes) -> None:
        size = len(bytes)
        whole = memoryview(bytes)
        for at in range(0, size, PIECE_BYTES):
            if self._lostTLSConnection:
                return
            piece = whole[at : at + PIECE_BYTES]
            taken = self._encrypt(piece)
            if taken < len(piece):
                # before the end of the handshake
                self._bufferedWrite(whole[at + taken :].tobytes())  # type: ignore[no-untyped-call]
                return
            end = at + PIECE_BYTES
            if end >= size or end % READ_BYTES == 0:
                self._flushSendBIO()
            else:
                self._written_end = take_written(self._tlsConnection, self._written_end)

    def _encrypt(self, piece: memoryview) -> int:
        """
        Have OpenSSL write a piece, in records as large as they may be.

        @return: how much of it OpenSSL takes now.
        """
        taken, size = 0, len(piece)
        send = self._tlsConnection.send
        try:
            # with pyOpenSSL's own mode OpenSSL returns after each record
            while taken < size:
                taken += send(piece[taken:])
        except WantReadError:
            if taken:
                self._flushSendBIO()
        except Error:
            # as Twisted's own: the protocol hears of the error when it loses its connection
            self._tlsShutdownFinished(Failure())  # type: ignore[no-untyped-call]
            return size
        return taken

    def _flushSendBIO(self) -> None:
        """Hand all that OpenSSL has written on to the transport."""
        end = PLACE_BYTES
        while end == PLACE_BYTES:
            end = take_written(self._tlsConnection, self._written_end)
            self._written_end = 0
            if end:
                self._pass_down(written(end))

    def _pass_down(self, ciphertext: memoryview) -> None:
        """Give it to the transport: a copy, since its place is used again."""
        self.transport.write(ciphertext.tobytes())

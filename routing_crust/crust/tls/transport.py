"""
Twisted's TLS transport, with fewer steps for each byte.

Twisted's own takes 16 KiB to OpenSSL and back to the socket at a time, calls the protocol for each record,
and asks OpenSSL after each read for more than there is, which costs an exception. This one encrypts a piece
of 128 KiB before it takes out what that became, gives the protocol all records of a piece at once, and asks
for as many records as it has counted (L{routing_crust.crust.tls.records}).

All else is inherited from Twisted: the handshake, producers, the close_notify of either end, errors. So
Twisted's own tests hold for this one (C{tests.crust.tls.test_as_twisted}).
"""

from __future__ import annotations

from typing import Any, Final

from OpenSSL.SSL import Error, WantReadError, ZeroReturnError
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure

from .records import OVERHEAD_BYTES, RECORD_BYTES, RecordCounter

PIECE_BYTES: Final = 128 * 1024
"""What goes through OpenSSL at once. Its buffers have room for so much, as long as the session lasts."""
READ_BYTES: Final = 256 * 1024
"""What is read from a socket, or given to it, at once."""
_ALL: Final = 1 << 30
"""More records than there are: the number is not known."""
_FLUSH_BYTES: Final = 32 * 1024


class TlsTransport(TLSMemoryBIOProtocol):
    """
    Made by a factory of Twisted's, C{TLSMemoryBIOFactory}, as its C{protocol}.
    """

    _tlsConnection: Any
    _records: RecordCounter
    transport: Any
    wrappedProtocol: Any

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
        for at in range(0, size, PIECE_BYTES):
            # the protocol may end the connection from within
            if self._aborted or self._lostTLSConnection:
                return
            self._take(whole[at : at + PIECE_BYTES])

    def _take(self, piece: bytes | memoryview) -> None:
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
        if count and not self._lostTLSConnection:
            self._receive(count)

    def _receive(self, count: int) -> None:
        """
        Have the protocol take what is in the records that have come.

        @param count: at most how many they are.
        """
        contents: list[bytes] = []
        receive = self._tlsConnection.recv
        is_over, failure = False, None
        try:
            for _ in range(count):
                contents.append(receive(RECORD_BYTES))  # noqa: PERF401  # kept if a later one raises
        except WantReadError:
            pass  # some were of TLS itself
        except ZeroReturnError:
            is_over = True
        except Error:
            failure = Failure()
        else:
            self._deliver(contents)
            return
        if contents:
            self._deliver(contents)
        if is_over:
            self._shutdownTLS()  # type: ignore[no-untyped-call]
        if is_over or failure is not None:
            self._tlsShutdownFinished(failure)  # type: ignore[no-untyped-call]
        # OpenSSL may have an answer to what was not for the protocol
        self._flushSendBIO()

    def _deliver(self, contents: list[bytes]) -> None:
        if not self._aborted:
            self.wrappedProtocol.dataReceived(contents[0] if len(contents) == 1 else b"".join(contents))

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

    def _encrypt(self, piece: memoryview) -> int:
        """
        Send a piece, in records as large as they may be.

        @return: how much of it OpenSSL takes now.
        """
        taken, size = 0, len(piece)
        send = self._tlsConnection.send
        try:
            # pyOpenSSL has OpenSSL return after each record
            while taken < size:
                taken += send(piece[taken:])
        except WantReadError:
            pass
        except Error:
            # as Twisted's own: the protocol hears of the error when it loses its connection
            self._tlsShutdownFinished(Failure())  # type: ignore[no-untyped-call]
            return size
        if taken:
            self._flushSendBIO(taken + OVERHEAD_BYTES * (taken // RECORD_BYTES + 2))
        return taken

    def _flushSendBIO(self, size: int = _FLUSH_BYTES) -> None:
        """
        Hand what OpenSSL has written on to the transport.

        @param size: more than that is, for it to be one piece.
        """
        read = self._tlsConnection.bio_read
        count = size
        while count == size:
            try:
                data = read(size)
            except WantReadError:
                return
            count = len(data)
            self.transport.write(data)

"""
A client of the wire protocol that keeps to it only as far as it is told to.

It blocks, one connection at a time, each wait with an end; a behaviour that needs many connections holds many
L{Peer}s. Formats are those of C{docs/wire.rst}: TLS 1.3 with mutual certificates, frames of a 32-bit word and
a payload, messages as MessagePack arrays.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import time
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from OpenSSL import SSL

from .keys import Key

ALPN: Final = b"routing-crust/2"
EXPORTER: Final = b"EXPORTER-Channel-Binding"
PATIENCE_SECONDS: Final = 120.0
"""The end of every wait: an answer that has not come by then never does."""

HEARTBEAT, HELLO, CONFIRMATION, CONFIRMATION_ACK, GOODBYE = 1, 2, 3, 4, 5
ENVELOPE, MESSAGE, ACK, CONTACTS = 6, 7, 8, 9
REDEEM, REDEEMED = 10, 11
TUNNEL_CREDIT, TUNNEL_OPEN, TUNNEL_OPENED, TUNNEL_DATA, TUNNEL_CLOSED = 15, 16, 17, 18, 19
DIAL_BACK, DIAL_FOR, DIALLED, DIALLED_BACK = 20, 21, 22, 23
SWITCHED, ANEW, CONTINUED = 24, 25, 26
OPEN, OPENED, REFUSED, DATA, RESUME, STREAM_ACK = 32, 33, 34, 35, 40, 41
pack = msgspec.msgpack.encode
unpack = msgspec.msgpack.decode


class Closed(Exception):
    """The daemon has closed the connection, or refused it."""


class Peer:
    """
    One connection to the daemon.

    @ivar key: who we say we are.
    @ivar reason: the number of the daemon's Goodbye, once it has come.
    @ivar tunnels: one more than the number of the next tunnel; the TLS client's are odd.
    @ivar secrets: those of the TLS session, by their names in a key log.
    """

    def __init__(
        self,
        address: tuple[str, int],
        key: Key,
        *,
        source: str | None = None,
        names: Sequence[str] | None = None,
        alpn: Sequence[bytes] = (ALPN,),
        certificate: bool = True,
    ) -> None:
        """
        Connect by TCP. TLS begins with L{handshake}.

        @param source: the local address to dial from; the loopback network has many.
        @param names: the DNS names in our certificate; C{None} is the right one.
        @param alpn: the protocols that we offer.
        @param certificate: whether we show a certificate.
        @raise OSError: the daemon does not accept the connection.
        """
        dialled = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        dialled.settimeout(PATIENCE_SECONDS)
        if source is not None:
            dialled.bind((source, 0))
        dialled.connect(address)
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_min_proto_version(SSL.TLS1_3_VERSION)
        context.set_verify(SSL.VERIFY_NONE, lambda *_: True)
        if alpn:
            context.set_alpn_protos(list(alpn))
        self._use(dialled, key, context, names, certificate)
        self.tls.set_connect_state()

    def _use(
        self,
        connected: socket.socket,
        key: Key,
        context: SSL.Context,
        names: Sequence[str] | None = None,
        certificate: bool = True,
    ) -> None:
        self.key = key
        self.reason: int | None = None
        self.tunnels = 2
        self.session = int.from_bytes(os.urandom(8), "big") | 1
        self._buffer = b""
        self.socket = connected
        self.socket.setblocking(False)
        if certificate:
            context.use_certificate(key.certificate(names))
            context.use_privatekey(key.private)
        self.secrets: dict[str, bytes] = {}
        context.set_keylog_callback(self._note_secret)
        self.tls = SSL.Connection(context, self.socket)

    def handshake(self) -> Peer:
        """
        Do the TLS handshake. The daemon judges our certificate after that: the first frame tells.

        @raise Closed: the daemon refused us.
        """
        self._until(self.tls.do_handshake)
        return self

    @property
    def exporter(self) -> bytes:
        """The value that only the two ends of this TLS session know."""
        return self.tls.export_keying_material(EXPORTER, 32, b"")

    def send(self, kind: int, payload: bytes = b"") -> None:
        """
        Send a frame.

        @raise Closed: the connection is gone.
        """
        self.send_bytes(struct.pack("!I", kind << 24 | len(payload)) + payload)

    def send_bytes(self, data: bytes) -> None:
        """Send bytes inside TLS, as they are."""
        view = memoryview(data)
        while view:
            view = view[self._until(lambda rest=view: self.tls.send(rest)) :]

    def say(self, kind: int, message: Sequence[Any]) -> None:
        """Send a message: an array of its fields."""
        self.send(kind, pack(list(message)))

    def hello(
        self,
        network: str,
        *,
        role: int = 0,
        incarnation: int = 1,
        purpose: bytes = b"",
        listening: Sequence[tuple[bytes, int]] = (),
        observed: tuple[bytes, int] | None = (b"\x7f\0\0\1", 1),
        versions: Sequence[int] = (2,),
        nat: int = 0,
        clock: float | None = None,
        extra: Sequence[Any] = (),
    ) -> None:
        """Send a Hello that is signed for this session."""
        fields = [
            list(versions), network, role, incarnation, purpose, observed, list(listening), nat,
            time.time() if clock is None else clock, *extra,
        ]  # fmt: skip
        body = pack(fields)
        self.say(HELLO, (body, self.key.sign("hello", network, self.exporter, body)))

    def receive(self, seconds: float = PATIENCE_SECONDS) -> tuple[int, bytes] | None:
        """
        The next frame.

        @return: its kind and payload; C{None} if none has come in time.
        @raise Closed: the connection is gone.
        """
        end = time.monotonic() + seconds
        while True:
            if len(self._buffer) >= 4:
                (word,) = struct.unpack_from("!I", self._buffer)
                if len(self._buffer) >= 4 + (word & 0xFFFFFF):
                    frame = word >> 24, self._buffer[4 : 4 + (word & 0xFFFFFF)]
                    self._buffer = self._buffer[4 + (word & 0xFFFFFF) :]
                    if frame[0] == GOODBYE:
                        self.reason = unpack(frame[1])[0]
                    return frame
            data = self._until(lambda: self.tls.recv(65536), end)
            if data is None:
                return None
            self._buffer += data

    def wait_for(self, *kinds: int, seconds: float = PATIENCE_SECONDS) -> tuple[int, bytes]:
        """
        The next frame of one of these kinds; others are passed over.

        @raise Closed: the connection is gone, or none has come in time.
        """
        end = time.monotonic() + seconds
        while (frame := self.receive(max(0.0, end - time.monotonic()))) is not None:
            if frame[0] in kinds:
                return frame
            if frame[0] == GOODBYE:
                raise Closed(f"goodbye, reason {self.reason}")
        raise Closed("nothing came")

    def attach(self, network: str, **hello: Any) -> Peer:
        """
        Be let in as an honest newcomer is: Hello both ways, then the Confirmation.

        @raise Closed: the daemon refused us.
        """
        self.handshake()
        self.hello(network, **hello)
        self.wait_for(HELLO)
        self.confirm()
        return self

    def confirm(self) -> None:
        """Agree on the link, once both Hellos have passed."""
        # the end with the smaller name decides; either way one Confirmation and one acknowledgement pass
        self.tls_peer = self._peer_name()
        if self.key.name < self.tls_peer:
            self.say(CONFIRMATION, (1, 0, False))
            self.wait_for(CONFIRMATION_ACK)
        else:
            _, payload = self.wait_for(CONFIRMATION)
            self.say(CONFIRMATION_ACK, (unpack(payload)[0],))

    def resume(self, mine: int = 0, yours: int = 0, epoch: int = 1, received: int = 0) -> None:
        """
        Begin a session of streams, or go on with one; nothing about streams counts before.

        @param mine: the number of the session; 0 is one of our own.
        """
        self.session = mine or self.session
        self.send(RESUME, struct.pack("!QQIQB", self.session, yours, epoch, received, 0))

    def closed_within(self, seconds: float) -> bool:
        """Whether the daemon closes the connection in this time; frames until then are passed over."""
        end = time.monotonic() + seconds
        try:
            while time.monotonic() < end:
                self.receive(end - time.monotonic())
        except Closed:
            return True
        return False

    def close(self) -> None:
        """Close the socket, without a word."""
        self.socket.close()

    def _note_secret(self, _: SSL.Connection, line: bytes) -> None:
        label, _, secret = line.decode().split()
        self.secrets[label] = bytes.fromhex(secret)

    def _peer_name(self) -> bytes:
        certificate = self.tls.get_peer_certificate(as_cryptography=True)
        assert certificate is not None
        return certificate.public_key().public_bytes_raw()  # type: ignore[union-attr]

    def _until(self, operation: Any, end: float | None = None) -> Any:
        """Do something that may have to wait for the socket; C{None} if C{end} comes first."""
        last = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return operation()
            except SSL.WantReadError:
                wanted = select.POLLIN
            except SSL.WantWriteError:
                wanted = select.POLLOUT
            except (SSL.Error, OSError) as error:
                raise Closed(str(error) or type(error).__name__) from None
            left = (last if end is None else min(end, last)) - time.monotonic()
            if left <= 0 or not _is_ready(self.socket, wanted, left):
                if end is not None and time.monotonic() >= end:
                    return None
                if time.monotonic() >= last:
                    raise Closed("the daemon takes or says nothing any more")


def _is_ready(one: socket.socket, wanted: int, seconds: float) -> bool:
    """Whether a socket can be read from, or written to, within this time."""
    # all floods at once have more than the 1024 descriptors that select() knows
    poll = select.poll()
    poll.register(one, wanted)
    return bool(poll.poll(seconds * 1000))

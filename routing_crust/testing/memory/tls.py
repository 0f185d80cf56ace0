"""
TLS without ciphers, for connections in memory: the flights of a handshake, and who proves what when.

The order is that of TLS 1.3: the client sends 16 random bytes; the server answers with its own and its public
key; the client, if that is the right key, sends its key and is done; the server, if that is the right key,
is done. An alert takes the place of the next flight where it is not. What follows is in clear.

A key is believed as it is shown. So a hostile node of a simulation may do whatever it likes above TLS, but
must not be given another's identity.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from random import Random
from typing import Any, Final

from OpenSSL import SSL
from twisted.internet.interfaces import IProtocol, IProtocolFactory
from twisted.internet.protocol import Factory, connectionDone
from twisted.protocols.policies import WrappingFactory
from twisted.python.failure import Failure

from ...crust.link.certificates import PeerRefused
from ...crust.link.owner import LinkOwner
from ...crust.link.plan import LinkPlan
from ...crust.link.preface import TLS_HANDSHAKE
from ...crust.link.tls import BINDING_BYTES, LinkTls, LinkTlsFactory, VerifiedPeer
from ...errors import CloseReason
from ...identity import Identity
from ...names import NAME_BYTES, Name

RANDOM_BYTES: Final = 16
ALERT: Final = b"\x15\x00\x02\x02\x30"
"""A record that says C{unknown_ca}, which is what a node sends to a peer that is not who it must be."""


class SimulatedTls(LinkTls):
    """Makes the sessions of one node, of either role."""

    def __init__(self, identity: Identity, random: Random) -> None:
        """
        @param random: where the random bytes of handshakes are drawn from.
        """
        self.own = identity.name
        self.random = random

    def wrap(
        self, plan: LinkPlan, owner: LinkOwner, factory: IProtocolFactory | None = None
    ) -> LinkTlsFactory:
        return _SessionFactory(self, plan, owner, factory)

    def check(self, name: Name, expected: Name | None) -> None:
        """
        Check whether a node may be at the other end.

        @raise PeerRefused: it may not.
        """
        if name == self.own:
            raise PeerRefused("the link leads back to this node", CloseReason.SELF)
        if expected is not None and name != expected:
            raise PeerRefused(f"{name} answered instead of {expected}")


class _SessionFactory(LinkTlsFactory):
    """Wraps the protocols of a factory in sessions."""

    tls: SimulatedTls

    def __init__(
        self, tls: SimulatedTls, plan: LinkPlan, owner: LinkOwner, factory: IProtocolFactory | None
    ) -> None:
        # no OpenSSL to set up
        WrappingFactory.__init__(self, factory or Factory())  # type: ignore[arg-type]
        self.tls = tls
        self.plan = plan
        self.look_at_the_clock = owner.clock.seconds

    def around(self, protocol: IProtocol) -> Any:
        """A session for one protocol."""
        return _MemorySession(self, protocol)


class _MemorySession:
    """One end of a session: the protocol of the connection below, and the transport of the link above."""

    __slots__ = (
        "_buffer",
        "_done",
        "_expected",
        "_initiator",
        "_last_flight",
        "_link",
        "_mine",
        "_note",
        "_problem",
        "_seconds",
        "_theirs",
        "_tls",
        "_verified",
        "factory",
        "transport",
    )  # fmt: skip

    transport: Any
    _verified: VerifiedPeer

    def __init__(self, factory: _SessionFactory, link: Any) -> None:
        self.factory = factory
        self._tls = tls = factory.tls
        self._link = link
        self._initiator = factory.plan.initiator
        self._expected = factory.plan.expected
        self._seconds = factory.look_at_the_clock
        self._mine = tls.random.randbytes(RANDOM_BYTES)
        self._theirs = self._buffer = self._last_flight = b""
        self._done = False
        self._problem: Exception | None = None
        self._note: Callable[[bytes], None] | None = None

    # What the connection below calls.

    def makeConnection(self, transport: Any) -> None:
        self.transport = transport
        self._link.makeConnection(self)
        if self._initiator:
            transport.write(TLS_HANDSHAKE + self._mine)

    def dataReceived(self, data: bytes) -> None:
        """Read a flight, or pass on what the link is sent."""
        # A clock that was set back is noticed with each read, as with real TLS.
        self._seconds()
        if self._done:
            self._link.dataReceived(data)
            return
        self._buffer += data
        if self._problem is not None:
            return
        # the record types are the real ones, since crust tells TLS from a preface by them
        if self._buffer.startswith(ALERT[:1]):
            self._give_up(SSL.Error([("SSL routines", "", "tlsv1 alert unknown ca")]))
        elif self._initiator:
            self._server_flight()
        elif not self._theirs:
            self._client_hello()
        else:
            self._client_flight()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._link.connectionLost(reason if self._problem is None else Failure(self._problem))

    # The flights.

    def _take(self, size: int) -> bytes | None:
        """The next flight without its first byte, once it is there."""
        if len(self._buffer) <= size:
            return None
        flight, self._buffer = self._buffer[1 : size + 1], self._buffer[size + 1 :]
        return flight

    def _client_hello(self) -> None:
        flight = self._take(RANDOM_BYTES)
        if flight is not None:
            self._theirs = flight
            self.transport.write(TLS_HANDSHAKE + self._mine + self._tls.own.raw)

    def _server_flight(self) -> None:
        flight = self._take(RANDOM_BYTES + NAME_BYTES)
        if flight is not None:
            self._theirs = flight[:RANDOM_BYTES]
            self._last_flight = TLS_HANDSHAKE + self._tls.own.raw
            self._verify(flight[RANDOM_BYTES:], self._mine + self._theirs)

    def _client_flight(self) -> None:
        flight = self._take(NAME_BYTES)
        if flight is not None:
            self._verify(flight, self._theirs + self._mine)

    def _verify(self, key: bytes, randoms: bytes) -> None:
        name = Name(key)
        try:
            self._tls.check(name, self._expected)
        except PeerRefused as refused:
            self.transport.write(ALERT)
            self._give_up(refused)
            return
        # the client's random bytes come first at both ends, so that both get the same binding
        binding = blake2b(randoms, digest_size=BINDING_BYTES).digest()
        self._verified = VerifiedPeer(name, binding)
        self._done = True
        # a tunnel has no such method: its bytes are noted in the frames of the links that carry them
        self._note = getattr(self.transport, "note_frames", None)
        self._link.handshakeCompleted()
        if self._last_flight:  # the link has sent nothing for it to go out with
            flight, self._last_flight = self._last_flight, b""
            self.transport.write(flight)
        rest, self._buffer = self._buffer, b""
        if rest:
            self._link.dataReceived(rest)

    def _give_up(self, problem: Exception) -> None:
        self._problem = problem
        self.transport.loseConnection()

    # What the link above calls: see Twisted's ITCPTransport.

    def peer_verified(self) -> None:
        """There is no ciphertext to count."""

    def verified_peer(self) -> VerifiedPeer:
        """The name at the other end, which the handshake has checked."""
        return self._verified

    def write(self, data: bytes) -> None:
        if self._note is not None:
            self._note(data)
        if self._last_flight:
            data, self._last_flight = self._last_flight + data, b""
        self.transport.write(data)

    def __getattr__(self, name: str) -> Any:
        """All else is the connection's."""
        return getattr(self.transport, name)

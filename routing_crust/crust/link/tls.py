"""
TLS: its settings at both ends, and the verification of the peer.

A node proves its name by TLS itself, with a self-signed certificate
(L{routing_crust.crust.link.certificates}). So every check is ours. Each is made twice on either side: while
OpenSSL verifies the certificate, so that a bad peer gets an alert, and again once the handshake is done,
since OpenSSL does not call back in every case. There is TLS 1.3 and nothing else: no resumption, no server
name in clear (SNI), and no connection without the application protocol L{ALPN}.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple
from weakref import WeakKeyDictionary

from cryptography import x509
from OpenSSL import SSL, crypto
from OpenSSL._util import lib as openssl
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
    IProtocol,
    IProtocolFactory,
    IReadWriteDescriptor,
)
from twisted.internet.protocol import Factory
from twisted.protocols.policies import ProtocolWrapper
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from ...bounded_dict import BoundedDict
from ...config import KeyExchange
from ...errors import CloseReason
from ...identity import PROTOCOL_VERSION, Identity
from ...limits import MAX_UNVERIFIED_BYTES
from ...names import Name
from ...transports import Unacknowledged, set_buffer_sizes, unacknowledged, write_at_once, write_now
from ..tls.places import READ_BYTES
from ..tls.records import RecordCounter
from ..tls.transport import TlsTransport
from .certificates import (
    PeerCertificate,
    PeerRefused,
    make_certificate,
    read_certificate,
    refusing_what_cannot_be_read,
    verify_name,
)
from .owner import LinkOwner
from .plan import LinkPlan

ALPN: Final = b"routing-crust/%d" % PROTOCOL_VERSION
_ANY_VERSION: Final = re.compile(rb"routing-crust/[0-9]{1,4}")
BINDING_LABEL: Final = b"EXPORTER-Channel-Binding"
"""The label of RFC 9266, C{tls-exporter}."""
BINDING_BYTES: Final = 32
MAX_KNOWN_CERTIFICATES: Final = 256
"""Certificates that have passed and are remembered, of at most a kilobyte each."""
MAX_EMPTY_BYTES: Final = 64 * 1024
"""Ciphertext in which no frames come, once the peer is verified. The largest record has 16 KiB."""
HTTP: Final = b"HTTP/"
"""The beginning of the answer that a captive portal, or any web server, gives to what is not HTTP."""
EMPTY_BYTES_PER_BYTE: Final = 8
"""Bytes of ciphertext that a byte of frames makes up for: the smallest frame has 4, its record 26."""

# The first is the one that every implementation of TLS 1.3 has, and the fastest where AES is in hardware.
_CIPHERS: Final = b"TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384"
_HYBRID_GROUPS: Final = b"X25519MLKEM768:X25519"
_CLASSICAL_GROUPS: Final = b"X25519"


class VerifiedPeer(NamedTuple):
    """
    The verified peer of a TLS session.

    @ivar name: its raw Ed25519 key.
    @ivar binding: 32 bytes that only the two ends of this session know.
    """

    name: Name
    binding: bytes


class _Session:
    """
    The state of a TLS session during its handshake.

    @ivar expected: who must be at the other end; C{None} accepts anyone.
    @ivar checked: the certificate that has passed the checks, as bytes and taken apart.
    """

    __slots__ = ("checked", "expected")

    def __init__(self, expected: Name | None) -> None:
        self.expected = expected
        self.checked: tuple[bytes, PeerCertificate] | None = None


class LinkTls:
    """Makes the TLS sessions of one node, of either role, and verifies their peers."""

    def __init__(
        self, identity: Identity, key_exchange: KeyExchange = KeyExchange.HYBRID, alpn: bytes = ALPN
    ) -> None:
        """
        @param alpn: the application protocol, without which no session is made.
        """
        self._own = identity.name
        self._alpn = alpn
        self._key_exchange = key_exchange
        self._known: BoundedDict[bytes, PeerCertificate] = BoundedDict(MAX_KNOWN_CERTIFICATES)
        # weak: most handshakes that fail never come to verified_peer, which would take the entry out
        self._sessions: WeakKeyDictionary[SSL.Connection, _Session] = WeakKeyDictionary()
        certificate = make_certificate(identity)
        self._client = self._context(identity, certificate)
        self._client.set_alpn_protos([alpn])
        self._server = self._context(identity, certificate)
        self._server.set_alpn_select_callback(self._select_alpn)

    def _context(self, identity: Identity, certificate: x509.Certificate) -> SSL.Context:
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_min_proto_version(SSL.TLS1_3_VERSION)
        context.set_max_proto_version(SSL.TLS1_3_VERSION)
        context.set_tls13_ciphersuites(_CIPHERS)
        # OpenSSL does not call the verify callback for a resumed session, so sessions are never resumed
        context.set_options(SSL.OP_NO_TICKET)
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        # an idle session gives its buffers back, some 34 KB each: a node may have a thousand of them
        context.set_mode(SSL.MODE_RELEASE_BUFFERS)
        # a write of many records is one call: what OpenSSL writes to never has enough
        context.clear_mode(openssl.SSL_MODE_ENABLE_PARTIAL_WRITE)
        context.use_certificate(certificate)
        context.use_privatekey(identity.private_key)
        # Set on the context: pyOpenSSL swallows exceptions of a callback that is set on the connection.
        # Without FAIL_IF_NO_PEER_CERT a client that shows no certificate would be let in.
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, self._verify)
        _limit_groups(context, self._key_exchange)
        return context

    def session(self, initiator: bool, expected: Name | None) -> SSL.Connection:
        """
        A new TLS session, without a transport.

        @param initiator: whether this end is the TLS client.
        @param expected: who must be at the other end; C{None} accepts anyone.
        """
        connection = SSL.Connection(self._client if initiator else self._server)
        self._sessions[connection] = _Session(expected)
        return connection

    def wrap(
        self, plan: LinkPlan, owner: LinkOwner, factory: IProtocolFactory | None = None
    ) -> LinkTlsFactory:
        """A factory that runs links, or the protocols of another factory, under TLS."""
        return LinkTlsFactory(self, plan, owner, factory)

    def verified_peer(self, connection: SSL.Connection, initiator: bool) -> VerifiedPeer:
        """
        Once its handshake is done, check a session's peer, as L{check_peer} does.

        @raise PeerRefused: it must not be there.
        """
        name = self.check_peer(connection, initiator)
        return VerifiedPeer(name, connection.export_keying_material(BINDING_LABEL, BINDING_BYTES))

    def check_peer(self, connection: SSL.Connection, initiator: bool) -> Name:
        """
        Once its handshake is done, check a session's peer (again).

        @raise PeerRefused: it is not who it must be, it sent more than one certificate, or it does not
            speak our protocol.
        """
        session = self._sessions.pop(connection)
        # OpenSSL accepts a client that offers no application protocol at all
        if connection.get_alpn_proto_negotiated() != self._alpn:
            raise PeerRefused(f"the peer does not speak {self._alpn.decode()}")
        with refusing_what_cannot_be_read:
            sent = connection.get_peer_cert_chain() or []
            own = None if initiator else connection.get_peer_certificate()
        # OpenSSL counts the peer's own certificate only where the peer is the server.
        certificates = sent if own is None else [own, *sent]
        if len(certificates) != 1:
            raise PeerRefused("the peer has not sent exactly one certificate")
        return self._check(session, certificates[0]).name

    def _verify(
        self, connection: SSL.Connection, certificate: crypto.X509, error: int, depth: int, holds: int
    ) -> bool:
        """OpenSSL's callback for one certificate; it may be called several times for the same one."""
        if depth:
            raise PeerRefused("the peer's certificate is not signed by itself")
        session = self._sessions[connection]
        if session.checked is None:
            self._check(session, certificate)
        # else it is called for the same certificate again; verified_peer makes sure of that
        return True

    def _check(self, session: _Session, certificate: crypto.X509) -> PeerCertificate:
        with refusing_what_cannot_be_read:
            der = crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate)
        if session.checked is not None and der == session.checked[0]:
            return session.checked[1]
        known = self._known.get(der)
        shown = known or read_certificate(der)
        if shown.name == self._own:
            raise PeerRefused("the link leads back to this node", CloseReason.SELF)
        verify_name(shown, session.expected)
        if known is None:
            # only now: what is remembered has passed every check
            self._known[der] = shown
        session.checked = (der, shown)
        return shown

    def _select_alpn(self, connection: SSL.Connection, offered: list[bytes]) -> bytes:
        if self._alpn not in offered:
            # pyOpenSSL's way of having nothing in common goes on without; an error sends the alert
            raise self._speaks_another(offered)
        return self._alpn

    def _speaks_another(self, offered: list[bytes]) -> PeerRefused:
        ours = self._alpn.decode()
        theirs = next((each.decode() for each in offered if _ANY_VERSION.fullmatch(each)), None)
        if theirs is None:
            return PeerRefused(f"the peer does not speak {ours}")
        problem = f"the peer speaks {theirs}, and this node {ours}: update the older one"
        return PeerRefused(problem, CloseReason.UNSUPPORTED_VERSION)


def _limit_groups(context: SSL.Context, key_exchange: KeyExchange) -> None:
    """
    Say which ways to exchange keys are offered and taken, best first.

    pyOpenSSL has no public name for this. Where it is missing, OpenSSL's default works as well.
    """
    set_groups = getattr(openssl, "SSL_CTX_set1_curves_list", None)
    if set_groups is None:
        return
    # an OpenSSL before 3.5 does not know the hybrid, and changes nothing then
    if key_exchange is KeyExchange.X25519 or not set_groups(context._context, _HYBRID_GROUPS):
        set_groups(context._context, _CLASSICAL_GROUPS)


@implementer(IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator)
class _SessionCreator:
    """Hands sessions of one role and one expected name to Twisted."""

    def __init__(self, tls: LinkTls, initiator: bool, expected: Name | None) -> None:
        self._tls = tls
        self._initiator = initiator
        self._expected = expected

    def clientConnectionForTLS(self, protocol: object) -> SSL.Connection:
        return self._tls.session(self._initiator, self._expected)

    serverConnectionForTLS = clientConnectionForTLS


class LinkTlsProtocol(TlsTransport):
    """
    A TLS transport with limits on the ciphertext, and with immediate writes of what a read has caused.

    What comes before the peer is verified is limited in all, also after the handshake: messages of TLS
    itself, such as KeyUpdates, cost us more than they cost the peer. After that they must come with frames.
    """

    factory: LinkTlsFactory

    def makeConnection(self, transport: Any) -> None:
        self._allowance = self.factory.max_unverified
        self._verified = False
        self._has_answered = False
        self._look_at_the_clock = self.factory.look_at_the_clock
        # an attribute of Twisted's socket transports; others may ignore it
        transport.bufferSize = self.factory.max_unverified
        # Twisted's own method declares each of the transport's interfaces before it declares them all, and
        # each such declaration is a new object with an order of resolution to be found out.
        self._tlsConnection = self.factory._creatorCallable(self)
        self._appSendBuffer: list[bytes] = []
        self._records = RecordCounter()
        ProtocolWrapper.makeConnection(self, transport)
        self._checkHandshakeStatus()  # type: ignore[no-untyped-call]
        self._prompt = IReadWriteDescriptor.providedBy(transport)
        self.write_now()

    def dataReceived(self, bytes: bytes) -> None:
        self._look_at_the_clock()
        if not self._has_answered:
            self._has_answered = True
            if self.factory.plan.initiator and bytes.startswith(HTTP):
                self._refuse(
                    "HTTP came instead of TLS: this network may have a captive portal, where one logs in "
                    "with a browser first, or a web server has this address"
                )
                return
        super().dataReceived(bytes)
        self.write_now()

    def _take(self, piece: bytes | memoryview, more: bool = False) -> None:
        self._allowance -= len(piece)
        if self._allowance < 0 and not self._verified:
            self._refuse(
                f"the peer sent more than {self.factory.max_unverified} bytes before it was verified"
            )
            return
        super()._take(piece, more)
        # only now: what has come may have been a large read of frames
        if self._allowance < 0 and self._verified:
            self._refuse(f"more than {MAX_EMPTY_BYTES} bytes came without a frame in them")

    def _decrypted(self, size: int) -> None:
        if self._verified:
            self._allowance = min(MAX_EMPTY_BYTES, self._allowance + EMPTY_BYTES_PER_BYTE * size)

    def peer_verified(self) -> None:
        """The layer above knows the peer: it may send as much as it likes, if there are frames in it."""
        self._verified = True
        self._allowance = MAX_EMPTY_BYTES
        set_buffer_sizes(self.transport, READ_BYTES)

    def _refuse(self, problem: str) -> None:
        reason = CloseReason.PROTOCOL_ERROR if self._handshakeDone else CloseReason.TLS_REFUSED
        self.failVerification(Failure(PeerRefused(problem, reason)))  # type: ignore[no-untyped-call]

    def verified_peer(self) -> VerifiedPeer:
        """
        The peer, verified once the handshake is done.

        @raise PeerRefused: it must not be there.
        """
        factory = self.factory
        return factory.tls.verified_peer(self.getHandle(), factory.plan.initiator)  # type: ignore[no-untyped-call]

    def _pass_down(self, ciphertext: memoryview) -> None:
        # what ends the handshake waits for our Hello, so that both leave together
        if self._verified:
            write_at_once(self.transport, ciphertext)
        else:
            super()._pass_down(ciphertext)

    def unacknowledged(self) -> Unacknowledged | None:
        """What the kernel says of the bytes that were sent."""
        return unacknowledged(self.transport)

    def write_now(self) -> None:
        """Write to the socket now, instead of in the reactor's next turn."""
        if self._prompt:
            write_now(self.transport)


class LinkTlsFactory(TLSMemoryBIOFactory):
    """
    Wraps the protocols of a factory in TLS.

    @ivar tls: makes the sessions.
    @ivar plan: what is settled about the links: the TLS roles and the expected peer.
    @ivar max_unverified: how many bytes may come in before the peer is verified.
    @ivar look_at_the_clock: called with each read, so that it is noticed when the clock is set back, even
        where only input happens (L{routing_crust.timing.steadyclock}).
    """

    protocol = LinkTlsProtocol

    def __init__(
        self, tls: LinkTls, plan: LinkPlan, owner: LinkOwner, factory: IProtocolFactory | None = None
    ) -> None:
        """
        @param owner: whose clock and settings hold.
        @param factory: makes the protocols; C{None} if they are only given to L{around}.
        """
        creator = _SessionCreator(tls, plan.initiator, plan.expected)
        super().__init__(creator, plan.initiator, factory or Factory(), owner.clock)
        self.tls = tls
        self.plan = plan
        self.max_unverified = MAX_UNVERIFIED_BYTES
        self.look_at_the_clock = owner.clock.seconds

    def buildProtocol(self, addr: object) -> LinkTlsProtocol | None:  # type: ignore[override]
        """As in Twisted's class, but for a factory that declines."""
        protocol = self.wrappedFactory.buildProtocol(addr)
        return None if protocol is None else self.around(protocol)

    def around(self, protocol: IProtocol) -> LinkTlsProtocol:
        """TLS for one protocol."""
        return self.protocol(self, protocol)  # type: ignore[no-untyped-call]

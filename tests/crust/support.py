"""What the tests of links share: an owner that writes down what it hears, and peers that misbehave."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IConnector,
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
    IProtocolFactory,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from routing_crust.config import Settings
from routing_crust.crust.dial.environment import DialEnvironment
from routing_crust.crust.dial.limits import DialLimits
from routing_crust.crust.link.factories import LinkAcceptFactory, link_of
from routing_crust.crust.link.link import Link
from routing_crust.crust.link.plan import LinkPlan
from routing_crust.crust.link.reading import ReadingTurns
from routing_crust.crust.link.tls import ALPN, LinkTls, LinkTlsFactory
from routing_crust.crust.netstate.connecting import connect_tcp
from routing_crust.crust.netstate.paths import DialPath
from routing_crust.endpoints import Direction, Endpoint
from routing_crust.errors import CloseReason, LinkClosed
from routing_crust.history import History
from routing_crust.identity import Identity
from routing_crust.names import Name


class Owner:
    """Owns links, and remembers every event as a tuple of its name and its arguments."""

    def __init__(self, clock: Any, settings: Settings | None = None, seed: int = 1) -> None:
        self.clock = clock
        self.settings = settings or Settings()
        self.reading = ReadingTurns(clock)
        self.identity = Identity.from_seed(bytes([seed]) * 32)
        self.tls = LinkTls(self.identity)
        self.lets_in = True
        self.heartbeat = 0.0
        self.events: list[tuple[Any, ...]] = []
        self.handlers: dict[str, Callable[..., None]] = {}
        self._waiting: list[tuple[str, Deferred[tuple[Any, ...]]]] = []

    def may_accept(self, peer: Endpoint) -> bool:
        self.asked = peer
        return self.lets_in

    def link_up(self, link: Link) -> None:
        self._heard("up", link)

    def link_frame(self, link: Link, kind: int, payload: bytes) -> None:
        self._heard("frame", link, kind, payload)

    probe_key = b"key"

    def heartbeat_after(self, network: str) -> float:
        """A third of C{inactivity_timeout}."""
        return self.heartbeat or self.settings.inactivity_timeout / 3

    def link_silent(self, link: Link) -> None:
        self._heard("silent", link)

    def link_doubted(self, link: Link) -> None:
        self._heard("doubted", link)

    def link_lost(self, link: Link, reason: LinkClosed) -> None:
        self._heard("lost", link, reason)

    @property
    def hello_timeout(self) -> float:
        return self.settings.hello_timeout

    def handshake_due(self, peer: Endpoint, begin: Callable[[], bool]) -> None:
        begin()

    def accepting(
        self, peer: Endpoint, link: Deferred[Any], abort: Callable[[CloseReason, str], None] | None = None
    ) -> None:
        link.addErrback(lambda failure: self._heard("refused", peer, failure.value))

    def _heard(self, what: str, *arguments: Any) -> None:
        self.events.append((what, *arguments))
        handler = self.handlers.get(what)
        waiting, self._waiting = self._waiting, []
        for wanted, deferred in waiting:
            if wanted == what:
                deferred.callback(arguments)
            else:
                self._waiting.append((wanted, deferred))
        if handler is not None:
            handler(*arguments)

    def of(self, what: str) -> list[tuple[Any, ...]]:
        """The arguments of all events of one name."""
        return [event[1:] for event in self.events if event[0] == what]

    def next(self, what: str) -> Deferred[tuple[Any, ...]]:
        """Fires with the arguments of the first event of this name, even if it was before."""
        waiting: Deferred[tuple[Any, ...]] = Deferred()
        if self.of(what):
            waiting.callback(self.of(what)[0])
        else:
            self._waiting.append((what, waiting))
        return waiting


class Stranger(Protocol):
    """A program that speaks TLS but is not one of ours."""

    def __init__(self) -> None:
        self.lost: Deferred[str] = Deferred()
        self.received = b""

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost.callback(repr(reason.value))


class StrangerFactory(Factory):
    """Makes one stranger."""

    noisy = False

    def __init__(self) -> None:
        self.stranger = Stranger()

    def buildProtocol(self, addr: object) -> Stranger:
        return self.stranger


@implementer(IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator)
class StrangerTls:
    """How a stranger does TLS. Without arguments: much as a node would, but for the names it uses."""

    def __init__(
        self,
        certificates: Sequence[x509.Certificate] = (),
        key: Any = None,
        alpn: bytes | None = ALPN,
        version: int = SSL.TLS1_3_VERSION,
    ) -> None:
        self.context = SSL.Context(SSL.TLS_METHOD)
        self.context.set_min_proto_version(SSL.TLS1_2_VERSION)
        self.context.set_max_proto_version(version)
        if key is not None:
            self.context.use_certificate(certificates[0])
            self.context.use_privatekey(key)
            for each in certificates[1:]:
                self.context.add_extra_chain_cert(each)
        self.context.set_verify(SSL.VERIFY_PEER, lambda *arguments: True)
        if alpn is not None:
            self.context.set_alpn_protos([alpn])
            self.context.set_alpn_select_callback(lambda connection, offered: alpn)

    def clientConnectionForTLS(self, protocol: object) -> SSL.Connection:
        return SSL.Connection(self.context)

    serverConnectionForTLS = clientConnectionForTLS

    def over(self, factory: StrangerFactory, is_client: bool, clock: Any) -> TLSMemoryBIOFactory:
        """The factory with this TLS."""
        return TLSMemoryBIOFactory(self, is_client, factory, clock)


def node_name(key: ed25519.Ed25519PrivateKey) -> str:
    """The DNS name that a node with this key has."""
    return f"{Name(key.public_key().public_bytes_raw())}.crust.invalid"


def certificate(
    key: Any,
    *names: x509.GeneralName,
    padding: int = 0,
    issuer: str = "",
    signer: Any = None,
) -> x509.Certificate:
    """Any certificate: with these names, made larger by C{padding}, signed by C{signer} or itself."""
    subject = x509.Name([])
    by = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer)] if issuer else [])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject if not issuer or signer else by)
        .issuer_name(by)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(datetime(2001, 1, 1))
        .not_valid_after(datetime(2002, 1, 1))
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
    if padding:
        filler = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), bytes(padding))
        builder = builder.add_extension(filler, critical=False)
    signer = signer or key
    return builder.sign(signer, None if isinstance(signer, ed25519.Ed25519PrivateKey) else SHA256())


def dial_environment(
    owner: Owner,
    reactor: Any,
    limits: DialLimits,
    gone: Callable[[], None] = lambda: None,
    listening: Callable[[], Sequence[Endpoint]] = tuple,
    history: History | None = None,
) -> DialEnvironment:
    """What all dials of a test have in common; every link is kept."""
    history = History(owner.clock.seconds) if history is None else history

    def connect(
        remote: Endpoint, factory: IProtocolFactory, origin: Endpoint | None, path: DialPath
    ) -> IConnector:
        # by the system's own path, which fake reactors have too
        return connect_tcp(reactor, remote, factory, origin)

    return DialEnvironment(owner, owner.tls, connect, limits, lambda link: None, gone, listening, history)


def rsa_key() -> rsa.RSAPrivateKey:
    """A key of the wrong kind."""
    return rsa.generate_private_key(65537, 2048)


def accepting(owner: Owner, reactor: Any, **options: Any) -> Any:
    """
    Listen for links on a free port of the loopback interface, as production does, or with these options of a
    L{LinkPlan}. Returns the port.
    """
    factory: Any = LinkAcceptFactory(owner, owner.tls)
    if options:
        factory = PlannedFactory(owner, LinkPlan(Direction.ACCEPTED, **options))
    return reactor.listenTCP(0, factory, interface="127.0.0.1")


class PlannedFactory(Factory):
    """Accepts connections that begin TLS as planned, where production would have negotiated that before."""

    noisy = False

    def __init__(self, owner: Owner, plan: LinkPlan) -> None:
        self.owner = owner
        self.tls = LinkTlsFactory(owner.tls, plan, owner)

    def buildProtocol(self, addr: Any) -> Any:
        peer = Endpoint.of(addr.host, addr.port)
        if not self.owner.may_accept(peer):
            return None
        link = link_of(self.owner)
        self.owner.accepting(peer, link)
        return self.tls.around(Link(self.owner, self.tls.plan, link))

"""TLS of links, in memory: certificates, what the two ends agree on, and the second look at the peer."""

from __future__ import annotations

import gc
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from routing_crust.config import KeyExchange
from routing_crust.crust.link import tls
from routing_crust.crust.link.certificates import PeerRefused, make_certificate, read_certificate, verify_name
from routing_crust.crust.link.plan import LinkPlan
from routing_crust.crust.link.tls import ALPN, LinkTls, _SessionCreator
from routing_crust.endpoints import Direction
from routing_crust.errors import CloseReason
from routing_crust.identity import Identity
from routing_crust.names import Name

from ..support import Owner, StrangerTls, certificate, node_name, rsa_key

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes([9]) * 32)
DNS = x509.DNSName


def carry(source: SSL.Connection, target: SSL.Connection) -> int:
    """Move what waits from one end to the other. Returns how much that was."""
    count = 0
    while True:
        try:
            data = source.bio_read(1 << 16)
        except SSL.WantReadError:
            return count
        count += len(data)
        target.bio_write(data)


def shake(client: SSL.Connection, server: SSL.Connection) -> int:
    """Do the whole handshake. Returns how many bytes the client sent."""
    client.set_connect_state()
    server.set_accept_state()
    sent = 0
    done = set()
    for each, other in ((client, server), (server, client)) * 3:
        try:
            each.do_handshake()
            done.add(each)
        except SSL.WantReadError:
            pass
        moved = carry(each, other)
        sent += moved if each is client else 0
    assert done == {client, server}
    return sent


def pair(client: Any, server: Any, expected: Name | None = None) -> tuple[SSL.Connection, SSL.Connection]:
    """A client's and a server's end of a session, before the handshake."""
    return (
        client.session(True, expected) if isinstance(client, LinkTls) else SSL.Connection(client.context),
        server.session(False, None) if isinstance(server, LinkTls) else SSL.Connection(server.context),
    )


def check_certificate(shown: x509.Certificate, expected: Name | None = None) -> Name:
    """Do all checks of one certificate, and return the name in it."""
    peer = read_certificate(shown.public_bytes(Encoding.DER))
    verify_name(peer, expected)
    return peer.name


class CertificateTests(SynchronousTestCase):
    """What we show, and what a peer may show."""

    def refusal(self, shown: x509.Certificate) -> str:
        error = self.assertRaises(PeerRefused, check_certificate, shown)
        self.assertIs(error.reason, CloseReason.TLS_REFUSED)
        self.assertEqual(str(error), error.detail)
        return error.detail

    def test_own_certificate_passes_our_check(self) -> None:
        """It is small, the same each time, and has one name."""
        identity = Identity(KEY)
        shown = make_certificate(identity)
        der = shown.public_bytes(Encoding.DER)
        self.assertEqual(check_certificate(shown), identity.name)
        self.assertLess(len(der), 300)
        self.assertEqual(der, make_certificate(identity).public_bytes(Encoding.DER))
        names = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        self.assertEqual(names.get_values_for_type(DNS), [f"{identity.name}.crust.invalid"])
        shown.verify_directly_issued_by(shown)

    def test_expired_certificate_is_accepted(self) -> None:
        shown = certificate(KEY, DNS(node_name(KEY)))
        self.assertEqual(check_certificate(shown).raw, KEY.public_key().public_bytes_raw())

    def test_wrong_name_in_certificate_is_refused(self) -> None:
        """Anything but the one right name is refused."""
        own = DNS(node_name(KEY))
        self.assertIn("not that of its key", self.refusal(certificate(KEY, DNS(node_name(OTHER)))))
        self.assertIn("not that of a node", self.refusal(certificate(KEY, DNS("*.crust.invalid"))))
        self.assertIn("not that of a node", self.refusal(certificate(KEY)))
        self.assertIn("exactly one name", self.refusal(certificate(KEY, own, DNS("example.com"))))
        self.assertIn("exactly one name", self.refusal(certificate(KEY, own, x509.RFC822Name("a@b.example"))))
        mail = x509.RFC822Name("a@b.example")
        self.assertIn("not that of a node", self.refusal(certificate(KEY, mail)))
        uri = x509.UniformResourceIdentifier(f"crust://{node_name(KEY)}")
        self.assertIn("not that of a node", self.refusal(certificate(KEY, uri)))
        self.assertIn("not that of its key", self.refusal(certificate(KEY, DNS("127.0.0.1"))))
        self.assertIn("not that of a node", self.refusal(certificate(KEY, DNS("a.*.b.*"))))

    def test_certificate_above_1_kib_is_refused(self) -> None:
        self.assertIn("1024 are allowed", self.refusal(certificate(KEY, DNS(node_name(KEY)), padding=1024)))
        shown = certificate(KEY, DNS(node_name(KEY)), padding=600)
        check_certificate(shown)

    def test_key_that_is_not_ed25519_is_refused(self) -> None:
        self.assertIn("not an Ed25519 key", self.refusal(certificate(rsa_key(), DNS(node_name(KEY)))))

    def test_key_that_anybody_can_sign_for_is_refused(self) -> None:
        """The neutral point of the curve, which has no secret half."""
        neutral = Ed25519PublicKey.from_public_bytes(b"\x01" + bytes(31))
        shown = x509.CertificateBuilder().subject_name(x509.Name([])).issuer_name(x509.Name([]))
        shown = shown.public_key(neutral).serial_number(1)
        shown = shown.not_valid_before(datetime(2000, 1, 1)).not_valid_after(datetime(2049, 12, 31))
        name = DNS(f"{Name(neutral.public_bytes_raw())}.crust.invalid")
        shown = shown.add_extension(x509.SubjectAlternativeName([name]), critical=True)
        self.assertIn("anybody can sign for", self.refusal(shown.sign(KEY, None)))


class SessionTests(SynchronousTestCase):
    """What two ends agree on."""

    def setUp(self) -> None:
        self.one, self.two = Identity(KEY), Identity(OTHER)
        self.client, self.server = LinkTls(self.one), LinkTls(self.two)

    def test_both_ends_learn_names_and_a_shared_secret(self) -> None:
        """Both ends learn the other's name, and share a secret of this very session."""
        bindings = set()
        for _ in range(2):
            client, server = pair(self.client, self.server, self.two.name)
            self.assertLess(shake(client, server), 2500)
            seen = self.client.verified_peer(client, True)
            seen_too = self.server.verified_peer(server, False)
            self.assertEqual((seen.name, seen_too.name), (self.two.name, self.one.name))
            self.assertEqual(seen.binding, seen_too.binding)
            self.assertEqual(len(seen.binding), 32)
            bindings.add(seen.binding)
        self.assertEqual(len(bindings), 2)

    def test_session_has_tls_13_alpn_and_no_sni(self) -> None:
        """TLS 1.3, the protocol's own name, the hybrid key exchange, and no server name in clear."""
        client, server = pair(self.client, self.server)
        shake(client, server)
        self.assertEqual(client.get_protocol_version_name(), "TLSv1.3")
        self.assertEqual(client.get_alpn_proto_negotiated(), ALPN)
        self.assertEqual(client.get_group_name(), "X25519MLKEM768")
        self.assertEqual(client.get_cipher_name(), "TLS_AES_128_GCM_SHA256")
        self.assertIsNone(server.get_servername())

    def test_setting_turns_the_hybrid_key_exchange_off(self) -> None:
        """One end that has it turned off is enough; then each flight is as short as it was."""
        classical = LinkTls(self.one, KeyExchange.X25519)
        client, server = pair(classical, self.server)
        self.assertLess(shake(client, server), 1000)
        self.assertEqual(client.get_group_name(), "x25519")
        client, server = pair(self.server, classical)
        shake(client, server)
        self.assertEqual(client.get_group_name(), "x25519")

    def test_openssl_without_the_hybrid_uses_x25519(self) -> None:
        self.patch(tls, "_HYBRID_GROUPS", b"no such group")
        client, server = pair(LinkTls(self.one), self.server)
        shake(client, server)
        self.assertEqual(client.get_group_name(), "x25519")

    def test_old_session_that_a_client_hands_in_is_not_taken_up(self) -> None:
        """An old session that a client hands in is not taken up: the peer is always checked in full."""
        stranger = StrangerTls([certificate(OTHER, DNS(node_name(OTHER)))], OTHER)
        client, server = pair(stranger, self.client)
        shake(client, server)
        self.assertRaises(SSL.WantReadError, client.recv, 1)
        session = client.get_session()
        assert session is not None
        client, server = pair(stranger, self.client)
        client.set_session(session)
        shake(client, server)
        self.assertIsNotNone(self.client._sessions[server].checked)
        self.assertEqual(self.client.verified_peer(server, False).name, self.two.name)

    def test_unfinished_sessions_are_forgotten(self) -> None:
        sessions = pair(self.client, self.server)
        self.assertEqual(len(self.client._sessions), 1)
        del sessions
        gc.collect()
        self.assertEqual((len(self.client._sessions), len(self.server._sessions)), (0, 0))

    def test_known_certificate_is_not_parsed_again(self) -> None:
        """This holds for any expected name; the latest few certificates are kept."""
        self.patch(tls, "MAX_KNOWN_CERTIFICATES", 2)
        self.client = LinkTls(self.one)
        for number in (1, 1, 2, 3, 1):
            other = LinkTls(Identity.from_seed(bytes([number]) * 32))
            client, server = pair(self.client, other)
            shake(client, server)
            self.assertEqual(self.client.verified_peer(client, True).name, other._own)
            self.assertLessEqual(len(self.client._known), 2)
        client, server = pair(self.client, other, self.two.name)
        with self.assertRaises(PeerRefused) as caught:
            shake(client, server)
        self.assertIn("answered instead of", caught.exception.detail)

    def refused(self, client: Any, server: Any, initiator: bool, expected: Name | None = None) -> str:
        """Do a handshake that must succeed, and return why our end does not want the peer after all."""
        one, two = pair(client, server, expected)
        shake(one, two)
        tls, ours = (client, one) if initiator else (server, two)
        return self.assertRaises(PeerRefused, tls.verified_peer, ours, initiator).detail

    def test_both_ends_require_our_application_protocol(self) -> None:
        """Neither end goes on without our ALPN, though OpenSSL does."""
        chain = [certificate(OTHER, DNS(node_name(OTHER)))]
        silent = StrangerTls(chain, OTHER, alpn=None)
        self.assertIn("does not speak", self.refused(silent, self.client, False))
        self.assertIn("does not speak", self.refused(self.client, silent, True))

    def test_certificate_chain_of_two_is_refused(self) -> None:
        """A longer chain passes OpenSSL, and not the second look."""
        own = certificate(OTHER, DNS(node_name(OTHER)))
        for second in (own, certificate(KEY, DNS(node_name(KEY)))):
            stranger = StrangerTls([own, second], OTHER)
            self.assertIn("exactly one certificate", self.refused(stranger, self.client, False))
            self.assertIn("exactly one certificate", self.refused(self.client, stranger, True))

    def test_second_look_does_not_rely_on_the_first(self) -> None:
        """When OpenSSL has not asked about the certificate, all of it is checked afterwards."""
        for shown, wanted, problem in (
            (DNS("*.crust.invalid"), None, "not that of a node"),
            (DNS(node_name(OTHER)), self.one.name, "answered instead of"),
        ):
            stranger = StrangerTls([certificate(OTHER, shown)], OTHER)
            client, server = pair(self.client, stranger, wanted)
            client.set_verify(SSL.VERIFY_PEER, lambda *arguments: True)
            shake(client, server)
            refusal = self.assertRaises(PeerRefused, self.client.verified_peer, client, True)
            self.assertIn(problem, refusal.detail)

    def test_missing_certificate_is_refused_after_the_handshake(self) -> None:
        client, server = pair(StrangerTls(), self.server)
        server.set_verify(SSL.VERIFY_NONE, lambda *arguments: True)
        shake(client, server)
        refusal = self.assertRaises(PeerRefused, self.server.verified_peer, server, False)
        self.assertIn("exactly one certificate", refusal.detail)

    def test_session_creator_provides_twisteds_interfaces(self) -> None:
        creator = _SessionCreator(self.client, True, None)
        verifyObject(IOpenSSLClientConnectionCreator, creator)
        verifyObject(IOpenSSLServerConnectionCreator, creator)

    def test_wrapped_factory_that_declines_a_connection_makes_no_protocol(self) -> None:

        class Declining(Factory):
            def buildProtocol(self, addr: object) -> None:
                return None

        factory = self.client.wrap(LinkPlan(Direction.CONNECTED, True), Owner(Clock()), Declining())
        self.assertIsNone(factory.buildProtocol(None))

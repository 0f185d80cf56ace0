"""Peers that are not what they should be, over real sockets and real TLS."""

from __future__ import annotations

from itertools import islice
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater

from routing_crust.config import Settings
from routing_crust.crust.link import tls as link_tls
from routing_crust.crust.link.certificates import PeerRefused
from routing_crust.errors import CloseReason, LinkClosed
from routing_crust.identity import Identity

from ...hostile.keyupdates import key_updates
from ..sockets import SocketTests, reactor
from ..support import Owner, Stranger, StrangerFactory, StrangerTls, certificate, node_name, rsa_key

KEY = Ed25519PrivateKey.from_private_bytes(bytes([77]) * 32)
DNS = x509.DNSName
OWN = DNS(node_name(KEY))
GOOD = certificate(KEY, OWN)


class StrangerTests(SocketTests):
    """Peers that are not what they should be. Each is refused at both ends, without a traceback."""

    async def refused(
        self,
        tls: StrangerTls | None,
        sends: bytes = b"",
        expected: CloseReason = CloseReason.TLS_REFUSED,
        **settings: Any,
    ) -> tuple[str, str]:
        """
        Have a stranger dial us. Returns why we have refused it, and what it has seen of that.
        """
        self.ours.settings = Settings(**settings)
        stranger = self.dial_as_stranger(self.listen(self.ours), tls)
        if sends:
            await self.connected(stranger)
            stranger.transport.write(sends)
        peer, reason = await self.ours.next("refused")
        seen = await stranger.lost
        self.assertIs(reason.reason, expected)
        self.assertEqual(peer, self.ours.asked)
        self.assertEqual(len(self.ours.events), 1)
        return reason.detail, seen

    async def connected(self, stranger: Stranger) -> None:
        turn: Deferred[None] = Deferred()
        stranger.connectionMade = lambda: turn.callback(None)  # type: ignore[method-assign]
        await turn

    async def test_no_certificate_is_refused(self) -> None:
        detail, seen = await self.refused(StrangerTls())
        self.assertIn("peer did not return a certificate", detail)
        self.assertIn("certificate required", seen)

    async def test_old_tls_version_is_refused(self) -> None:
        detail, seen = await self.refused(StrangerTls([GOOD], KEY, version=SSL.TLS1_2_VERSION))
        self.assertIn("unsupported protocol", detail)
        self.assertIn("protocol version", seen)

    async def test_client_without_alpn_is_refused(self) -> None:
        detail, seen = await self.refused(StrangerTls([GOOD], KEY, alpn=None))
        self.assertIn("does not speak routing-crust/2", detail)
        self.assertIn("ConnectionLost", seen)

    async def test_client_with_another_alpn_is_refused(self) -> None:
        detail, seen = await self.refused(StrangerTls([GOOD], KEY, alpn=b"http/1.1"))
        self.assertIn("does not speak routing-crust/2", detail)
        self.assertIn("no application protocol", seen)

    async def test_client_of_another_version_is_told_apart(self) -> None:
        """The reason names both versions and says what to do."""
        tls = StrangerTls([GOOD], KEY, alpn=b"routing-crust/1")
        detail, seen = await self.refused(tls, expected=CloseReason.UNSUPPORTED_VERSION)
        self.assertEqual(
            detail, "the peer speaks routing-crust/1, and this node routing-crust/2: update the older one"
        )
        self.assertIn("no application protocol", seen)

    async def test_what_a_client_claims_to_speak_is_not_repeated(self) -> None:
        """It would get into the log."""
        detail, _ = await self.refused(StrangerTls([GOOD], KEY, alpn=b"routing-crust/1\n"))
        self.assertEqual(detail, "the peer does not speak routing-crust/2")

    async def test_server_of_another_version_is_told_apart(self) -> None:
        """It sends an alert, as RFC 7301 has it, which does not say what it speaks."""
        tls = StrangerTls([GOOD], KEY)

        def select(connection: SSL.Connection, offered: list[bytes]) -> bytes:
            raise PeerRefused("routing-crust/1 is not among them")

        tls.context.set_alpn_select_callback(select)
        port, stranger = self.listen_as_stranger(tls)
        error = await self.closed(self.dial(self.ours, port))
        self.assertEqual((error.reason, error.by_peer), (CloseReason.UNSUPPORTED_VERSION, True))
        self.assertEqual(
            error.detail,
            "the peer does not speak routing-crust/2: if it is a node, update the older of the two",
        )
        await stranger.lost

    async def test_two_certificates_are_refused(self) -> None:
        detail, seen = await self.refused(StrangerTls([GOOD, GOOD], KEY))
        self.assertIn("exactly one certificate", detail)
        self.assertIn("ConnectionLost", seen)

    async def test_certificate_of_an_authority_is_refused(self) -> None:
        authority = Ed25519PrivateKey.from_private_bytes(bytes([5]) * 32)
        top = certificate(authority, issuer="authority")
        leaf = certificate(KEY, OWN, issuer="authority", signer=authority)
        detail, seen = await self.refused(StrangerTls([leaf, top], KEY))
        self.assertIn("not signed by itself", detail)
        self.assertIn("unknown ca", seen)

    async def test_certificate_with_the_name_of_another_key_is_refused(self) -> None:
        detail, seen = await self.refused(
            StrangerTls([certificate(KEY, DNS(f"{self.theirs.identity.name}.crust.invalid"))], KEY)
        )
        self.assertIn("not that of its key", detail)
        self.assertIn("unknown ca", seen)

    async def test_wildcard_certificate_is_refused(self) -> None:
        detail, seen = await self.refused(StrangerTls([certificate(KEY, DNS("*.crust.invalid"))], KEY))
        self.assertIn("not that of a node", detail)
        self.assertIn("unknown ca", seen)

    async def test_certificate_without_a_name_is_refused(self) -> None:
        detail, seen = await self.refused(StrangerTls([certificate(KEY)], KEY))
        self.assertIn("not that of a node", detail)
        self.assertIn("unknown ca", seen)

    async def test_large_certificate_is_refused(self) -> None:
        detail, seen = await self.refused(StrangerTls([certificate(KEY, OWN, padding=2000)], KEY))
        self.assertIn("1024 are allowed", detail)
        self.assertIn("unknown ca", seen)

    async def test_huge_certificate_is_not_even_read(self) -> None:
        """One that is larger than all that may come before the peer is verified is not even read."""
        detail, seen = await self.refused(StrangerTls([certificate(KEY, OWN, padding=80_000)], KEY))
        self.assertIn("more than 16384 bytes before", detail)
        self.assertIn("ConnectionLost", seen)

    async def test_rsa_key_is_refused(self) -> None:
        key = rsa_key()
        detail, seen = await self.refused(StrangerTls([certificate(key, OWN)], key))
        self.assertIn("not an Ed25519 key", detail)
        self.assertIn("unknown ca", seen)

    async def test_bytes_that_are_not_tls_are_refused(self) -> None:
        request = b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"
        detail, seen = await self.refused(None, request, CloseReason.PROTOCOL_ERROR)
        self.assertEqual(detail, "what came first is neither TLS nor a preface")
        self.assertNotIn("Unhandled", seen)

    async def test_garbage_that_begins_like_tls_is_refused(self) -> None:
        detail, seen = await self.refused(None, b"\x16GET / HTTP/1.1\r\nHost: example.com\r\n\r\n")
        self.assertIn("wrong version number", detail)
        self.assertNotIn("Unhandled", seen)

    async def test_endless_tls_message_is_cut_at_the_limit(self) -> None:
        half = b"".join(b"\x16\x03\x01\x40\x00" + bytes([1, 0, 255, 255]) * 4096 for _ in range(2))
        self.patch(link_tls, "MAX_UNVERIFIED_BYTES", 4096)
        detail, _ = await self.refused(None, half)
        self.assertIn("more than 4096 bytes before", detail)

    async def test_key_updates_without_frames_are_cut_at_the_limit(self) -> None:
        """Before the Hello as any bytes; after it, more than a record may take."""
        for verified, size, expected in (
            (False, 17, "before it was verified"),
            (True, 65, "without a frame"),
        ):
            ours = Owner(reactor)
            tls, secrets = StrangerTls([GOOD], KEY), []
            tls.context.set_keylog_callback(lambda _, line, secrets=secrets: secrets.append(line.split()))
            stranger = self.dial_as_stranger(self.listen(ours), tls)
            (link,) = await ours.next("up")
            if verified:
                link.verified()
            (secret,) = [each[2] for each in secrets if each[0] == b"CLIENT_TRAFFIC_SECRET_0"]
            records = key_updates(bytes.fromhex(secret.decode()))
            stranger.transport.transport.write(b"".join(islice(records, size * 1024 // 27)))
            _, reason = await ours.next("lost")
            self.assertIs(reason.reason, CloseReason.PROTOCOL_ERROR)
            self.assertIn(expected, reason.detail)
            await stranger.lost

    async def test_frames_make_up_for_the_bytes_around_them(self) -> None:
        """Thousands of the smallest frames, each in a record of its own, are no breach."""
        stranger = self.dial_as_stranger(self.listen(self.ours), StrangerTls([GOOD], KEY))
        (link,) = await self.ours.next("up")
        link.verified()
        for _ in range(4000):
            stranger.transport.write(b"\xc8\0\0\0")
        stranger.transport.write(b"\xc9\0\0\0")
        while [each[1] for each in self.ours.of("frame")][-1:] != [0xC9]:
            await deferLater(reactor, 0)
        link.abort(CloseReason.STOPPING)
        await self.ours.next("lost")
        await stranger.lost

    async def hang_up(self, sends: bytes) -> LinkClosed:
        """Have a stranger say this and hang up. Returns what is reported."""
        stranger = self.dial_as_stranger(self.listen(self.ours), None)
        await self.connected(stranger)
        stranger.transport.write(sends)
        stranger.transport.loseConnection()
        _, reason = await self.ours.next("refused")
        self.assertIs(reason.reason, CloseReason.CONNECTION_LOST)
        await stranger.lost
        return reason

    async def test_hanging_up_at_once_is_reported(self) -> None:
        self.assertTrue((await self.hang_up(b"")).by_peer)

    async def test_hanging_up_during_tls_is_reported(self) -> None:
        reason = await self.hang_up(b"\x16\x03\x01")
        self.assertIn("before the TLS handshake was done", reason.detail)

    async def test_silent_connection_is_cut_after_hello_timeout(self) -> None:
        """One that connects and says nothing is cut after C{hello_timeout}."""
        clock = Clock()
        ours = Owner(clock, Settings(hello_timeout=3))
        stranger = self.dial_as_stranger(self.listen(ours), None)
        await self.connected(stranger)
        while not clock.getDelayedCalls():  # until our end has accepted it, too
            turn: Deferred[None] = Deferred()
            reactor.callLater(0, turn.callback, None)
            await turn
        clock.advance(2.9)
        self.assertEqual(ours.events, [])
        clock.advance(0.1)
        _, reason = await ours.next("refused")
        self.assertIs(reason.reason, CloseReason.HELLO_TIMEOUT)
        self.assertIn("ConnectionLost", await stranger.lost)
        self.assertEqual(clock.getDelayedCalls(), [])

    async def test_strangers_that_we_dial_are_refused(self) -> None:
        wrong = certificate(KEY, DNS("*.crust.invalid"))
        for tls, ours, seen in (
            (
                StrangerTls([GOOD], KEY, version=SSL.TLS1_2_VERSION),
                "protocol version",
                "unsupported protocol",
            ),
            (StrangerTls([GOOD], KEY, alpn=None), "does not speak", "ConnectionLost"),
            (StrangerTls([GOOD, GOOD], KEY), "exactly one certificate", "ConnectionLost"),
            (StrangerTls([wrong], KEY), "not that of a node", "unknown ca"),
            (StrangerTls([certificate(KEY, OWN, padding=80_000)], KEY), "more than 16384", "ConnectionLost"),
        ):
            port, stranger = self.listen_as_stranger(tls)
            error = await self.closed(self.dial(self.ours, port))
            self.assertIs(error.reason, CloseReason.TLS_REFUSED)
            self.assertIn(ours, error.detail)
            self.assertIn(seen, await stranger.lost)
        self.assertEqual(self.ours.events, [])

    async def test_http_instead_of_tls_is_called_a_captive_portal(self) -> None:
        """Where it says so: a web server that is dialled; one who dials us is no portal."""
        factory = StrangerFactory()
        stranger = factory.stranger

        def answer(data: bytes) -> None:
            stranger.transport.write(b"HTTP/1.1 302 Found\r\nLocation: http://login.example/\r\n\r\n")  # type: ignore[union-attr]

        stranger.dataReceived = answer  # type: ignore[method-assign]
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        error = await self.closed(self.dial(self.ours, port.getHost().port))
        self.assertIs(error.reason, CloseReason.TLS_REFUSED)
        self.assertIn("captive portal", error.detail)
        self.assertNotIn("version", error.detail)
        await stranger.lost

    async def test_both_ends_learn_why_a_wrong_peer_is_refused(self) -> None:
        wanted = Identity.generate().name
        error = await self.closed(self.dial(self.ours, self.listen(self.theirs), wanted))
        self.assertIs(error.reason, CloseReason.TLS_REFUSED)
        self.assertEqual(error.detail, f"{self.theirs.identity.name} answered instead of {wanted}")
        _, reason = await self.theirs.next("refused")
        self.assertEqual((reason.reason, reason.by_peer), (CloseReason.TLS_REFUSED, True))
        self.assertIn("unknown ca", reason.detail)
        self.assertEqual(len(self.theirs.events), 1)

    async def test_refusal_by_the_acceptor_comes_after_link_up(self) -> None:
        """The TLS client's link is up before its server has judged it; the refusal comes then."""
        port = self.listen(self.theirs, initiator=False, expected=Identity.generate().name)
        link = await self.dial(self.ours, port)
        _, reason = await self.ours.next("lost")
        self.assertEqual((reason.reason, reason.by_peer), (CloseReason.TLS_REFUSED, True))
        self.assertIn("unknown ca", reason.detail)
        _, there = await self.theirs.next("refused")
        self.assertIs(there.reason, CloseReason.TLS_REFUSED)
        self.assertEqual(self.ours.of("up"), [(link,)])

    async def test_both_ends_of_a_dial_to_ourselves_see_it(self) -> None:
        error = await self.closed(self.dial(self.ours, self.listen(self.ours)))
        self.assertIs(error.reason, CloseReason.SELF)
        _, reason = await self.ours.next("refused")
        self.assertEqual((reason.reason, reason.by_peer), (CloseReason.TLS_REFUSED, True))

    async def test_two_tls_clients_cannot_talk(self) -> None:
        """Two TLS clients cannot talk; both see that at once."""
        port = self.listen(self.theirs, initiator=True)
        error = await self.closed(self.dial(self.ours, port))
        _, reason = await self.theirs.next("refused")
        self.assertEqual((error.reason, reason.reason), (CloseReason.TLS_REFUSED,) * 2)

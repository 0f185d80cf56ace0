"""
Impersonation over real sockets and real TLS: what sits at the wanted node's address is somebody else.

C{service_identity} decides: a planted bug takes its verification out, and these tests must fail.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from routing_crust.errors import CloseReason, LinkClosed
from routing_crust.identity import Identity

from ..sockets import SocketTests
from ..support import StrangerTls, certificate, node_name

IMPOSTOR = Ed25519PrivateKey.from_private_bytes(bytes([66]) * 32)


class ImpersonationTests(SocketTests):
    def setUp(self) -> None:
        super().setUp()
        self.victim = self.theirs.identity
        self.victims_dns_name = x509.DNSName(f"{self.victim.name}.crust.invalid")
        self.addCleanup(self.cut)

    async def cut(self) -> None:
        """End what has come up, if a planted bug lets it."""
        if self.ours.of("up") and not self.ours.of("lost"):
            await self.part()

    async def dial_victim(self, tls: StrangerTls) -> LinkClosed:
        """Dial the victim where an impostor listens. Returns why no link has come of it."""
        port, impostor = self.listen_as_stranger(tls)
        reason = await self.closed(self.dial(self.ours, port, self.victim.name))
        await impostor.lost
        self.assertIs(reason.reason, CloseReason.TLS_REFUSED)
        self.assertEqual(self.ours.events, [])
        return reason

    async def test_server_with_a_good_certificate_of_its_own_is_refused(self) -> None:
        """The certificate fits its key, but is not that of the node that was dialled."""
        own = certificate(IMPOSTOR, x509.DNSName(node_name(IMPOSTOR)))
        reason = await self.dial_victim(StrangerTls([own], IMPOSTOR))
        self.assertEqual(reason.detail, f"{Identity(IMPOSTOR).name} answered instead of {self.victim.name}")

    async def test_server_with_the_victims_name_and_its_own_key_is_refused(self) -> None:
        forged = certificate(IMPOSTOR, self.victims_dns_name)
        reason = await self.dial_victim(StrangerTls([forged], IMPOSTOR))
        self.assertIn("not that of its key", reason.detail)

    async def test_client_with_the_victims_name_and_its_own_key_is_refused(self) -> None:
        """Accepted connections are checked in the same way as dialled ones."""
        forged = certificate(IMPOSTOR, self.victims_dns_name)
        impostor = self.dial_as_stranger(self.listen(self.ours), StrangerTls([forged], IMPOSTOR))
        self.assertIn("unknown ca", await impostor.lost)
        _, reason = await self.ours.next("refused")
        self.assertIn("not that of its key", reason.detail)
        self.assertEqual(self.ours.of("up"), [])

    async def test_victim_itself_is_let_in(self) -> None:
        """The same dial succeeds where the victim listens."""
        link, _ = await self.pair(expected=self.victim.name)
        self.assertEqual(link.peer, self.victim.name)
        await self.part()

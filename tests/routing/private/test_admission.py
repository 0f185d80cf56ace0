"""Who has no good certificate gets nothing past the Hello, and both ends log why."""

from __future__ import annotations

from unittest.mock import patch

from routing_crust.config import Role, Settings
from routing_crust.errors import CloseReason, ConfigurationError
from routing_crust.routing.private.membership import Membership
from routing_crust.routing.service import RoutingService
from routing_crust.testing.private import Founder
from routing_crust.trust.certificate import MemberRole
from routing_crust.wire.framing import FrameKind

from .private_case import DAY, PrivateCase, Stranger


class RefusalTests(PrivateCase):
    """A stranger dials a member."""

    def assert_refused(self, stranger: Stranger, reason: CloseReason, said: str) -> None:
        """Nothing but the reason has come, and nothing was spent on the stranger."""
        node = self.nodes[1]
        core = node.core
        assert core is not None
        with patch.object(core.links._policy, "judge", wraps=core.links._policy.judge) as judge:
            link = stranger.dial(node)
        judged = [call.args[0].peer for call in judge.call_args_list]
        self.assertNotIn(stranger.identity.name, judged)
        self.assertEqual(stranger.kinds, [FrameKind.REFUSED, FrameKind.GOODBYE])
        self.assertEqual(stranger.goodbye, reason)
        self.assertEqual(CloseReason(stranger.refusal.reason), reason)
        self.assertTrue(link.lost)
        self.assertNotIn(stranger.identity.name, [peer.name for peer in core.links.peers])
        self.assertEqual(len(self.logged("refused", str(stranger.identity.name), said)), 1, self.lines[-5:])

    def test_stranger_without_a_certificate_is_refused(self) -> None:
        self.assert_refused(Stranger(self), CloseReason.NO_CERTIFICATE, "it has to be invited")

    def test_certificate_that_is_no_certificate_is_refused(self) -> None:
        stranger = Stranger(self)
        stranger.raider.certificate = b"\x01"
        self.assert_refused(stranger, CloseReason.BAD_CERTIFICATE, "not a certificate")

    def test_certificate_of_another_member_is_refused(self) -> None:
        stranger = Stranger(self).shows(self.membership_of(self.nodes[2]))
        self.assert_refused(stranger, CloseReason.BAD_CERTIFICATE, "another member's")

    def test_certificate_of_another_network_is_refused(self) -> None:
        stranger = Stranger(self)
        other = Founder(self.net.new_identity(), self.net.clock.seconds)
        stranger.shows(other.membership(stranger.identity))
        self.assert_refused(stranger, CloseReason.WRONG_NETWORK, "another network")

    def test_certificate_that_a_member_has_issued_who_may_not_is_refused(self) -> None:
        """The holder of a member's certificate signs one for a friend."""
        stranger, member = Stranger(self), self.nodes[1]
        forged = self.founder.membership(stranger.identity).certificate
        own = self.membership_of(member).certificate
        body = forged.body
        signature = member.identity.sign("certificate", self.founder.network, body)
        stranger.shows(Membership(type(forged)(forged.certificate, body, signature, own.issuer_certificate)))
        self.assert_refused(stranger, CloseReason.BAD_CERTIFICATE, "forged or damaged")

    def test_certificate_that_has_expired_is_refused_with_the_date(self) -> None:
        stranger = Stranger(self)
        long_ago = self.net.clock.seconds() - 200 * DAY
        stranger.shows(self.founder.membership(stranger.identity, since=long_ago))
        self.assert_refused(stranger, CloseReason.CERTIFICATE_EXPIRED, "has expired")

    def test_certificate_of_the_future_is_refused_with_both_times(self) -> None:
        stranger = Stranger(self)
        stranger.shows(self.founder.membership(stranger.identity, since=self.net.clock.seconds() + 3 * DAY))
        self.assert_refused(stranger, CloseReason.CERTIFICATE_TOO_EARLY, "now is 2025-06-15")

    def test_banned_member_is_refused_with_by_whom_and_since_when(self) -> None:
        stranger = Stranger(self)
        membership = self.founder.membership(stranger.identity, nickname="lost-laptop")
        statement = self.founder.issuer().ban(
            stranger.identity.name, self.membership_of(self.admin).roster, self.net.clock.seconds(), "stolen"
        )
        self.private(self.admin).add_statements([statement])
        self.net.run_for(1)
        self.assert_refused(stranger.shows(membership), CloseReason.BANNED, "by member-0")
        self.assertEqual(stranger.refusal.by, self.admin.name.raw)
        self.assertEqual(stranger.refusal.at, statement.statement.time)
        self.assertTrue(self.logged("refused", "lost-laptop", "stolen"))

    def test_member_that_may_be_a_client_is_no_node(self) -> None:
        stranger = Stranger(self)
        stranger.shows(self.founder.membership(stranger.identity, roles=(MemberRole.CLIENT,)))
        self.assert_refused(stranger, CloseReason.ROLE_NOT_GRANTED, "may only be a client")

    def test_later_member_of_one_nickname_is_refused_by_admins(self) -> None:
        stranger = Stranger(self)
        nickname = self.membership_of(self.nodes[2]).certificate.certificate.nickname
        stranger.shows(self.founder.membership(stranger.identity, nickname=nickname.upper()))
        stranger.dial(self.admin)
        self.assertEqual(stranger.goodbye, CloseReason.NICKNAME_TAKEN)
        self.assertEqual(
            len(self.logged("refused", str(stranger.identity.name), f"has the nickname of {nickname}")), 1
        )

    def test_nickname_of_a_banned_member_is_free(self) -> None:
        self.ban(self.nodes[2])
        self.net.run_for(1)
        stranger = Stranger(self)
        nickname = self.membership_of(self.nodes[2]).certificate.certificate.nickname
        stranger.shows(self.founder.membership(stranger.identity, nickname=nickname)).dial(self.admin)
        self.assertEqual(stranger.kinds[0], FrameKind.HELLO)

    def test_good_certificate_gets_a_hello(self) -> None:
        """The same stranger, once it is a member."""
        stranger = Stranger(self)
        stranger.shows(self.founder.membership(stranger.identity)).dial(self.nodes[1])
        self.assertEqual(stranger.kinds[0], FrameKind.HELLO)


class BothEndsTests(PrivateCase):
    """Honest programs whose credentials are no good."""

    def test_member_that_dials_is_told_and_logs_why(self) -> None:
        late = self.founder.membership(
            identity := self.net.new_identity(), since=self.net.clock.seconds() - 200 * DAY
        )
        node = self.net.node(identity=identity, membership=late)
        self.net.run_for(3)
        self.assertFalse(node.connected)
        self.assertTrue(self.logged("takes this node for no member", "expired"))
        self.assertTrue(self.logged("refused", identity.name.short, "expired"))
        told = node.service.status()["membership"]
        assert isinstance(told, dict)
        self.assertIn("has expired", told["problem"])
        self.assertIn("expired", next(iter(told["refused_by"].values())))
        here = self.admin.service.explain(identity.name)
        self.assertIn("has expired", here.attempts[-1].outcome + here.attempts[-2].outcome)
        there = node.service.explain(self.admin.name)
        self.assertIn("takes us for no member", "".join(each.outcome for each in there.attempts))

    def test_node_that_is_dialled_is_judged_as_well(self) -> None:
        """A stranger answers where a member should: the member that dials gives it nothing more."""
        stranger = Stranger(self)
        frames: list[int] = []

        def ready(link: object, kind: int, payload: bytes) -> None:
            assert hasattr(link, "on_frame")
            link.on_frame = greeted

        def greeted(link: object, kind: int, payload: bytes) -> None:
            frames.append(kind)
            if kind == FrameKind.HELLO:
                link.hello()  # type: ignore[attr-defined]

        at = stranger.raider.listen(lambda: stranger.raider.accepted(stranger.identity, ready))
        core = self.nodes[1].core
        assert core is not None
        core.crust.connect((at,), stranger.identity.name, b"", ("here", "here", "here"))
        self.net.run_for(2)
        self.assertEqual(frames, [FrameKind.HELLO, FrameKind.REFUSED, FrameKind.GOODBYE])
        self.assertTrue(self.logged("refused", str(stranger.identity.name), "(connected)", "invited"))

    def test_client_by_certificate_may_be_a_client(self) -> None:
        client = self.net.node(role=Role.CLIENT)
        self.net.run_until(lambda: client.connected)
        self.assertIsNone(self.net.result_of(client.service.send(self.nodes[2].name, b"hello")))


class CredentialTests(PrivateCase):
    """What a service is given must fit together."""

    def assert_not_made(self, said: str, network: str, membership: Membership | None) -> None:
        identity = self.nodes[1].identity
        error = self.assertRaises(
            ConfigurationError,
            RoutingService,
            Settings(network=network),
            reactor=self.net.clock,
            identity=identity,
            membership=membership,
        )
        self.assertIn(said, str(error))

    def test_private_network_wants_a_certificate(self) -> None:
        self.assert_not_made("join it with an invitation", self.founder.network, None)

    def test_certificate_must_be_of_the_network_of_the_settings(self) -> None:
        self.assert_not_made("not of default", "default", self.membership_of(self.nodes[1]))

    def test_certificate_must_be_for_the_key(self) -> None:
        other = self.membership_of(self.nodes[2])
        self.assert_not_made("and the key is that of", self.founder.network, other)

"""All members come to know each other's certificates, and nobody can fill their directories."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import patch

from routing_crust.config import Role
from routing_crust.errors import CloseReason
from routing_crust.routing.private import directory_sync
from routing_crust.testing.host import SimulatedNode
from routing_crust.trust.certificate import MemberRole, SignedCertificate
from routing_crust.trust.codec import decode_certificate, encode_certificate
from routing_crust.trust.issuing import Issuer
from routing_crust.wire.codec import encode
from routing_crust.wire.framing import FrameKind
from routing_crust.wire.members import MemberCertificates, MemberSummary, MembersWanted

from .private_case import DAY, PrivateCase, Stranger

EVERY_PART = bytes(range(64))


class DirectoryCase(PrivateCase):
    members = 5

    def nickname_of(self, node: SimulatedNode) -> str:
        return self.membership_of(node).certificate.certificate.nickname

    def known_to(self, node: SimulatedNode) -> set[str]:
        return {each.nickname for each in self.private(node).members.current}

    def absent(self, nickname: str, **given: object) -> SignedCertificate:
        """The certificate of a member that never comes."""
        return self.founder.membership(self.net.new_identity(), nickname=nickname, **given).certificate  # type: ignore[arg-type]

    def summaries(self) -> set[bytes]:
        return {self.membership_of(each).known.summary for each in self.net.alive}


class NeverMetTests(DirectoryCase):
    def test_certificate_that_one_member_learns_reaches_all(self) -> None:
        self.private(self.nodes[3]).members.met(self.absent("printer"))
        self.net.run_for(4)
        for node in self.nodes:
            self.assertIn("printer", self.known_to(node))
        self.assertEqual(len(self.summaries()), 1)

    def test_new_member_knows_the_nickname_of_one_that_has_gone(self) -> None:
        gone = self.nodes[4]
        nickname = self.nickname_of(gone)
        gone.crash()
        self.net.run_for(60)
        late = self.net.node()
        self.net.run_until(lambda: late.joined)
        self.net.run_for(5)
        self.assertEqual(late.service.name_of(nickname), gone.name)

    def test_client_learns_of_all_by_its_proxy(self) -> None:
        client = self.net.node(role=Role.CLIENT)
        self.net.run_until(lambda: client.connected)
        self.net.run_for(5)
        self.assertLessEqual({self.nickname_of(each) for each in self.nodes}, self.known_to(client))

    def test_later_certificate_replaces_the_first_everywhere(self) -> None:
        identity = self.net.new_identity()
        first = self.founder.membership(identity, nickname="printer").certificate
        self.private(self.nodes[3]).members.met(first)
        self.net.run_for(4)
        renewed = self.founder.issuer().issue(
            identity.name, "scanner", first.certificate.roles, self.net.clock.seconds() + 1
        )
        self.private(self.nodes[1]).members.met(renewed)
        self.net.run_for(4)
        for node in self.nodes:
            self.assertIn("scanner", self.known_to(node))
            self.assertNotIn("printer", self.known_to(node))

    def test_two_parts_that_were_apart_tell_each_other(self) -> None:
        one, other = self.nodes[:2], self.nodes[2:]
        self.net.partition(one, other)
        self.net.run_for(90)
        self.private(one[0]).members.met(self.absent("printer"))
        self.private(other[0]).members.met(self.absent("scanner"))
        self.net.heal()
        self.net.run_until(lambda: len(self.summaries()) == 1, 200)
        self.assertLessEqual({"printer", "scanner"}, self.known_to(self.nodes[4]))

    def test_comparison_makes_up_for_news_that_were_lost(self) -> None:
        with patch.object(directory_sync, "NEWS_PEERS", 0):
            self.private(self.nodes[3]).members.met(self.absent("printer"))
            self.net.run_for(600)
        for node in self.nodes:
            self.assertIn("printer", self.known_to(node))

    def test_own_renewed_certificate_comes_by_way_of_any_member(self) -> None:
        """The admin that has issued it has no link with its member."""
        member = self.nodes[3]
        last = self.membership_of(member).certificate.certificate
        renewed = self.founder.issuer().renew(last, self.net.clock.seconds() + 5)
        self.private(self.nodes[2]).members.met(renewed)
        self.net.run_for(5)
        self.assertEqual(self.membership_of(member).certificate, renewed)

    def test_inviter_cannot_replace_the_certificate_of_an_admin(self) -> None:
        key = self.net.new_identity()
        inviter = self.founder.membership(key, nickname="inviter", roles=(MemberRole.NODE, MemberRole.INVITE))
        now = self.net.clock.seconds() + 5
        fake = Issuer(key, inviter.certificate).issue(self.admin.name, "nobody", (MemberRole.CLIENT,), now)
        before = self.membership_of(self.admin).certificate
        self.private(self.nodes[2]).members.met(fake)
        self.net.run_for(5)
        self.assertEqual(self.membership_of(self.admin).certificate, before)
        self.assertNotIn("nobody", self.known_to(self.nodes[4]))

    def test_banned_member_is_told_of_no_more(self) -> None:
        gone = self.nodes[4]
        nickname = self.nickname_of(gone)
        self.ban(gone)
        gone.crash()
        late = self.net.node()
        self.net.run_until(lambda: late.joined)
        self.net.run_for(5)
        self.assertNotIn(gone.name, self.membership_of(late).known)
        self.assertNotIn(nickname, self.known_to(late))

    def test_new_member_asks_one_peer_at_a_time(self) -> None:
        """It is told of everybody once, not by each peer again."""
        for number in range(30):
            self.membership_of(self.nodes[0]).known.add(self.absent(f"away-{number}"))
        with patch.object(directory_sync.DirectorySync, "_ask", autospec=True, side_effect=_ask) as asked:
            self.net.run_until(lambda: len(self.summaries()) == 1, 200)
            late = self.net.node()
            self.net.run_until(lambda: late.joined)
            asked.reset_mock()
            self.net.run_for(5)
        self.assertIn("away-29", self.known_to(late))
        self.assertLess(asked.call_count, 3)


_ask = directory_sync.DirectorySync._ask


class NicknameTests(DirectoryCase):
    def test_later_holder_of_a_nickname_is_refused_by_an_admin_that_has_heard_of_the_first(self) -> None:
        """The first has never been linked with this admin."""
        self.private(self.nodes[3]).members.met(self.absent("printer"))
        self.net.run_for(4)
        stranger = Stranger(self)
        stranger.shows(self.founder.membership(stranger.identity, nickname="Printer")).dial(self.admin)
        self.assertEqual(stranger.goodbye, CloseReason.NICKNAME_TAKEN)

    def test_later_holder_is_refused_also_when_the_admin_has_heard_of_it_before_it_comes(self) -> None:
        self.private(self.nodes[3]).members.met(self.absent("printer"))
        self.net.run_for(4)
        stranger = Stranger(self)
        membership = self.founder.membership(stranger.identity, nickname="printer")
        self.private(self.nodes[3]).members.met(membership.certificate)
        self.net.run_for(4)
        stranger.shows(membership).dial(self.admin)
        self.assertEqual(stranger.goodbye, CloseReason.NICKNAME_TAKEN)

    def test_first_holder_is_let_in_after_a_later_one_was_heard_of(self) -> None:
        first = Stranger(self)
        membership = self.founder.membership(first.identity, nickname="printer")
        self.private(self.nodes[3]).members.met(membership.certificate)
        self.net.run_for(4)
        self.private(self.nodes[3]).members.met(self.absent("printer"))
        self.net.run_for(4)
        first.shows(membership).dial(self.admin)
        self.assertEqual(first.kinds[0], FrameKind.HELLO)

    def test_nothing_is_granted_to_a_nickname_of_two(self) -> None:
        """Until an admin decides: one of them may be whom somebody has let in for this."""
        first, second = self.absent("printer"), self.absent("printer")
        node = self.nodes[2]
        allowance = node.service.directory.allowance(["printer"])
        self.private(node).members.met(first)
        self.assertTrue(allowance(first.certificate.name))
        self.private(node).members.met(second)
        self.assertFalse(allowance(first.certificate.name) or allowance(second.certificate.name))


class LiarTests(DirectoryCase):
    """A member that does not keep to the rules: its link ends, or it gets nothing by it."""

    def setUp(self) -> None:
        super().setUp()
        self.stranger = Stranger(self)
        self.stranger.shows(self.founder.membership(self.stranger.identity))
        self.link = self.stranger.dial(self.admin)
        self.link.confirms = True
        self.link.confirm()
        self.net.run_for(1)

    def tell(self, *certificates: SignedCertificate) -> None:
        encoded = tuple(map(encode_certificate, certificates))
        self.link.send(FrameKind.MEMBERS, encode(MemberCertificates(encoded)))
        self.net.run_for(1)

    def test_member_that_nobody_may_have_issued_ends_the_link(self) -> None:
        """A member that may not issue certifies somebody, with a signature that holds."""
        own = self.stranger.raider.certificate
        inviter = Issuer(
            self.stranger.identity,
            self.founder.membership(self.stranger.identity, roles=(MemberRole.INVITE,)).certificate,
        )
        now = self.net.clock.seconds()
        forged = inviter.issue(self.net.new_identity().name, "mine", (MemberRole.NODE,), now)
        self.tell(replace(forged, issuer_certificate=decode_certificate(own)))
        self.assertEqual(self.stranger.goodbye, CloseReason.PROTOCOL_ERROR)
        self.assertNotIn("mine", self.known_to(self.admin))

    def test_forged_signature_ends_the_link(self) -> None:
        self.tell(replace(self.absent("mine"), signature=bytes(64)))
        self.assertEqual(self.stranger.goodbye, CloseReason.PROTOCOL_ERROR)
        self.assertNotIn("mine", self.known_to(self.admin))

    def test_expired_and_banned_ones_are_left_out_without_blame(self) -> None:
        long_ago = self.net.clock.seconds() - 200 * DAY
        banned = self.absent("banned")
        statement = self.founder.issuer().ban(
            banned.certificate.name, self.membership_of(self.admin).roster, self.net.clock.seconds()
        )
        self.private(self.admin).add_statements([statement])
        self.tell(self.absent("old", since=long_ago), banned, self.absent("good"))
        self.assertNotIn(FrameKind.GOODBYE, self.stranger.kinds)
        nicknames = {each.nickname for each in self.private(self.admin).members.known}
        self.assertIn("good", nicknames)
        self.assertTrue(nicknames.isdisjoint(("old", "banned")))

    def test_questions_without_end_are_answered_a_few_times(self) -> None:
        self.stranger.frames.clear()
        for _ in range(100):
            self.link.send(FrameKind.MEMBERS_WANTED, encode(MembersWanted(EVERY_PART, b"")))
        self.net.run_for(1)
        answers = self.stranger.kinds.count(FrameKind.MEMBERS)
        self.assertEqual(answers, directory_sync.QUESTIONS_AT_ONCE)
        self.assertTrue(self.logged("asks for members too often"))

    def test_question_that_does_not_hold_ends_the_link(self) -> None:
        self.link.send(FrameKind.MEMBERS_WANTED, encode(MembersWanted(b"\x40", b"")))
        self.net.run_for(1)
        self.assertEqual(self.stranger.goodbye, CloseReason.PROTOCOL_ERROR)

    def test_summary_that_lies_costs_a_question_and_a_wait(self) -> None:
        """Others are asked all the same."""
        self.link.send(FrameKind.MEMBER_SUMMARY, encode(MemberSummary(bytes([7]) * 512)))
        self.net.run_for(1)
        self.assertIn(FrameKind.MEMBERS_WANTED, self.stranger.kinds)
        with patch.object(directory_sync, "NEWS_PEERS", 0):
            self.private(self.nodes[3]).members.met(self.absent("printer"))
            self.net.run_for(600)
        self.assertIn("printer", self.known_to(self.admin))

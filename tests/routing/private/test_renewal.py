"""Certificates are renewed unasked, also for those that come too late, but not for who is banned."""

from __future__ import annotations

from routing_crust.errors import CloseReason
from routing_crust.identity import Identity
from routing_crust.routing.private.directory_sync import DirectorySync
from routing_crust.routing.private.membership import Membership
from routing_crust.routing.private.renewal import ASK_AGAIN_SECONDS, QUESTIONS_AT_ONCE
from routing_crust.testing.host import SimulatedNode
from routing_crust.trust.certificate import Certificate, MemberRole
from routing_crust.trust.codec import decode_certificate, encode_certificate
from routing_crust.trust.issuing import Issuer
from routing_crust.trust.roster import Roster
from routing_crust.wire.codec import decode, encode
from routing_crust.wire.framing import FrameKind
from routing_crust.wire.members import Renewal

from .private_case import DAY, PrivateCase, Stranger


class RenewalCase(PrivateCase):
    def old_member(self, age: float, nickname: str = "old") -> SimulatedNode:
        """A member whose certificate of 90 days is so old."""
        identity = self.net.new_identity()
        since = self.net.clock.seconds() - age
        membership = self.founder.membership(identity, nickname=nickname, since=since, tags=("home",))
        return self.net.node(identity=identity, membership=membership)

    def own(self, node: SimulatedNode) -> Certificate:
        return self.membership_of(node).certificate.certificate

    def days_left(self, node: SimulatedNode) -> float:
        return (self.own(node).not_after - self.net.clock.seconds()) / DAY


class UnaskedTests(RenewalCase):
    def test_certificate_is_renewed_once_a_third_of_it_is_over(self) -> None:
        node = self.old_member(31 * DAY)
        before = self.own(node)
        self.net.run_until(lambda: self.days_left(node) > 80, 60)
        after = self.own(node)
        self.assertGreater(after.serial, before.serial)
        self.assertEqual(
            (after.nickname, after.roles, after.tags), (before.nickname, before.roles, before.tags)
        )
        self.assertTrue(self.logged("renewed the certificate of old"))

    def test_young_certificate_is_not_renewed(self) -> None:
        node = self.old_member(20 * DAY)
        self.net.run_for(700)
        self.assertLess(self.days_left(node), 71)

    def test_peers_are_shown_the_new_certificate(self) -> None:
        """So they do not end the link when the old one ends. It needs no news of a directory."""
        self.patch(DirectorySync, "_tell", lambda *_: None)
        self.patch(DirectorySync, "_compare", lambda *_: None)
        self.admin.crash()
        self.net.run_for(1)
        node = self.old_member(31 * DAY)
        self.net.run_for(60)
        self.admin.restart()
        self.net.run_until(lambda: self.days_left(node) > 80, 60)
        self.net.run_for(1)
        for each in self.links_to(node):
            assert each.core is not None
            known = each.core.node.members.certificate_of(node.name)  # type: ignore[attr-defined]
            self.assertEqual(known, self.own(node))

    def test_inviter_renews_as_well_when_the_admins_are_gone(self) -> None:
        identity = self.net.new_identity()
        roles = (MemberRole.NODE, MemberRole.RELAY, MemberRole.INVITE)
        # an inviter gives only tags that it has itself
        tags = ("home", "office")
        membership = self.founder.membership(identity, nickname="inviter", roles=roles, tags=tags)
        self.net.node(identity=identity, membership=membership)
        self.net.run_until(self.net.joined)
        self.admin.crash()
        self.net.run_for(1)
        node = self.old_member(31 * DAY)
        self.net.run_until(lambda: self.days_left(node) > 80, 60)

    def test_without_an_issuer_it_is_asked_again_when_one_comes(self) -> None:
        self.admin.crash()
        self.net.run_for(70)
        node = self.old_member(31 * DAY)
        self.net.run_for(60)
        self.assertLess(self.days_left(node), 60)
        self.admin.restart()
        self.net.run_until(lambda: self.days_left(node) > 80, 120)

    def test_operator_is_warned_when_a_third_is_left_and_nobody_renews(self) -> None:
        self.admin.crash()
        self.net.run_for(1)
        node = self.old_member(61 * DAY)
        self.net.run_for(60)
        self.assertEqual(len(self.logged("the certificate of this node, old", "ends on")), 1)
        status = node.service.status()["membership"]
        assert isinstance(status, dict)
        self.assertTrue(status["ends_soon"])

    def test_authority_renews_its_own_admin(self) -> None:
        self.admin.crash()
        membership = self.membership_of(self.admin)
        membership.authority = self.founder.authority
        self.admin.restart()
        # it is 300 days old, of 730
        self.net.run_until(lambda: self.days_left(self.admin) > 700, 60)

    def test_admin_without_the_authority_key_renews_no_admin(self) -> None:
        """Itself included: only the authority does."""
        self.net.run_for(700)
        self.assertLess(self.days_left(self.admin), 431)


class ExpiredTests(RenewalCase):
    """A member comes back after its certificate has expired."""

    def test_issuer_that_is_dialled_gives_a_new_certificate_instead_of_a_link(self) -> None:
        node = self.old_member(110 * DAY)
        self.net.run_until(lambda: self.days_left(node) > 80, 60)
        self.net.run_until(lambda: node.joined, 60)
        self.assertTrue(self.logged("refused", "has expired", "it was given a new one"))

    def test_nothing_but_the_certificate_is_given(self) -> None:
        stranger = Stranger(self)
        since = self.net.clock.seconds() - 110 * DAY
        stranger.shows(self.founder.membership(stranger.identity, since=since)).dial(self.admin)
        self.assertEqual(stranger.kinds, [FrameKind.REFUSED, FrameKind.RENEWAL, FrameKind.GOODBYE])
        given = decode_certificate(decode(Renewal, stranger.frames[1][1]).certificate)
        self.assertEqual(given.certificate.name, stranger.identity.name)

    def test_the_same_certificate_is_given_to_who_asks_again(self) -> None:
        since = self.net.clock.seconds() - 110 * DAY
        stranger = Stranger(self)
        stranger.shows(self.founder.membership(stranger.identity, since=since))
        stranger.dial(self.admin)
        stranger.dial(self.admin)
        given = {payload for kind, payload in stranger.frames if kind == FrameKind.RENEWAL}
        self.assertEqual(len(given), 1)

    def assert_not_renewed(self, identity: Identity, membership: Membership) -> None:
        stranger = Stranger(self, identity).shows(membership)
        stranger.dial(self.admin)
        self.assertEqual(stranger.kinds, [FrameKind.REFUSED, FrameKind.GOODBYE])

    def test_after_thirty_days_it_is_too_late(self) -> None:
        identity = self.net.new_identity()
        since = self.net.clock.seconds() - 121 * DAY
        self.assert_not_renewed(identity, self.founder.membership(identity, since=since))

    def test_banned_member_gets_none(self) -> None:
        identity = self.net.new_identity()
        since = self.net.clock.seconds() - 110 * DAY
        membership = self.founder.membership(identity, since=since)
        statement = self.founder.issuer().ban(
            identity.name, Roster(self.founder.network), self.net.clock.seconds()
        )
        self.private(self.admin).add_statements([statement])
        self.assert_not_renewed(identity, membership)

    def test_revoked_certificate_that_has_expired_gets_none(self) -> None:
        identity = self.net.new_identity()
        since = self.net.clock.seconds() - 110 * DAY
        membership = self.founder.membership(identity, since=since)
        serial = membership.certificate.certificate.serial
        roster = Roster(self.founder.network)
        statement = self.founder.issuer().revoke(identity.name, serial + 1, roster, self.net.clock.seconds())
        self.private(self.admin).add_statements([statement])
        self.assert_not_renewed(identity, membership)

    def test_guest_of_a_banned_inviter_gets_none(self) -> None:
        inviter, guest = self.net.new_identity(), self.net.new_identity()
        roles = (MemberRole.NODE, MemberRole.INVITE)
        since = self.net.clock.seconds() - 110 * DAY
        issuing = self.founder.membership(inviter, nickname="inviter", roles=roles, since=since - 1)
        signed = Issuer(inviter, issuing.certificate).issue(guest.name, "guest", (MemberRole.NODE,), since)
        roster = Roster(self.founder.network)
        statement = self.founder.issuer().ban(inviter.name, roster, self.net.clock.seconds())
        self.private(self.admin).add_statements([statement])
        self.assert_not_renewed(guest, Membership(signed))

    def test_member_that_may_not_issue_gives_none(self) -> None:
        stranger = Stranger(self)
        since = self.net.clock.seconds() - 110 * DAY
        stranger.shows(self.founder.membership(stranger.identity, since=since)).dial(self.nodes[1])
        self.assertEqual(stranger.kinds, [FrameKind.REFUSED, FrameKind.GOODBYE])


class QuestionTests(RenewalCase):
    """A member asks by a link, more than it should."""

    def setUp(self) -> None:
        super().setUp()
        self.asker = Stranger(self)

    def ask(self, age: float, times: int = 1) -> None:
        since = self.net.clock.seconds() - age
        self.asker.shows(self.founder.membership(self.asker.identity, since=since))
        link = self.asker.dial(self.admin)
        link.confirms = True
        link.confirm()
        self.net.run_for(1)
        self.asker.frames.clear()
        for _ in range(times):
            link.send(FrameKind.RENEWAL, encode(Renewal()))
        self.net.run_for(1)

    def answers(self) -> list[Renewal]:
        return [decode(Renewal, payload) for kind, payload in self.asker.frames if kind == FrameKind.RENEWAL]

    def test_question_that_comes_too_early_is_refused(self) -> None:
        self.ask(5 * DAY)
        self.assertEqual([CloseReason(each.reason) for each in self.answers()], [CloseReason.NOT_WANTED])

    def test_many_questions_are_answered_a_few_times_with_one_certificate(self) -> None:
        self.ask(40 * DAY, 50)
        self.assertEqual(len(self.answers()), QUESTIONS_AT_ONCE)
        self.assertEqual(len({each.certificate for each in self.answers()}), 1)

    def test_certificate_of_a_third_one_ends_the_link(self) -> None:
        self.ask(5 * DAY, 0)
        (link,) = self.asker.raider.links
        theirs = encode_certificate(self.membership_of(self.nodes[2]).certificate)
        link.send(FrameKind.RENEWAL, encode(Renewal(theirs)))
        self.net.run_for(1)
        self.assertEqual(self.asker.goodbye, CloseReason.PROTOCOL_ERROR)

    def test_older_certificate_of_ours_is_not_taken(self) -> None:
        """Somebody has kept one from a year ago, with other tags."""
        self.ask(5 * DAY, 0)
        (link,) = self.asker.raider.links
        before = self.own(self.admin)
        older = Issuer(self.founder.authority).issue(
            self.admin.name, "older", before.roles, self.net.clock.seconds() - 310 * DAY
        )
        self.assertLess(older.certificate.serial, before.serial)
        link.send(FrameKind.RENEWAL, encode(Renewal(encode_certificate(older))))
        self.net.run_for(1)
        self.assertEqual(self.own(self.admin), before)

    def test_forged_certificate_of_ours_is_not_taken(self) -> None:
        self.ask(5 * DAY, 0)
        (link,) = self.asker.raider.links
        before = self.membership_of(self.admin).certificate
        stranger = Issuer(self.net.new_identity())
        forged = stranger.issue(self.admin.name, "mine", before.certificate.roles, self.net.clock.seconds())
        link.send(FrameKind.RENEWAL, encode(Renewal(encode_certificate(forged))))
        self.net.run_for(1)
        self.assertIs(self.membership_of(self.admin).certificate, before)

    def test_issuer_that_refuses_is_left_alone_for_an_hour(self) -> None:
        """An admin asks another admin, who has not the authority's key."""
        identity = self.net.new_identity()
        roles = (MemberRole.NODE, MemberRole.RELAY, MemberRole.ADMIN)
        since = self.net.clock.seconds() - 280 * DAY
        membership = self.founder.membership(identity, nickname="second", roles=roles, since=since)
        self.net.node(identity=identity, membership=membership)
        self.net.run_until(self.net.joined)
        self.net.run_for(ASK_AGAIN_SECONDS / 2)
        self.assertLessEqual(len(self.logged("does not renew our certificate")), 2)


class GivenTests(RenewalCase):
    """An admin has issued a certificate by hand."""

    def issue(self, node: SimulatedNode, *tags: str) -> None:
        own, issuer = self.own(node), self.founder.issuer()
        signed = issuer.issue(
            node.name, own.nickname, own.roles, self.net.clock.seconds(), tags=tags, above_serial=own.serial
        )
        self.private(self.admin).give_certificate(signed)

    def test_linked_member_gets_it_at_once(self) -> None:
        self.issue(self.nodes[2], "servers")
        self.net.run_for(1)
        self.assertEqual(self.own(self.nodes[2]).tags, {"servers"})

    def test_member_whose_old_one_is_revoked_gets_it_when_it_comes(self) -> None:
        node = self.nodes[2]
        node.crash()
        self.net.run_for(1)
        self.issue(node, "servers")
        roster = Roster(self.founder.network)
        statement = self.founder.issuer().revoke(
            node.name, self.own(node).serial + 1, roster, self.net.clock.seconds()
        )
        self.private(self.admin).add_statements([statement])
        node.restart()
        self.net.run_until(lambda: self.own(node).tags == {"servers"}, 60)
        self.net.run_until(lambda: node.joined, 60)

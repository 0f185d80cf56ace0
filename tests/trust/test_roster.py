"""The roster: what is kept, what counts, and that the order of arrival decides neither."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.errors import NotAuthorized, WireError
from routing_crust.trust import roster as roster_module
from routing_crust.trust.certificate import MemberRole, SignedCertificate
from routing_crust.trust.issuing import Issuer
from routing_crust.trust.roster import Roster
from routing_crust.trust.statement import (
    MAX_STATEMENT_BYTES,
    STATEMENT_LABEL,
    SignedStatement,
    Statement,
    StatementKind,
    decode_statement,
    encode_statement_body,
    signed_statement,
)

from .members import (
    ALICE,
    AUTHORITY,
    BOB,
    EMPTY,
    INVITER,
    NETWORK,
    NOW,
    VERIFIER,
    certified,
    days,
    key_of,
    name_of,
)

CAROL = certified("carol", MemberRole.RELAY, ALICE)
PEOPLE = ("alice", "bob", "carol", "dave")


def said_by(word: str, certificate: SignedCertificate | None, statement: Statement) -> SignedStatement:
    """A statement, whether its issuer may make it or not."""
    body = encode_statement_body(statement)
    return signed_statement(
        statement, body, key_of(word).sign(STATEMENT_LABEL, statement.network, body), certificate
    )


def roster_of(*statements: SignedStatement) -> Roster:
    return EMPTY.adding(statements, VERIFIER)


some_statements = st.builds(
    Statement,
    st.just(NETWORK),
    st.sampled_from(StatementKind),
    st.sampled_from(PEOPLE).map(name_of),
    st.integers(int(NOW), int(NOW) + 3),
    st.integers(0, 3),
    st.sampled_from([b"", b"pardon"]),
    st.sampled_from(["", "why"]),
)
issuers = st.sampled_from(
    [("authority", None), ("alice", ALICE.certificate), ("bob", BOB.certificate)],
)
made_by_admins = st.builds(lambda who, said: said_by(*who, said), issuers, some_statements)
not_admins = st.sampled_from(
    [
        ("carol", None),
        ("carol", CAROL),
        ("carol", ALICE.certificate),
        ("inviter", INVITER.certificate),
        ("inviter", None),
        ("other", None),
    ]
)
made_by_others = st.builds(lambda who, said: said_by(*who, said), not_admins, some_statements)
rosters = st.lists(made_by_admins, max_size=6).map(lambda each: roster_of(*each))


class MergeTests(SynchronousTestCase):
    @given(rosters, rosters, rosters)
    def test_merging_is_commutative_associative_and_idempotent(self, a: Roster, b: Roster, c: Roster) -> None:
        self.assertEqual(a.merge(b), b.merge(a))
        self.assertEqual(a.merge(b).merge(c), a.merge(b.merge(c)))
        self.assertIs(a.merge(a), a)
        both = a.merge(b)
        self.assertIs(both.merge(b), both)

    @given(rosters, rosters, rosters)
    def test_merging_is_the_same_in_any_order_when_there_is_no_room(
        self, a: Roster, b: Roster, c: Roster
    ) -> None:
        with patch.multiple(
            roster_module,
            MAX_STATEMENTS_OF_AN_ADMIN=2,
            MAX_STATEMENTS_OF_THE_AUTHORITY=2,
            MAX_ADMINS_IN_ROSTER=1,
        ):
            self.assertEqual(a.merge(b), b.merge(a))
            self.assertEqual(a.merge(b).merge(c), a.merge(b.merge(c)))
            self.assertLessEqual(len(a.merge(b)), 4)

    @given(st.permutations(range(5)), st.lists(made_by_admins, min_size=5, max_size=5))
    def test_order_of_arrival_changes_neither_what_is_kept_nor_what_counts(
        self, order: list[int], statements: list[SignedStatement]
    ) -> None:
        one = reduce(lambda held, each: held.adding([each], VERIFIER), statements, EMPTY)
        other = reduce(lambda held, each: held.adding([statements[each]], VERIFIER), order, EMPTY)
        self.assertEqual(one, other)
        self.assertEqual(one.banned, other.banned)
        for word in PEOPLE:
            self.assertEqual(one.ban_of(name_of(word)), other.ban_of(name_of(word)))
            self.assertEqual(one.lowest_serial(name_of(word)), other.lowest_serial(name_of(word)))

    @given(rosters, st.lists(made_by_others))
    def test_no_statements_of_others_than_admins_change_anything(
        self, roster: Roster, statements: list[SignedStatement]
    ) -> None:
        self.assertIs(roster.adding(statements, VERIFIER), roster)

    def test_inviters_and_members_are_not_heard(self) -> None:
        ban = Statement(NETWORK, StatementKind.BAN, name_of("alice"), int(NOW))
        for word, certificate in (("carol", CAROL), ("inviter", INVITER.certificate), ("carol", None)):
            self.assertIs(EMPTY.adding([said_by(word, certificate, ban)], VERIFIER), EMPTY)

    def test_signature_of_another_is_not_heard(self) -> None:
        ban = Statement(NETWORK, StatementKind.BAN, name_of("bob"), int(NOW))
        self.assertEqual(len(roster_of(said_by("carol", ALICE.certificate, ban))), 0)

    def test_full_merge_keeps_room_for_other_issuers(self) -> None:
        many = [AUTHORITY.ban(name_of(str(each)), EMPTY, NOW) for each in range(4)]
        with patch.object(roster_module, "MAX_STATEMENTS_OF_THE_AUTHORITY", 3):
            roster = roster_of(*many, ALICE.ban(name_of("carol"), EMPTY, NOW))
            self.assertEqual(len(roster), 4)
            self.assertIn(name_of("carol"), roster.banned)

    def test_rosters_share_a_digest_if_they_hold_the_same(self) -> None:
        ban = ALICE.ban(name_of("carol"), EMPTY, NOW)
        self.assertEqual(roster_of(ban).digest, roster_of(ban, ban).digest)
        self.assertNotEqual(roster_of(ban).digest, EMPTY.digest)
        self.assertEqual(len(EMPTY.digest), 32)
        self.assertEqual(roster_of(ban).missing(EMPTY.ids), (ban,))
        self.assertEqual(roster_of(ban).missing(roster_of(ban).ids), ())


class CountTests(SynchronousTestCase):
    def test_two_admins_who_ban_each_other_are_both_banned(self) -> None:
        roster = roster_of(ALICE.ban(name_of("bob"), EMPTY, NOW), BOB.ban(name_of("alice"), EMPTY, NOW))
        self.assertEqual(roster.banned, {name_of("alice"), name_of("bob")})
        self.assertTrue(all(map(roster.counts, roster.statements)))

    def test_the_authority_undoes_bans_of_admins(self) -> None:
        roster = roster_of(ALICE.ban(name_of("bob"), EMPTY, NOW), BOB.ban(name_of("alice"), EMPTY, NOW))
        pardon = AUTHORITY.pardon(name_of("bob"), roster, NOW)
        self.assertEqual(roster.adding([pardon], VERIFIER).banned, {name_of("alice")})

    def test_a_ban_after_a_pardon_counts_again_and_can_be_undone_again(self) -> None:
        roster, dave = EMPTY, name_of("dave")
        for number in (1, 2):
            roster = roster.adding([ALICE.ban(dave, roster, NOW)], VERIFIER)
            self.assertIn(dave, roster.banned)
            roster = roster.adding([AUTHORITY.pardon(dave, roster, NOW)], VERIFIER)
            self.assertNotIn(dave, roster.banned)
            pardon = roster.pardon_of(dave)
            assert pardon is not None
            self.assertEqual(pardon.statement.number, number)

    def test_words_of_an_admin_whom_the_authority_bans_do_not_count(self) -> None:
        roster = roster_of(ALICE.ban(name_of("dave"), EMPTY, NOW))
        banned = roster.adding([AUTHORITY.ban(name_of("alice"), EMPTY, NOW)], VERIFIER)
        self.assertEqual(banned.banned, {name_of("alice")})
        pardoned = banned.adding([AUTHORITY.pardon(name_of("alice"), banned, NOW)], VERIFIER)
        self.assertEqual(pardoned.banned, {name_of("dave")})

    def test_words_of_an_admin_whom_an_admin_bans_count(self) -> None:
        roster = roster_of(ALICE.ban(name_of("dave"), EMPTY, NOW), BOB.ban(name_of("alice"), EMPTY, NOW + 1))
        self.assertEqual(roster.banned, {name_of("alice"), name_of("dave")})

    def test_words_said_with_a_certificate_that_the_authority_revokes_do_not_count(self) -> None:
        assert ALICE.certificate is not None
        serial = ALICE.certificate.certificate.serial
        roster = roster_of(
            ALICE.ban(name_of("dave"), EMPTY, NOW),
            BOB.revoke(name_of("alice"), serial + 5, EMPTY, NOW),
        )
        self.assertEqual(roster.banned, {name_of("dave")})
        revoked = roster.adding([AUTHORITY.revoke(name_of("alice"), serial + 1, EMPTY, NOW)], VERIFIER)
        self.assertEqual(revoked.banned, frozenset())

    def test_words_said_while_the_certificate_was_not_good_are_not_kept(self) -> None:
        assert ALICE.certificate is not None
        own = ALICE.certificate.certificate
        for time, kept in (
            (own.not_before - days(3), 0),
            (own.not_after, 1),
            (own.not_after + days(3), 0),
        ):
            ban = Statement(NETWORK, StatementKind.BAN, name_of("dave"), int(time))
            self.assertEqual(len(roster_of(said_by("alice", ALICE.certificate, ban))), kept)

    def test_only_the_authority_pardons(self) -> None:
        pardon = Statement(NETWORK, StatementKind.PARDON, name_of("dave"), int(NOW), 1)
        self.assertEqual(len(roster_of(said_by("alice", ALICE.certificate, pardon))), 0)
        self.assertRaises(NotAuthorized, ALICE.pardon, name_of("dave"), EMPTY, NOW)

    def test_only_admins_ban(self) -> None:
        self.assertRaises(NotAuthorized, INVITER.ban, name_of("dave"), EMPTY, NOW)

    def test_statement_of_another_network_is_not_kept(self) -> None:
        other = Issuer(key_of("other"))
        self.assertEqual(len(roster_of(other.ban(name_of("dave"), Roster(other.network), NOW))), 0)

    def test_ban_of_the_authority_goes_before_that_of_an_admin(self) -> None:
        roster = roster_of(
            ALICE.ban(name_of("dave"), EMPTY, NOW - 10), AUTHORITY.ban(name_of("dave"), EMPTY, NOW)
        )
        ban = roster.ban_of(name_of("dave"))
        assert ban is not None
        self.assertEqual(ban.issuer_text, "the authority")

    def test_second_ban_by_the_same_admin_is_the_first_one(self) -> None:
        first = ALICE.ban(name_of("dave"), EMPTY, NOW)
        self.assertEqual(ALICE.ban(name_of("dave"), roster_of(first), NOW + 100), first)

    def test_issuer_is_told_when_there_is_no_more_room(self) -> None:
        with patch.object(roster_module, "MAX_STATEMENTS_OF_AN_ADMIN", 1):
            first, second = sorted((name_of("dave"), name_of("erin")))
            roster = roster_of(ALICE.ban(first, EMPTY, NOW))
            error = self.assertRaises(NotAuthorized, ALICE.ban, second, roster, NOW)
            self.assertIn("no room", str(error))


class CodecTests(SynchronousTestCase):
    @given(made_by_admins)
    def test_statement_is_the_same_after_encoding_and_decoding(self, signed: SignedStatement) -> None:
        self.assertEqual(decode_statement(signed.encoded), signed)

    @given(st.binary(max_size=MAX_STATEMENT_BYTES + 1))
    def test_no_bytes_raise_anything_but_a_wire_error(self, data: bytes) -> None:
        with self.assertRaises(WireError):
            decode_statement(data)

    def test_changed_statement_is_not_kept(self) -> None:
        ban = ALICE.ban(name_of("dave"), EMPTY, NOW)
        said = replace(ban.statement, name=name_of("bob"))
        changed = signed_statement(said, encode_statement_body(said), ban.signature, ban.issuer_certificate)
        self.assertEqual(len(roster_of(changed)), 0)

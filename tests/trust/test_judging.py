"""Whether a certificate is good."""

from __future__ import annotations

from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.trust.certificate import CERTIFICATE_LABEL, MemberRole, SignedCertificate
from routing_crust.trust.codec import encode_body
from routing_crust.trust.issuing import Issuer
from routing_crust.trust.judging import Problem, Rejection, ends_soon, wants_renewal
from routing_crust.trust.networks import network_of

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
    judged,
    key_of,
    name_of,
)

CAROL = certified("carol", MemberRole.RELAY, ALICE)


def forged(issuer: Issuer, word: str, signed: SignedCertificate, **changes: object) -> SignedCertificate:
    """What an issuer signs that does not keep to the rules."""
    certificate = replace(signed.certificate, **changes)  # type: ignore[arg-type]
    body = encode_body(certificate)
    signature = key_of(word).sign(CERTIFICATE_LABEL, certificate.network, body)
    return SignedCertificate(certificate, body, signature, issuer.certificate)


class JudgeTests(SynchronousTestCase):
    def problem(self, found: Rejection | None) -> Problem | None:
        return None if found is None else found.problem

    def test_certificates_of_one_and_of_two_steps_are_good(self) -> None:
        self.assertIsNone(judged(CAROL, "carol"))
        self.assertIsNone(judged(ALICE.certificate, "alice"))

    def test_no_certificate_or_somebody_else_s_is_refused(self) -> None:
        self.assertEqual(self.problem(judged(None, "carol")), Problem.MISSING)
        self.assertEqual(self.problem(judged(CAROL, "dave")), Problem.OTHER_NAME)

    def test_certificate_of_another_network_is_refused(self) -> None:
        other = network_of(name_of("other"))
        self.assertEqual(self.problem(judged(CAROL, "carol", network=other)), Problem.OTHER_NETWORK)

    def test_issuer_of_another_network_counts_for_nothing(self) -> None:
        admin = Issuer(key_of("other")).issue(name_of("mallory"), "mallory", MemberRole.ADMIN.implied, NOW)
        signed = forged(Issuer(key_of("mallory"), admin), "mallory", CAROL)
        self.assertEqual(self.problem(judged(signed, "carol")), Problem.ISSUER)

    def test_signature_of_anybody_but_the_issuer_is_refused(self) -> None:
        self.assertEqual(self.problem(judged(forged(ALICE, "bob", CAROL), "carol")), Problem.BAD_SIGNATURE)
        self.assertEqual(
            self.problem(judged(forged(AUTHORITY, "alice", CAROL), "carol")), Problem.BAD_SIGNATURE
        )

    def test_admin_s_certificate_that_the_authority_has_not_signed_is_refused(self) -> None:
        assert ALICE.certificate is not None
        own = forged(AUTHORITY, "mallory", ALICE.certificate, name=name_of("mallory"))
        signed = forged(Issuer(key_of("mallory"), own), "mallory", CAROL)
        self.assertEqual(self.problem(judged(signed, "carol")), Problem.BAD_SIGNATURE)

    def test_what_an_issuer_may_not_give_is_refused_though_it_has_signed_it(self) -> None:
        for signed in (
            forged(ALICE, "alice", CAROL, roles=MemberRole.ADMIN.implied),
            forged(ALICE, "alice", CAROL, not_after=CAROL.certificate.not_after + int(days(9999))),
            forged(INVITER, "inviter", CAROL, tags=frozenset({"db"})),
        ):
            self.assertEqual(self.problem(judged(signed, "carol")), Problem.ISSUER)

    def test_member_cannot_issue(self) -> None:
        chain = SignedCertificate(CAROL.certificate, CAROL.body, CAROL.signature)
        dave = replace(CAROL.certificate, name=name_of("dave"))
        body = encode_body(dave)
        signature = key_of("carol").sign(CERTIFICATE_LABEL, NETWORK, body)
        found = judged(SignedCertificate(dave, body, signature, chain), "dave")
        self.assertEqual(self.problem(found), Problem.ISSUER)

    def test_clock_a_day_off_locks_nobody_out(self) -> None:
        own = CAROL.certificate
        self.assertIsNone(judged(CAROL, "carol", now=own.not_before - days(1)))
        self.assertIsNone(judged(CAROL, "carol", now=own.not_after + days(1)))
        self.assertEqual(self.problem(judged(CAROL, "carol", now=own.not_before - days(3))), Problem.NOT_YET)
        self.assertEqual(self.problem(judged(CAROL, "carol", now=own.not_after + days(3))), Problem.EXPIRED)

    def test_expired_certificate_may_ask_for_another_for_30_days(self) -> None:
        end = CAROL.certificate.not_after
        for after, may_ask in ((29, True), (31, False)):
            found = judged(CAROL, "carol", now=end + days(after))
            assert found is not None
            self.assertEqual(found.may_ask, may_ask)
            self.assertIn("its certificate has expired (on 2027-04-15 08:00 UTC; now is ", str(found))

    def test_ban_says_by_whom_when_and_why(self) -> None:
        roster = EMPTY.adding([ALICE.ban(name_of("carol"), EMPTY, NOW, "lost laptop")], VERIFIER)
        found = judged(CAROL, "carol", roster)
        assert found is not None
        self.assertEqual(
            str(found),
            f"it is banned (by alice ({name_of('alice').short}) on 2027-01-15 08:00 UTC: lost laptop)",
        )
        self.assertFalse(found.may_ask)

    def test_certificates_that_a_banned_admin_has_issued_are_refused_and_may_be_replaced(self) -> None:
        roster = EMPTY.adding([AUTHORITY.ban(name_of("alice"), EMPTY, NOW)], VERIFIER)
        found = judged(CAROL, "carol", roster)
        assert found is not None
        self.assertEqual(found.problem, Problem.ISSUER_BANNED)
        self.assertIn("by the authority on", str(found))
        self.assertTrue(found.may_ask)
        self.assertIsNone(judged(BOB.renew(CAROL.certificate, NOW), "carol", roster))

    def test_certificates_below_the_revoked_serial_are_refused(self) -> None:
        newer = BOB.renew(CAROL.certificate, NOW)
        statement = ALICE.revoke(name_of("carol"), newer.certificate.serial, EMPTY, NOW)
        roster = EMPTY.adding([statement], VERIFIER)
        self.assertEqual(self.problem(judged(CAROL, "carol", roster)), Problem.REVOKED)
        self.assertIsNone(judged(newer, "carol", roster))

    def test_certificates_issued_with_a_revoked_one_are_refused(self) -> None:
        assert ALICE.certificate is not None
        serial = ALICE.certificate.certificate.serial
        roster = EMPTY.adding([AUTHORITY.revoke(name_of("alice"), serial + 1, EMPTY, NOW)], VERIFIER)
        self.assertEqual(self.problem(judged(CAROL, "carol", roster)), Problem.ISSUER_REVOKED)

    def test_renewal_is_wanted_after_a_third_and_the_operator_warned_at_the_last_third(self) -> None:
        own = CAROL.certificate
        self.assertEqual([wants_renewal(own, NOW + days(each)) for each in (29, 31)], [False, True])
        self.assertEqual([ends_soon(own, NOW + days(each)) for each in (59, 61)], [False, True])

"""The directory of members: what is kept, in whatever order it comes, and what is shared."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.names import Name
from routing_crust.trust.certificate import MemberRole, SignedCertificate
from routing_crust.trust.codec import encode_certificate
from routing_crust.trust.issuing import Issuer
from routing_crust.trust.member_directory import (
    BUCKETS,
    MemberDirectory,
    bucket_of,
    certificate_id,
)

from .members import ALICE, AUTHORITY, BOB, INVITER, NOW, certified, days, name_of

NODE = MemberRole.NODE


def directory(*certificates: SignedCertificate, limit: int = 100) -> MemberDirectory:
    made = MemberDirectory(lambda signed: True, limit)
    for each in certificates:
        made.add(each)
    return made


def names_of(made: MemberDirectory) -> set[Name]:
    return {each.certificate.name for each in made.certificates}


def issued(issuer: Issuer, prefix: str, count: int) -> list[SignedCertificate]:
    return [certified(f"{prefix}{each}", NODE, issuer) for each in range(count)]


class KeptTests(SynchronousTestCase):
    def test_later_certificate_of_an_issuer_replaces_the_earlier_one(self) -> None:
        first, later = (certified("carol", NODE, ALICE, now) for now in (NOW, NOW + 60))
        for order in ((first, later), (later, first)):
            made = directory(*order)
            self.assertEqual(made.get(name_of("carol")), later)
            self.assertEqual(made.certificates, (later,))

    def test_certificate_that_is_known_is_not_new(self) -> None:
        made = directory()
        signed = certified("carol", NODE, ALICE)
        self.assertTrue(made.add(signed))
        self.assertFalse(made.add(signed))
        self.assertTrue(made.holds(certificate_id(encode_certificate(signed))))

    def test_latest_of_several_issuers_counts(self) -> None:
        later = certified("carol", NODE, BOB, NOW + 60)
        made = directory(certified("carol", NODE, ALICE), later)
        self.assertEqual(made.get(name_of("carol")), later)
        self.assertEqual(len(made), 1)

    def test_only_the_authority_changes_what_it_says_of_who_may_issue(self) -> None:
        """An inviter would take the role of an admin away."""
        admin = certified("dora", MemberRole.ADMIN)
        made = directory(admin, certified("dora", NODE, INVITER, NOW + 60))
        self.assertEqual(made.get(name_of("dora")), admin)
        demoted = certified("dora", NODE, AUTHORITY, NOW + 120)
        made.add(demoted)
        self.assertEqual(made.get(name_of("dora")), demoted)
        renewed = certified("dora", NODE, ALICE, NOW + 180)
        made.add(renewed)
        self.assertEqual(made.get(name_of("dora")), renewed)

    def test_who_became_known_first_comes_first_also_when_renewed(self) -> None:
        made = directory(certified("carol", NODE, ALICE), certified("dora", NODE, ALICE))
        made.add(certified("carol", NODE, ALICE, NOW + 60))
        self.assertEqual([each.certificate.nickname for each in made.values()], ["carol", "dora"])

    def test_what_cannot_be_renewed_any_more_is_left_out(self) -> None:
        made = directory(certified("carol", NODE, ALICE))
        self.assertEqual(made.prune(NOW + days(100)), 0)
        self.assertEqual(made.prune(NOW + days(121)), 1)
        self.assertNotIn(name_of("carol"), made)
        self.assertEqual(made.summary, directory().summary)


class BoundTests(SynchronousTestCase):
    def test_issuer_of_many_crowds_out_none_but_his_own(self) -> None:
        honest = issued(ALICE, "carol", 10)
        made = directory(*honest, *issued(INVITER, "spam", 100), limit=40)
        self.assertEqual(len(made), 40)
        self.assertLessEqual({each.certificate.name for each in honest}, names_of(made))

    def test_member_whose_certificate_another_issuer_copies_is_not_crowded_out(self) -> None:
        """The certificates of a thief go by the bound; the one before counts then."""
        own = certified("zoe", NODE, ALICE)
        made = directory(own, *issued(INVITER, "spam", 30), limit=20)
        for each in sorted(issued(INVITER, "more", 200), key=lambda each: each.certificate.name):
            made.add(each)
        made.add(certified("zoe", NODE, INVITER, NOW + 60))
        self.assertIn(name_of("zoe"), made)
        self.assertIn(own, made.certificates)

    def test_one_that_does_not_fit_is_not_new(self) -> None:
        largest = max(issued(ALICE, "carol", 30), key=lambda each: each.certificate.name)
        others = [each for each in issued(ALICE, "carol", 30) if each != largest]
        self.assertFalse(directory(*others, limit=10).add(largest))

    @given(st.permutations(range(24)), st.integers(4, 20))
    def test_order_of_arrival_does_not_matter(self, order: list[int], limit: int) -> None:
        found = [*issued(ALICE, "carol", 8), *issued(BOB, "dora", 8), *issued(INVITER, "carol", 8)]
        expected = directory(*found, limit=limit)
        made = directory(*(found[each] for each in order), limit=limit)
        self.assertEqual(set(made.certificates), set(expected.certificates))
        self.assertEqual(made.summary, expected.summary)
        self.assertLessEqual(len(made.certificates), limit)


class SharedTests(SynchronousTestCase):
    def test_summaries_tell_which_parts_differ(self) -> None:
        found = issued(ALICE, "carol", 20)
        one, other = directory(*found), directory(*found[:-1])
        self.assertEqual(other.differing(one.summary), [bucket_of(found[-1].certificate.name)])
        self.assertEqual(one.differing(one.summary), [])

    def test_missing_are_those_in_the_parts_without_the_ids(self) -> None:
        found = issued(ALICE, "carol", 20)
        one, other = directory(*found), directory(*found[:-3])
        parts = other.differing(one.summary)
        ids = frozenset(each for part in parts for each in other.ids_in(part))
        expected = sorted(map(encode_certificate, found[-3:]))
        self.assertEqual(sorted(one.missing(parts, ids)), expected)

    def test_parts_where_the_other_holds_nothing_are_not_asked_for(self) -> None:
        self.assertEqual(directory(*issued(ALICE, "carol", 20)).differing(directory().summary), [])

    def test_what_is_banned_is_kept_and_not_shared(self) -> None:
        banned: set[Name] = set()
        made = MemberDirectory(lambda signed: signed.certificate.name not in banned)
        carol, dora = certified("carol", NODE, ALICE), certified("dora", NODE, ALICE)
        made.add(carol)
        before = made.summary
        made.add(dora)
        banned.add(name_of("dora"))
        made.refresh()
        self.assertEqual(made.summary, before)
        self.assertEqual(made.missing(range(BUCKETS), frozenset()), [encode_certificate(carol)])
        self.assertEqual(made.get(name_of("dora")), dora)

    def test_revoked_one_that_was_replaced_is_dropped(self) -> None:
        old, new = certified("carol", NODE, BOB), certified("carol", NODE, ALICE, NOW + 60)
        revoked: list[SignedCertificate] = []
        made = MemberDirectory(lambda signed: signed not in revoked)
        made.add(old)
        made.add(new)
        revoked.append(old)
        made.refresh()
        self.assertEqual(made.certificates, (new,))

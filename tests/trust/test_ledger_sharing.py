"""What those who may issue certificates tell each other of invitations, and what they believe."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.errors import WireError
from routing_crust.trust import ledger_sharing
from routing_crust.trust.certificate import MAX_TAG_CHARACTERS, MAX_TAGS, MAX_TIME, Certificate, MemberRole
from routing_crust.trust.invitation import MAX_USES, SECRET_BYTES
from routing_crust.trust.ledger import Ledger, LedgerEntry
from routing_crust.trust.ledger_sharing import MAX_INVITERS, MAX_OVERUSES, frames_for, taking
from routing_crust.wire.framing import MAX_FRAME_BYTES

from .members import ALICE, BOB, INVITER, NOW, certified, name_of

NODE = frozenset((MemberRole.NODE,))
CAROL = certified("carol", MemberRole.NODE, ALICE).certificate
ALICE_OWN, BOB_OWN, INVITER_OWN = (
    each.certificate.certificate for each in (ALICE, BOB, INVITER) if each.certificate is not None
)


EMPTY = Ledger()


def entry(word: str, **given: object) -> LedgerEntry:
    secret = word.encode().ljust(SECRET_BYTES, b".")
    return replace(LedgerEntry(secret, int(NOW) + 1000, 2, "", NODE), **given)  # type: ignore[arg-type]


def told(ledger: Ledger, own: Certificate, peer: Certificate, to: Ledger = EMPTY) -> Ledger:
    """What is in the ledger of C{peer} after C{own} has told it of its own."""
    for payload in frames_for(ledger, own, peer, NOW):
        to = taking(to, peer, own, payload, NOW)
    return to


class TellingTests(SynchronousTestCase):
    def test_admins_know_each_others_invitations(self) -> None:
        one = entry("one", used_by=(name_of("dora"),), tags=frozenset(("web",)), allow=("ssh",))
        (found,) = told(Ledger((one,)), ALICE_OWN, BOB_OWN).entries
        self.assertEqual(found, replace(one, inviter=ALICE_OWN.name, allow=()))

    def test_what_only_the_authority_gives_stays_with_its_inviter(self) -> None:
        one = entry("one", roles=frozenset((MemberRole.ADMIN,)))
        self.assertEqual(told(Ledger((one,)), ALICE_OWN, BOB_OWN).entries, ())

    def test_admin_tells_an_inviter_of_its_own_only(self) -> None:
        own = entry("one", inviter=INVITER_OWN.name, used_by=(name_of("dora"),))
        ledger = Ledger((own, entry("two"), entry("three", inviter=BOB_OWN.name)))
        (found,) = told(ledger, ALICE_OWN, INVITER_OWN, Ledger((entry("one"),))).entries
        self.assertEqual(found, entry("one", used_by=(name_of("dora"),)))

    def test_inviter_tells_admins_and_nobody_else(self) -> None:
        ledger = Ledger((entry("one"),))
        self.assertEqual(len(told(ledger, INVITER_OWN, ALICE_OWN).entries), 1)
        other = certified("other", MemberRole.INVITE).certificate
        self.assertEqual(list(frames_for(ledger, INVITER_OWN, other, NOW)), [])

    def test_many_users_and_many_invitations_go_in_pieces(self) -> None:
        users = tuple(name_of(f"user{each}") for each in range(600))
        ledger = Ledger((entry("one", uses=1000, used_by=users), *(entry(f"n{each}") for each in range(80))))
        found = told(ledger, ALICE_OWN, BOB_OWN)
        self.assertEqual(len(found.entries), 81)
        self.assertEqual(found.entries[0].used_by, users)

    def test_no_frame_is_larger_than_a_link_takes(self) -> None:
        """However many have redeemed invitations whose entries are as long as they can be."""
        users = tuple(name_of(f"user{each}") for each in range(2000))
        tags = frozenset(f"{each}".ljust(MAX_TAG_CHARACTERS, "x") for each in range(MAX_TAGS))
        one = entry("one", uses=MAX_USES, nickname="n" * 32, tags=tags, used_by=users, expiry=MAX_TIME)
        frames = list(frames_for(Ledger((one,)), ALICE_OWN, BOB_OWN, NOW))
        self.assertEqual(max(map(len, frames)) // MAX_FRAME_BYTES, 0)
        self.assertEqual(told(Ledger((one,)), ALICE_OWN, BOB_OWN).entries[0].used_by, users)


class BelievingTests(SynchronousTestCase):
    def test_users_that_an_inviter_tells_of_are_bounded(self) -> None:
        """Their names cost it nothing."""
        users = tuple(name_of(f"user{each}") for each in range(1000))
        one = entry("one", used_by=users)
        kept = told(Ledger((one,)), INVITER_OWN, ALICE_OWN)
        self.assertEqual(len(kept.entries[0].used_by), one.uses + MAX_OVERUSES)
        self.assertIs(told(Ledger((one,)), INVITER_OWN, ALICE_OWN, kept), kept)

    def test_users_of_all_invitations_of_an_inviter_are_bounded(self) -> None:
        self.patch(ledger_sharing, "MAX_USERS_OF_AN_INVITER", 100)
        users = tuple(name_of(f"user{each}") for each in range(40))
        ledger = Ledger(tuple(entry(word, uses=1000, used_by=users) for word in ("one", "two", "three")))
        kept = told(ledger, INVITER_OWN, ALICE_OWN).entries
        self.assertEqual([len(each.used_by) for each in kept], [40, 40, 20])

    def test_inviter_gains_no_tag_by_telling_of_an_invitation(self) -> None:
        """It knows the secret, and would redeem it with the admin."""
        given = Ledger((entry("one", tags=frozenset(("admins",))),))
        self.assertEqual(told(given, INVITER_OWN, ALICE_OWN).entries, ())
        own = Ledger((entry("one", tags=frozenset(("web",))),))
        self.assertEqual(len(told(own, INVITER_OWN, ALICE_OWN).entries), 1)

    def test_inviter_is_not_believed_about_the_invitations_of_others(self) -> None:
        mine = Ledger((entry("one"),))
        lie = Ledger((entry("one", inviter=ALICE_OWN.name, void=True), entry("two", inviter=BOB_OWN.name)))
        for payload in frames_for(lie, replace(INVITER_OWN, roles=MemberRole.ADMIN.implied), ALICE_OWN, NOW):
            self.assertIs(taking(mine, ALICE_OWN, INVITER_OWN, payload, NOW), mine)

    def test_plain_member_is_not_believed(self) -> None:
        for payload in frames_for(Ledger((entry("one"),)), INVITER_OWN, ALICE_OWN, NOW):
            self.assertEqual(taking(Ledger(), ALICE_OWN, CAROL, payload, NOW).entries, ())

    def test_invitation_of_ours_is_not_made_by_being_told(self) -> None:
        lie = Ledger((entry("one", inviter=ALICE_OWN.name),))
        self.assertEqual(told(lie, BOB_OWN, ALICE_OWN).entries, ())

    def test_one_with_the_same_secret_and_other_contents_changes_nothing(self) -> None:
        mine = Ledger((entry("one"),))
        lie = Ledger((entry("one", inviter=ALICE_OWN.name, uses=1000),))
        self.assertIs(told(lie, BOB_OWN, ALICE_OWN, mine), mine)

    def test_copies_of_few_inviters_are_kept(self) -> None:
        entries = (entry(f"n{each}", inviter=name_of(f"admin{each}")) for each in range(2 * MAX_INVITERS))
        self.assertEqual(len(told(Ledger(tuple(entries)), ALICE_OWN, BOB_OWN).entries), MAX_INVITERS)

    def test_copy_that_has_expired_is_forgotten(self) -> None:
        ledger = told(Ledger((entry("one"),)), ALICE_OWN, BOB_OWN)
        (payload,) = frames_for(Ledger((entry("two", expiry=int(NOW) + 9000),)), ALICE_OWN, BOB_OWN, NOW)
        later = taking(ledger, BOB_OWN, ALICE_OWN, payload, NOW + 2000)
        self.assertEqual([each.secret for each in later.entries], [entry("two").secret])

    def test_what_is_no_list_is_refused(self) -> None:
        self.assertRaises(WireError, taking, Ledger(), ALICE_OWN, BOB_OWN, b"what", NOW)

    @given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 5), st.booleans()), max_size=12))
    def test_two_that_tell_each_other_come_to_hold_the_same(self, uses: list[tuple[str, int, bool]]) -> None:
        """Whatever each of them has let in while they were apart."""
        start = {"a": Ledger((entry("one"),)), "b": told(Ledger((entry("one"),)), ALICE_OWN, BOB_OWN)}
        which = entry("one").id
        for who, user, void in uses:
            start[who] = start[who].spending(which, name_of(f"user{user}"))
            start[who] = start[who].voiding(which) if void else start[who]
        one = told(start["b"], BOB_OWN, ALICE_OWN, start["a"])
        other = told(start["a"], ALICE_OWN, BOB_OWN, start["b"])
        for found, expected in zip(one.entries, other.entries, strict=True):
            self.assertEqual((set(found.used_by), found.void), (set(expected.used_by), expected.void))

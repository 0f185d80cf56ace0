"""The line of an invitation, and the inviter's ledger."""

from __future__ import annotations

from dataclasses import replace
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.endpoints import Endpoint
from routing_crust.errors import InvalidInvitation, LimitReached
from routing_crust.hosts.contacts import NamedContact
from routing_crust.trust import invitation as invitation_module
from routing_crust.trust.certificate import MemberRole
from routing_crust.trust.invitation import (
    MAX_INVITATION_ENDPOINTS,
    Invitation,
    endpoints_beside,
    invitation_id,
)
from routing_crust.trust.ledger import KEPT_AFTER_EXPIRY_SECONDS, MAX_OPEN_INVITATIONS, Ledger, LedgerEntry

from ..strategies import endpoints
from .members import NETWORK, NOW, name_of

INVITATION = Invitation(
    NETWORK,
    name_of("alice"),
    (Endpoint.of("192.0.2.7", 5483), Endpoint.of("2001:db8::7", 5483)),
    b"0123456789abcdef",
    int(NOW) + 86400,
    3,
)
TEXT = INVITATION.text
ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"


hosts = st.builds(
    NamedContact,
    st.from_regex(r"[a-z][a-z0-9]{0,20}\.[a-z]{2,20}", fullmatch=True),
    st.integers(1, 65535),
)


def _place(host: str, port: int) -> bytes:
    return bytes([0, len(host)]) + host.encode() + port.to_bytes(2, "big")


class LineTests(SynchronousTestCase):
    def refused(self, text: str) -> str:
        return str(self.assertRaises(InvalidInvitation, Invitation.from_text, text))

    @given(
        st.lists(endpoints, max_size=MAX_INVITATION_ENDPOINTS).map(tuple),
        st.binary(min_size=16, max_size=16),
        st.integers(0, 2**40 - 1),
        st.integers(1, 10_000),
        st.lists(hosts, max_size=2).map(tuple),
    )
    def test_invitation_is_the_same_after_it_was_written_and_read(
        self,
        where: tuple[Endpoint, ...],
        secret: bytes,
        expiry: int,
        uses: int,
        named: tuple[NamedContact, ...],
    ) -> None:
        kept = endpoints_beside(named, where)
        invitation = Invitation(NETWORK, name_of("alice"), kept, secret, expiry, uses, named)
        self.assertEqual(Invitation.from_text(invitation.text), invitation)

    def test_as_many_addresses_are_kept_beside_host_names_as_the_line_has_room_for(self) -> None:
        where = tuple(Endpoint.of(f"2001:db8::{each}", 5483) for each in range(MAX_INVITATION_ENDPOINTS))
        self.assertEqual(endpoints_beside((), where), where)
        # 160 bytes are left for places: 4 and the host name, and 19 for each address
        for characters, room in ((46, 5), (61, 5), (62, 4), (80, 4), (81, 3)):
            host = NamedContact(f"{'a' * 40}.{'b' * (characters - 41)}", 5483)
            self.assertEqual(endpoints_beside((host,), where), where[:room])

    def test_host_names_that_no_line_can_say_are_refused(self) -> None:
        long = NamedContact(".".join(["a" * 50] * 4), 5483)
        for hosts, what in (
            ((long,), "no room for these host names"),
            ((NamedContact("example.org", 0),), "no place for dns:example.org"),
            ((NamedContact("example.org", 1, name_of("alice")),), "write host:port"),
        ):
            problem = self.assertRaises(InvalidInvitation, replace, INVITATION, hosts=hosts)
            self.assertIn(what, str(problem))

    def test_line_that_names_what_is_no_host_is_refused(self) -> None:
        for host, port in (("192.0.2.1", 1), ("Upper.example", 1), ("a b", 1), ("example.org", 0)):
            line = replace(INVITATION, hosts=(NamedContact("home", 1),), endpoints=())
            # no invitation says this, so its bytes are changed
            with mock.patch.object(invitation_module, "_encode_places", return_value=_place(host, port)):
                text = line.text
            self.assertIn("cannot be used", self.refused(text))

    def test_line_may_be_broken_and_in_upper_case(self) -> None:
        broken = f"  {TEXT[:40].upper()}\n {TEXT[40:]}\n"
        self.assertEqual(Invitation.from_text(broken), INVITATION)

    def test_line_has_only_letters_and_digits(self) -> None:
        self.assertTrue(TEXT.isalnum() and TEXT.isascii())
        self.assertLess(len(TEXT), 250)

    def test_every_single_wrong_character_is_found_where_it_is(self) -> None:
        for at in range(3, len(TEXT)):
            other = ALPHABET[(ALPHABET.index(TEXT[at]) + 1 + at) % 32]
            if other == TEXT[at]:
                continue
            begin = (at - 3) // 16 * 16 + 4
            problem = self.refused(TEXT[:at] + other + TEXT[at + 1 :])
            self.assertIn(f"mistyped: look at characters {begin} to ", problem)

    def test_every_torn_line_is_said_to_be_torn(self) -> None:
        for length in range(len("rc1"), len(TEXT)):
            problem = self.refused(TEXT[:length])
            self.assertIn("is torn: it ", problem)
            self.assertIn(f" {length} characters", problem)

    def test_line_that_goes_on_is_refused(self) -> None:
        self.assertIn("goes on where it should end", self.refused(TEXT + "a"))

    def test_missing_character_is_looked_for_where_the_checks_begin_to_fail(self) -> None:
        for at in (40, 100):
            begin = (at - 3) // 16 * 16 + 4
            self.assertIn(f"not right from characters {begin} to", self.refused(TEXT[:at] + TEXT[at + 1 :]))

    def test_exchanged_characters_and_groups_are_refused(self) -> None:
        for at in range(3, len(TEXT) - 1):
            changed = TEXT[:at] + TEXT[at + 1] + TEXT[at] + TEXT[at + 2 :]
            if changed != TEXT:
                self.refused(changed)
        self.refused(TEXT[:19] + TEXT[35:51] + TEXT[19:35] + TEXT[51:])

    def test_other_texts_are_told_what_an_invitation_is(self) -> None:
        self.assertIn("does not begin with 'rc1'", self.refused("hello"))
        self.assertIn("mistyped at character 6: it holds only a to z", self.refused("rc1ab!"))

    @given(st.text(alphabet=ALPHABET, max_size=300))
    def test_no_text_raises_anything_but_an_invalid_invitation(self, text: str) -> None:
        self.refused("rc1" + text)

    def test_short_text_whose_checks_hold_is_refused(self) -> None:
        for length in range(1, 16):
            for check in ALPHABET:
                self.refused("rc1" + "a" * length + check)

    def test_secret_is_not_in_its_repr(self) -> None:
        self.assertNotIn("0123456789abcdef", repr(INVITATION))

    def test_id_says_which_invitation_it_is_and_nothing_of_the_secret(self) -> None:
        which = invitation_id(INVITATION.secret)
        self.assertEqual(which, invitation_id(INVITATION.secret))
        self.assertNotEqual(which, invitation_id(b"another secret.."))
        self.assertNotIn(INVITATION.secret[:4], which)

    def test_invitation_expires(self) -> None:
        self.assertFalse(INVITATION.is_expired(NOW))
        self.assertTrue(INVITATION.is_expired(NOW + 86401))

    def test_what_no_line_can_say_is_refused(self) -> None:
        for changes in ({"uses": 0}, {"secret": b"short"}, {"endpoints": INVITATION.endpoints * 4}):
            with self.assertRaises(InvalidInvitation):
                replace(INVITATION, **changes)  # type: ignore[arg-type]


class LedgerTests(SynchronousTestCase):
    entry = LedgerEntry(b"0123456789abcdef", int(NOW) + 100, 2, "", MemberRole.RELAY.implied)

    def test_invitation_is_used_as_often_as_it_may_be(self) -> None:
        ledger = Ledger().adding(self.entry, NOW)
        for word, left in (("carol", True), ("carol", True), ("dave", False)):
            ledger = ledger.spending(self.entry.id, name_of(word))
            found = ledger.find(self.entry.id)
            assert found is not None
            self.assertEqual(found.is_used_up_for(name_of("erin")), not left)
            self.assertFalse(found.is_used_up_for(name_of(word)))

    def test_unknown_invitation_is_not_found(self) -> None:
        self.assertIsNone(Ledger().adding(self.entry, NOW).find(invitation_id(b"another secret..")))

    def test_expired_invitation_is_kept_for_a_while(self) -> None:
        ledger = Ledger().adding(self.entry, NOW)
        other = replace(self.entry, secret=b"another secret..", expiry=int(NOW) + 10**9)
        later = ledger.adding(other, self.entry.expiry + 1.0)
        found = later.find(self.entry.id)
        assert found is not None
        self.assertTrue(found.is_expired(self.entry.expiry + 1.0))
        much_later = later.adding(self.entry, self.entry.expiry + KEPT_AFTER_EXPIRY_SECONDS + 1.0)
        self.assertEqual(len(much_later.entries), 2)

    def test_ledger_is_bounded_and_what_cannot_be_used_makes_room(self) -> None:
        usable = [replace(self.entry, secret=bytes([each]) * 16) for each in range(MAX_OPEN_INVITATIONS)]
        full = Ledger(tuple(usable))
        error = self.assertRaises(LimitReached, full.adding, self.entry, NOW)
        self.assertIn("too many invitations", str(error))
        self.assertEqual(len(full.adding(self.entry, self.entry.expiry + 1.0).entries), 1)

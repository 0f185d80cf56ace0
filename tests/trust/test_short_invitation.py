"""Short invitations: their characters, and the secret that is made of them."""

from __future__ import annotations

from unittest import mock

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.endpoints import Endpoint
from routing_crust.errors import InvalidInvitation
from routing_crust.trust import short_invitation
from routing_crust.trust.invitation import ALPHABET, Invitation
from routing_crust.trust.short_invitation import RANDOM_BITS, ShortInvitation, invitation_from_text

from ..strategies import endpoints
from .members import NETWORK, NOW, name_of

AT = Endpoint.of("192.0.2.7", 5483)
SHORT = ShortInvitation(AT, 0x123456789ABCD)
TEXT = "yaaaeb2i2fm6e2xtln"


class ShortInvitationTests(SynchronousTestCase):
    @given(endpoints, st.integers(0, (1 << RANDOM_BITS) - 1))
    def test_it_is_the_same_after_it_was_written_and_read(self, endpoint: Endpoint, number: int) -> None:
        short = ShortInvitation(endpoint, number)
        self.assertEqual(invitation_from_text(short.text), short)

    def test_characters_and_secret_stay_what_they_are(self) -> None:
        self.assertEqual(SHORT.text, TEXT)
        self.assertEqual(SHORT.secret().hex(), "cd4537544f9646775af15846df5d0cb3")

    def test_length_says_what_the_place_is(self) -> None:
        for host, port, characters in (
            ("192.0.2.7", 5483, 18),
            ("192.0.2.7", 1024, 21),
            ("2001:db8::7", 5483, 37),
            ("2001:db8::7", 1024, 40),
        ):
            self.assertEqual(len(ShortInvitation.at(Endpoint.of(host, port)).text), characters)

    def test_it_may_be_read_out_in_groups_and_in_any_case(self) -> None:
        for written in (f"{TEXT[:6]}-{TEXT[6:12]}-{TEXT[12:]}", f" {TEXT[:9]}  {TEXT[9:]}\n", TEXT.upper()):
            self.assertEqual(invitation_from_text(written), SHORT)

    def test_wrong_character_is_noticed(self) -> None:
        passed = []
        for at, right in enumerate(TEXT):
            for wrong in set(ALPHABET + "018!") - {right}:
                mistyped = TEXT[:at] + wrong + TEXT[at + 1 :]
                try:
                    passed.append(ShortInvitation.from_text(mistyped))
                except InvalidInvitation as error:
                    self.assertIn("compare it with what was read out", str(error))
        # 8 bits check the others
        self.assertLess(len(passed), 8)

    def test_usual_port_is_not_written_out(self) -> None:
        with mock.patch.object(short_invitation, "DEFAULT_PORT", 1):
            longer = SHORT.text
        self.assertEqual(len(longer), 21)
        self.assertRaises(InvalidInvitation, ShortInvitation.from_text, longer)

    def test_secret_depends_on_the_place_and_on_the_bits(self) -> None:
        others = (
            ShortInvitation(Endpoint.of("192.0.2.8", 5483), SHORT.number),
            ShortInvitation(Endpoint.of("192.0.2.7", 5484), SHORT.number),
            ShortInvitation(AT, SHORT.number + 1),
        )
        secrets = {each.secret() for each in (SHORT, *others)}
        self.assertEqual({len(each) for each in secrets}, {16})
        self.assertEqual(len(secrets), 4)

    def test_bits_are_not_shown(self) -> None:
        self.assertNotIn(str(SHORT.number), repr(SHORT))

    def test_whole_line_is_still_read_as_one(self) -> None:
        line = Invitation(NETWORK, name_of("alice"), (AT,), b"s" * 16, int(NOW))
        self.assertEqual(invitation_from_text(line.text), line)
        # whatever its length is after it was torn
        error = self.assertRaises(InvalidInvitation, invitation_from_text, line.text[:18])
        self.assertIn("it ends after 18 characters", str(error))

    def test_what_is_neither_is_told_what_both_look_like(self) -> None:
        error = self.assertRaises(InvalidInvitation, invitation_from_text, TEXT[:17])
        self.assertIn("a short one has 18, 21, 37, 40 characters, and this has 17", str(error))

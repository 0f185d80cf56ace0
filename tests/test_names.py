"""Names and their distance."""

from __future__ import annotations

import copy
import pickle

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.errors import InvalidName
from routing_crust.identity import Identity
from routing_crust.names import NAME_BITS, NAME_BYTES, NAME_CHARACTERS, Name
from tests.strategies import names


def read_or_none(text: str) -> Name | None:
    try:
        return Name.from_text(text)
    except InvalidName:
        return None


class NameTests(SynchronousTestCase):
    def test_name_is_the_raw_public_key(self) -> None:
        identity = Identity.from_seed(bytes(32))
        self.assertEqual(identity.name.raw, identity.private_key.public_key().public_bytes_raw())

    def test_name_of_another_length_than_32_bytes_is_refused(self) -> None:
        """Anything but 32 bytes is refused, and the error says how many there were."""
        for count in (0, 31, 33, 64):
            error = self.assertRaises(InvalidName, Name, bytes(count))
            self.assertIn(str(count), str(error))

    def test_text_form_is_lower_case_base32_without_padding(self) -> None:
        """The text form is RFC 4648's base32, lower case, without padding."""
        self.assertEqual(str(Name(bytes(32))), "a" * 52)
        self.assertEqual(str(Name(b"\xff" * 32)), "7" * 51 + "q")
        self.assertEqual(str(Name(bytes(31) + b"\x01")), "a" * 51 + "q")

    def test_short_form_has_eight_characters(self) -> None:
        """Logs show the first eight characters."""
        name = Name(b"\xff" * 32)
        self.assertEqual((name.short, repr(name)), ("77777777", "<Name 77777777>"))

    @given(names)
    def test_name_reads_back_from_its_text(self, name: Name) -> None:
        """The text form has one length, one alphabet, and means the same name again, in either case."""
        text = str(name)
        self.assertEqual(len(text), NAME_CHARACTERS)
        self.assertEqual(set(text) - set("abcdefghijklmnopqrstuvwxyz234567"), set())
        self.assertEqual(Name.from_text(text), name)
        self.assertEqual(Name.from_text(text.upper()), name)

    @given(st.text(max_size=60) | st.text("ab27= \u0131\u017f\u212a", min_size=52, max_size=52))
    def test_any_text_is_the_text_form_of_a_name_or_is_refused(self, text: str) -> None:
        try:
            name = Name.from_text(text)
        except InvalidName as error:
            self.assertIn(repr(text), str(error))
        else:
            self.assertEqual(str(name), text.lower())

    def test_damaged_text_is_refused_with_the_reason(self) -> None:
        """What is wrong is said: the length, the characters or the spare bits."""
        good = str(Identity.from_seed(bytes(32)).name)
        for text, complaint in (
            ("", "52 characters, and this has 0"),
            (good[:-1], "and this has 51"),
            (good + "a", "and this has 53"),
            ("0" + good[1:], "only a to z"),
            ("1" + good[1:], "only a to z"),
            ("8" + good[1:], "only a to z"),
            (" " + good[1:], "only a to z"),
            ("\u0131" + good[1:], "only a to z"),  # a dotless i upper-cases to an ASCII letter
            ("\u212a" + good[1:], "only a to z"),  # the Kelvin sign lower-cases to one
            (good[:50] + "==", "only a to z"),
            (good[:-1] + "b", "its last character is damaged"),
        ):
            error = self.assertRaises(InvalidName, Name.from_text, text)
            self.assertIn(complaint, str(error))

    @given(names)
    def test_each_name_has_one_text(self, name: Name) -> None:
        """No other last character means the same name, though base32 has four spare bits there."""
        text = str(name)
        spellings = [text[:-1] + each for each in "abcdefghijklmnopqrstuvwxyz234567"]
        found = [each for each in map(read_or_none, spellings) if each not in (None, name)]
        self.assertEqual(len(found), 1)  # the one other value of the last bit
        self.assertEqual(name.distance(found[0] or name), 1)

    def test_equal_names_are_one_value(self) -> None:
        """Equal by content, and no other type is equal."""
        one, same = Name(b"\x01" * 32), Name(b"\x01" * 32)
        self.assertEqual(one, same)
        self.assertEqual(hash(one), hash(same))
        self.assertEqual(len({one, same}), 1)
        self.assertNotEqual(one, one.raw)
        self.assertNotEqual(one, Name(b"\x02" * 32))
        self.assertEqual(copy.deepcopy(one), one)
        self.assertEqual(pickle.loads(pickle.dumps(one)), one)

    def test_has_no_order_with_other_types(self) -> None:
        """Comparing with something else is a TypeError, as for any value."""
        with self.assertRaises(TypeError):
            _ = Name(bytes(32)) < 5  # type: ignore[operator]
        with self.assertRaises(TypeError):
            _ = Name(bytes(32)) >= bytes(32)  # type: ignore[operator]


class DistanceTests(SynchronousTestCase):
    """The XOR metric."""

    @given(names, names)
    def test_distance_is_symmetric_and_zero_only_to_the_same_name(self, a: Name, b: Name) -> None:
        """Only a name itself is at distance 0, and the way back is as long."""
        self.assertEqual(a.distance(a), 0)
        self.assertEqual(a.distance(b) == 0, a == b)
        self.assertEqual(a.distance(b), b.distance(a))
        self.assertTrue(0 <= a.distance(b) < 2**NAME_BITS)

    @given(names, names, names)
    def test_no_detour_is_shorter_than_the_direct_distance(self, a: Name, b: Name, c: Name) -> None:
        """No detour is shorter; and XOR of two distances is the third."""
        self.assertLessEqual(a.distance(c), a.distance(b) + b.distance(c))
        self.assertEqual(a.distance(c), a.distance(b) ^ b.distance(c))

    @given(names, st.integers(0, 2**NAME_BITS - 1))
    def test_each_distance_leads_to_exactly_one_name(self, a: Name, distance: int) -> None:
        """For each distance there is exactly one name that far away."""
        other = Name((a.number ^ distance).to_bytes(NAME_BYTES, "big"))
        self.assertEqual(a.distance(other), distance)

    @given(names, names, names)
    def test_prefix_agrees_with_distance(self, a: Name, b: Name, c: Name) -> None:
        """A longer common prefix is always nearer."""
        if a.common_prefix(b) > a.common_prefix(c):
            self.assertLess(a.distance(b), a.distance(c))

    @given(names, st.integers(0, NAME_BITS - 1))
    def test_common_prefix_counts_leading_bits_up_to_the_first_difference(self, a: Name, bit: int) -> None:
        other = Name((a.number ^ (1 << (NAME_BITS - 1 - bit))).to_bytes(NAME_BYTES, "big"))
        self.assertEqual(a.common_prefix(other), bit)
        self.assertEqual(a.common_prefix(a), NAME_BITS)

    @given(names, names)
    def test_names_are_ordered_as_numbers_and_as_bytes(self, a: Name, b: Name) -> None:
        self.assertEqual(a < b, a.raw < b.raw)
        self.assertEqual(a <= b, a.raw <= b.raw)
        self.assertEqual(a > b, a.raw > b.raw)
        self.assertEqual(sorted([b, a]), sorted([a, b]))

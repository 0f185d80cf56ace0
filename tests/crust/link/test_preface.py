"""Prefaces: what they hold, and what is not one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.crust.link.preface import MAGIC, PREFACE_BYTES, TLS_HANDSHAKE, Preface, may_become_preface

tokens = st.binary(min_size=1, max_size=32)
prefaces = st.builds(Preface.of, tokens, st.booleans(), st.booleans())


class PrefaceTests(SynchronousTestCase):
    @given(prefaces, st.binary(max_size=50))
    def test_preface_is_read_as_it_was_sent(self, preface: Preface, more: bytes) -> None:
        """Bytes that follow make no difference."""
        self.assertEqual(len(preface.octets), PREFACE_BYTES)
        self.assertEqual(Preface.read(preface.octets + more), preface)

    @given(prefaces, st.integers(0, PREFACE_BYTES - 1))
    def test_prefix_of_a_preface_may_become_one(self, preface: Preface, size: int) -> None:
        self.assertTrue(may_become_preface(preface.octets[:size]))
        self.assertIsNone(Preface.read(preface.octets[:size]))

    @given(st.binary(max_size=60))
    def test_data_without_the_magic_number_is_no_preface(self, data: bytes) -> None:
        if not data.startswith(MAGIC[: len(data)]):
            self.assertFalse(may_become_preface(data))
            self.assertIsNone(Preface.read(data))

    def test_first_byte_tells_a_preface_from_tls(self) -> None:
        self.assertFalse(may_become_preface(TLS_HANDSHAKE))
        self.assertTrue(may_become_preface(Preface.of(b"t", True, True).octets))

    def test_preface_with_unknown_flags_is_refused(self) -> None:
        """A later version may use them."""
        octets = bytearray(Preface.of(b"t", True, True).octets)
        octets[len(MAGIC)] |= 4
        self.assertIsNone(Preface.read(bytes(octets)))
        self.assertFalse(may_become_preface(bytes(octets)))

    def test_echoed_preface_proves_nothing(self) -> None:
        """The two ends show different values, and neither shows the token."""
        ours, theirs = (Preface.of(b"token", requester, True) for requester in (True, False))
        self.assertNotEqual(ours.proof, theirs.proof)
        self.assertNotIn(b"token", ours.octets)
        self.assertEqual(ours.proof, Preface.of(b"token", True, False).proof)
        self.assertNotEqual(ours.proof, Preface.of(b"other", True, True).proof)

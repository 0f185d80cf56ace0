"""Certificates: what they can say, how they are encoded, who may issue which."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.errors import InvalidCertificate, InvalidName, NotAuthorized, WireError
from routing_crust.trust.certificate import MAX_TAG_CHARACTERS, MAX_TAGS, MemberRole
from routing_crust.trust.codec import decode_certificate, encode_certificate
from routing_crust.trust.issuing import Issuer, is_authority_of
from routing_crust.trust.networks import authority_of, is_private
from routing_crust.wire.fields import MAX_CERTIFICATE_BYTES

from .members import ALICE, AUTHORITY, BOB, INVITER, NETWORK, NOW, certified, days, judged, key_of, name_of

TEXT = st.from_regex(r"[a-z0-9]{1,24}", fullmatch=True)


class NetworkTests(SynchronousTestCase):
    def test_id_of_a_private_network_is_the_public_key_of_its_authority(self) -> None:
        authority = name_of("authority")
        self.assertEqual(NETWORK, f"key:{authority}")
        self.assertEqual(authority_of(NETWORK), authority)
        self.assertTrue(is_private(NETWORK))
        self.assertFalse(is_private("home"))
        self.assertTrue(is_authority_of(key_of("authority"), NETWORK))
        self.assertFalse(is_authority_of(key_of("alice"), NETWORK))
        self.assertFalse(is_authority_of(key_of("alice"), "home"))

    def test_a_network_has_one_id(self) -> None:
        for text in ("home", "key:", NETWORK[:-1], "key:" + str(name_of("authority")).upper()):
            with self.assertRaises(InvalidName):
                authority_of(text)


class CertificateTests(SynchronousTestCase):
    good = certified("carol", MemberRole.RELAY, ALICE, tags=("db",)).certificate

    def refused(self, **changes: object) -> str:
        error = self.assertRaises(InvalidCertificate, replace, self.good, **changes)
        return str(error)

    def test_certificate_refuses_what_it_cannot_say_and_says_why(self) -> None:
        self.assertIn("32 letters", self.refused(nickname="a b"))
        self.assertIn("needs a role", self.refused(roles=frozenset()))
        self.assertIn("'x y' cannot be a tag", self.refused(tags=frozenset({"x y"})))
        self.assertIn("at most 8 tags", self.refused(tags=frozenset(str(each) for each in range(9))))
        self.assertIn("cannot be a tag", self.refused(tags=frozenset({"x" * (MAX_TAG_CHARACTERS + 1)})))
        self.assertIn("must end after it begins", self.refused(not_after=self.good.not_before))
        with self.assertRaises(InvalidName):
            replace(self.good, network="home")

    def test_a_role_implies_the_lesser_ones_except_client(self) -> None:
        self.assertEqual(MemberRole.CLIENT.implied, {MemberRole.CLIENT})
        self.assertEqual(MemberRole.RELAY.implied, {MemberRole.NODE, MemberRole.RELAY})
        self.assertEqual(MemberRole.ADMIN.implied, set(MemberRole) - {MemberRole.CLIENT})
        self.assertEqual(MemberRole.from_text("Admin"), MemberRole.ADMIN)
        error = self.assertRaises(InvalidCertificate, MemberRole.from_text, "king")
        self.assertEqual(str(error), "'king' is not a role: the roles are client, node, relay, invite, admin")

    def test_certificate_says_what_its_holder_may_do(self) -> None:
        client = certified("dave", MemberRole.CLIENT, ALICE).certificate
        self.assertFalse(client.may_be_node)
        self.assertTrue(self.good.may_be_node)
        self.assertFalse(self.good.may_issue)
        assert INVITER.certificate is not None
        self.assertTrue(INVITER.certificate.certificate.may_issue)
        self.assertFalse(INVITER.certificate.certificate.is_admin)
        self.assertEqual(str(self.good), f"carol ({name_of('carol').short})")


class CodecTests(SynchronousTestCase):
    @given(st.sampled_from([AUTHORITY, ALICE]), TEXT, st.sets(TEXT, max_size=MAX_TAGS))
    def test_certificate_is_the_same_after_encoding_and_decoding(
        self, issuer: Issuer, nickname: str, tags: set[str]
    ) -> None:
        signed = issuer.issue(name_of("erin"), nickname, MemberRole.RELAY.implied, NOW, tags=tags)
        again = decode_certificate(encode_certificate(signed))
        self.assertEqual(again, signed)
        self.assertIsNone(judged(again, "erin"))

    def test_largest_chain_fits_into_a_hello(self) -> None:
        tags = tuple(str(each) * MAX_TAG_CHARACTERS for each in range(MAX_TAGS))
        admin = Issuer(
            key_of("alice"),
            AUTHORITY.issue(name_of("alice"), "a" * 32, MemberRole.ADMIN.implied, NOW, tags=tags),
        )
        signed = admin.issue(name_of("erin"), "e" * 32, MemberRole.RELAY.implied, NOW, tags=tags)
        self.assertLessEqual(len(encode_certificate(signed)), MAX_CERTIFICATE_BYTES)

    @given(st.binary(max_size=MAX_CERTIFICATE_BYTES + 1))
    def test_no_bytes_raise_anything_but_a_wire_error(self, data: bytes) -> None:
        with self.assertRaises(WireError):
            decode_certificate(data)

    @given(st.data())
    def test_certificate_with_a_changed_byte_is_refused(self, data: st.DataObject) -> None:
        encoded = bytearray(encode_certificate(certified("carol", MemberRole.RELAY, ALICE)))
        where = data.draw(st.integers(0, len(encoded) - 1))
        encoded[where] ^= data.draw(st.integers(1, 255))
        try:
            again = decode_certificate(bytes(encoded))
        except WireError:
            return
        self.assertIsNotNone(judged(again, "carol"))

    def test_too_many_bytes_are_refused_before_they_are_looked_at(self) -> None:
        error = self.assertRaises(WireError, decode_certificate, bytes(MAX_CERTIFICATE_BYTES + 1))
        self.assertIn("over the limit", str(error))


class IssuingTests(SynchronousTestCase):
    def refused(self, issuer: Issuer, role: MemberRole, tags: tuple[str, ...] = (), now: float = NOW) -> str:
        error = self.assertRaises(
            NotAuthorized, issuer.issue, name_of("carol"), "carol", role.implied, now, tags=tags
        )
        return str(error)

    def test_the_authority_alone_makes_admins_and_inviters(self) -> None:
        for role in (MemberRole.ADMIN, MemberRole.INVITE):
            self.assertIn("only the authority makes admins and inviters", self.refused(ALICE, role))
            self.assertIsNone(judged(certified("carol", role), "carol"))

    def test_an_inviter_gives_only_tags_that_it_has(self) -> None:
        self.assertIn("has no 'db'", self.refused(INVITER, MemberRole.NODE, ("db", "web")))
        self.assertIsNone(judged(certified("carol", MemberRole.NODE, INVITER, tags=("web",)), "carol"))
        self.assertIsNone(judged(certified("carol", MemberRole.NODE, ALICE, tags=("db",)), "carol"))

    def test_certificate_ends_no_later_than_that_of_its_issuer(self) -> None:
        assert ALICE.certificate is not None
        end = ALICE.certificate.certificate.not_after
        late = certified("carol", MemberRole.NODE, ALICE, now=end - days(10))
        self.assertEqual(late.certificate.not_after, end)
        self.assertIn("has expired: renew it first", self.refused(ALICE, MemberRole.NODE, now=end))

    def test_members_get_90_days_and_issuers_two_years(self) -> None:
        self.assertEqual(certified("carol", MemberRole.RELAY, ALICE).certificate.lifetime, days(90))
        self.assertEqual(certified("carol", MemberRole.INVITE).certificate.lifetime, days(730))

    def test_who_may_not_issue_is_told_so(self) -> None:
        member = certified("carol", MemberRole.RELAY, ALICE)
        for key, certificate, text in (
            ("carol", member, "neither an admin nor an inviter"),
            ("bob", ALICE.certificate, "belongs to another key"),
        ):
            error = self.assertRaises(NotAuthorized, Issuer, key_of(key), certificate)
            self.assertIn(text, str(error))

    def test_renewal_keeps_what_the_certificate_says_and_raises_its_serial(self) -> None:
        last = certified("carol", MemberRole.RELAY, ALICE, tags=("db",)).certificate
        again = BOB.renew(last, NOW).certificate
        self.assertGreater(again.serial, last.serial)
        self.assertEqual((again.nickname, again.roles, again.tags), (last.nickname, last.roles, last.tags))
        self.assertRaises(NotAuthorized, Issuer(key_of("other")).renew, last, NOW)

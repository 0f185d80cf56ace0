"""The key, its file, and signatures."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from routing_crust.errors import KeyFileError
from routing_crust.identity import (
    Identity,
    create_identity,
    load_identity,
    load_or_create_identity,
    signature_holds,
    signed_bytes,
)
from routing_crust.names import Name
from tests.strategies import names

SEED = bytes(range(32))
fields = st.lists(st.binary(max_size=12), max_size=4).map(tuple)
words = st.text(max_size=6)


class IdentityTests(SynchronousTestCase):
    def test_key_from_a_seed_agrees_with_rfc_8032(self) -> None:
        """The first test vector of RFC 8032, section 7.1."""
        seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
        public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
        self.assertEqual(Identity.from_seed(seed).name.raw.hex(), public)

    def test_generated_keys_differ_and_a_seed_always_gives_the_same_key(self) -> None:
        self.assertNotEqual(Identity.generate().name, Identity.generate().name)
        self.assertEqual(Identity.from_seed(SEED).name, Identity.from_seed(SEED).name)

    def test_repr_holds_no_key(self) -> None:
        """What gets into a log is the name's beginning."""
        identity = Identity.from_seed(SEED)
        self.assertEqual(repr(identity), f"<Identity {identity.name.short}>")


class SignatureTests(SynchronousTestCase):
    identity = Identity.from_seed(SEED)

    def holds(self, signature: bytes, label: str, network: str, *parts: bytes) -> bool:
        return signature_holds(self.identity.name, signature, label, network, *parts)

    @given(words, words, fields)
    def test_signature_has_64_bytes_and_holds_for_what_was_signed(
        self, label: str, network: str, parts: tuple[bytes, ...]
    ) -> None:
        signature = self.identity.sign(label, network, *parts)
        self.assertEqual(len(signature), 64)
        self.assertTrue(self.holds(signature, label, network, *parts))

    @given(words, words, fields, words, words, fields)
    def test_signature_covers_every_field_unambiguously(
        self,
        label: str,
        network: str,
        parts: tuple[bytes, ...],
        label2: str,
        network2: str,
        parts2: tuple[bytes, ...],
    ) -> None:
        """Two different things to sign never have the same bytes, however they are cut."""
        same = (label, network, parts) == (label2, network2, parts2)
        self.assertEqual(
            signed_bytes(label, network, *parts) == signed_bytes(label2, network2, *parts2), same
        )

    def test_signature_means_nothing_under_another_label_or_network(self) -> None:
        """Fields cut another way, or another key, spoil it as well."""
        signature = self.identity.sign("hello", "net", b"ab", b"c")
        self.assertTrue(self.holds(signature, "hello", "net", b"ab", b"c"))
        self.assertFalse(self.holds(signature, "goodbye", "net", b"ab", b"c"))
        self.assertFalse(self.holds(signature, "hello", "other", b"ab", b"c"))
        self.assertFalse(self.holds(signature, "hello", "net", b"a", b"bc"))
        self.assertFalse(self.holds(signature, "hello", "net", b"abc"))
        self.assertFalse(self.holds(signature, "hello", "net", b"ab", b"c", b""))
        other = Identity.generate().name
        self.assertFalse(signature_holds(other, signature, "hello", "net", b"ab", b"c"))

    @given(names, st.binary(max_size=80))
    def test_any_name_and_signature_are_refused_without_raising(self, name: Name, signature: bytes) -> None:
        """Names and signatures come from strangers; whatever they are, the answer is no."""
        self.assertFalse(signature_holds(name, signature, "hello", "net"))
        self.assertFalse(self.holds(signature, "hello", "net"))

    def test_nothing_holds_for_a_name_that_is_no_key(self) -> None:
        """Half of all 32 bytes are no point of the curve, and these are not even a number below its prime."""
        signature = self.identity.sign("hello", "net")
        for raw in (b"\xff" * 32, b"\x02" + bytes(31)):
            self.assertFalse(signature_holds(Name(raw), signature, "hello", "net"))

    def test_nothing_holds_for_a_key_that_anybody_can_sign_for(self) -> None:
        """For the neutral point this signature fulfils the equation of RFC 8032, whatever is signed."""
        neutral = b"\x01" + bytes(31)
        Ed25519PublicKey.from_public_bytes(neutral).verify(neutral + bytes(32), b"anything")
        for key in (neutral, neutral[:-1] + b"\x80"):
            self.assertFalse(signature_holds(Name(key), neutral + bytes(32), "hello", "net"))

    @given(st.integers(0, 511))
    def test_one_flipped_bit_spoils_the_signature(self, bit: int) -> None:
        signature = bytearray(self.identity.sign("hello", "net", b"x"))
        signature[bit // 8] ^= 1 << bit % 8
        self.assertFalse(self.holds(bytes(signature), "hello", "net", b"x"))


class KeyFileTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.path = self.folder / "node.key"

    def refused(self, complaint: str) -> None:
        """The file is refused with these words, and what is in its place is not touched."""
        before = self.path.lstat() if os.path.lexists(self.path) else None
        for attempt in (load_identity, load_or_create_identity) if before else (load_identity,):
            error = self.assertRaises(KeyFileError, attempt, self.path)
            self.assertIn(complaint, str(error))
            self.assertIn(str(self.path), str(error))
        after = self.path.lstat() if os.path.lexists(self.path) else None
        if before and after:
            self.assertEqual(
                (before.st_ino, before.st_mode, before.st_mtime_ns, before.st_size),
                (after.st_ino, after.st_mode, after.st_mtime_ns, after.st_size),
            )
        else:
            self.assertEqual(before, after)

    def write(self, data: bytes, mode: int = 0o600) -> None:
        self.path.write_bytes(data)
        self.path.chmod(mode)

    def test_created_key_file_reads_back_as_the_same_identity(self) -> None:
        """The first start makes the key, every later one reads it."""
        made = load_or_create_identity(self.path)
        self.assertEqual(load_or_create_identity(self.path).name, made.name)
        self.assertEqual(load_identity(self.path).name, made.name)
        self.assertEqual(self.path.stat().st_mode & 0o7777, 0o600)
        self.assertEqual(os.listdir(self.folder), ["node.key"])

    def test_mode_does_not_depend_on_umask(self) -> None:
        """However the shell was set up, only the owner can read the file."""
        for mask in (0, 0o777):
            path = self.folder / f"{mask}.key"
            old = os.umask(mask)
            try:
                create_identity(path)
            finally:
                os.umask(old)
            self.assertEqual(path.stat().st_mode & 0o7777, 0o600)

    def test_existing_key_file_is_never_replaced(self) -> None:
        """Neither a good file nor anything else in its place is overwritten."""
        name = create_identity(self.path).name
        error = self.assertRaises(KeyFileError, create_identity, self.path)
        self.assertIn("is there already", str(error))
        self.assertEqual(load_identity(self.path).name, name)

    def test_reading_a_missing_key_file_says_so(self) -> None:
        self.refused("cannot be read: No such file")

    def test_key_file_in_a_missing_folder_cannot_be_created(self) -> None:
        self.path = self.folder / "missing" / "node.key"
        error = self.assertRaises(KeyFileError, load_or_create_identity, self.path)
        self.assertIn("cannot be written: No such file", str(error))

    def test_key_file_that_others_may_read_is_refused_with_the_remedy(self) -> None:
        """Any permission for group or others is refused, with the command that mends it."""
        create_identity(self.path)
        for mode in (0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o644, 0o666, 0o777):
            self.path.chmod(mode)
            self.refused(f"mode {mode:04o}")
            self.refused("chmod 600")
        for mode in (0o600, 0o400, 0o700):
            self.path.chmod(mode)
            load_identity(self.path)

    def test_file_without_a_key_is_damaged_and_not_taken_for_missing(self) -> None:
        """A file that holds no key stops the start; it is not taken for a missing one."""
        create_identity(self.path)
        pem = self.path.read_bytes()
        for data in (
            b"",
            b"\n",
            pem[:-1][: len(pem) // 2],
            pem.replace(b"M", b"N", 1),
            b"\xff" * 100,
            bytes(10**6),
        ):
            self.write(data)
            self.refused("is damaged")

    def test_key_that_is_not_ed25519_or_has_a_password_is_refused(self) -> None:
        """An EC key is not silently taken, nor is a key with a password."""
        key = ec.generate_private_key(ec.SECP256R1())
        pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        self.write(key.private_bytes(pem, pkcs8, serialization.NoEncryption()))
        self.refused("is not Ed25519")
        locked = Identity.from_seed(SEED).private_key.private_bytes(
            pem, pkcs8, serialization.BestAvailableEncryption(b"secret")
        )
        self.write(locked)
        self.refused("is damaged")

    def test_well_formed_key_of_an_unknown_kind_is_damaged(self) -> None:
        """A well-formed key of a kind that nobody knows is refused like any other damage."""
        oid = b"\x06\x03\x2b\x65\x01"  # 1.3.101.1
        body = b"\x02\x01\x00" + b"\x30\x05" + oid + b"\x04\x22\x04\x20" + bytes(32)
        der = b"\x30" + bytes([len(body)]) + body
        text = base64.encodebytes(der)
        self.write(b"-----BEGIN PRIVATE KEY-----\n" + text + b"-----END PRIVATE KEY-----\n")
        self.refused("is damaged")

    def test_key_on_an_unsupported_curve_is_refused(self) -> None:
        # id-ecPublicKey with the curve 1.3.132.0.1 (sect163k1)
        algorithm = b"\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x7f"
        inner = b"\x30\x19\x02\x01\x01\x04\x14" + b"\x01" * 20
        inner = b"\x30" + bytes([len(inner) - 2]) + inner[2:]
        body = b"\x02\x01\x00" + algorithm + b"\x04" + bytes([len(inner)]) + inner
        der = b"\x30" + bytes([len(body)]) + body
        text = base64.encodebytes(der)
        self.write(b"-----BEGIN PRIVATE KEY-----\n" + text + b"-----END PRIVATE KEY-----\n")
        self.refused("is damaged")

    def test_dangling_link_is_a_damaged_file_and_not_a_missing_one(self) -> None:
        self.path.symlink_to(self.folder / "gone")
        self.refused("cannot be read")
        self.assertFalse((self.folder / "gone").exists())

    def test_folder_in_place_of_the_key_file_is_refused(self) -> None:
        """A folder is no key file."""
        self.path.mkdir()
        self.refused("cannot be read: Is a directory")

    def test_pipe_in_place_of_the_key_file_is_refused_without_waiting(self) -> None:
        """A named pipe is refused at once; opening it must not wait for a writer."""
        os.mkfifo(self.path, 0o600)
        self.refused("is not a regular file")

    def test_key_made_by_openssl_is_read(self) -> None:
        try:
            pem = subprocess.run(
                ["openssl", "genpkey", "-algorithm", "ed25519"], check=True, capture_output=True
            ).stdout
        except FileNotFoundError:
            raise SkipTest("there is no openssl command here") from None
        self.write(pem)
        key = serialization.load_pem_private_key(pem, None)
        assert isinstance(key, Ed25519PrivateKey)
        self.assertEqual(load_identity(self.path).name.raw, key.public_key().public_bytes_raw())

    def test_processes_that_start_at_once_without_a_key_agree_on_one(self) -> None:
        """Of many processes that start at once with no key, one makes it, and nobody gets another key."""
        script = (
            "import sys\nfrom pathlib import Path\nfrom routing_crust.errors import KeyFileError\n"
            "from routing_crust.identity import create_identity\nsys.stdin.read(1)\n"
            "try: print(create_identity(Path(sys.argv[1])).name)\nexcept KeyFileError: print('late')\n"
        )
        children = [
            subprocess.Popen(
                [sys.executable, "-c", script, str(self.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
            for _ in range(4)
        ]
        for child in children:
            assert child.stdin is not None
            child.stdin.write("x")
            child.stdin.flush()
        answers = [child.communicate()[0].strip() for child in children]
        self.assertEqual([child.returncode for child in children], [0] * 4)
        self.assertEqual(answers.count("late"), 3)
        self.assertIn(str(load_identity(self.path).name), answers)

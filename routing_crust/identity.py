"""
Identity: a node's Ed25519 key (RFC 8032), its key file, and its signatures.

Every signature covers a label (C{routing-crust/<type>/2}), the network's id and the fields of the
message, each preceded by its length, so that nothing signed for one purpose or network means
anything in another.
"""

from __future__ import annotations

import os
import stat
from functools import lru_cache
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from .files import write_atomically
from .names import Name
from .plain_errors import KeyFileError

PROTOCOL_VERSION: Final = 2
"""The version of the wire, in the ALPN, each Hello, under each signature, in beacons and saved contacts."""
SIGNATURE_BYTES: Final = 64
KEY_FILE_MODE: Final = 0o600
MAX_KEY_FILE_BYTES: Final = 64 * 1024
# Points whose order divides 8, in every encoding, without the sign bit.
_WEAK_KEYS: Final = frozenset(
    (
        *(number.to_bytes(32, "little") for number in (0, 1, 2**255 - 20, 2**255 - 19, 2**255 - 18)),
        bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
        bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
    )
)


class Identity:
    """
    A private key, and the name that is its public key.

    @ivar private_key: the Ed25519 key itself.
    @ivar name: the raw public key.
    """

    __slots__ = ("name", "private_key")

    def __init__(self, private_key: Ed25519PrivateKey) -> None:
        self.private_key = private_key
        self.name = Name(private_key.public_key().public_bytes_raw())

    @classmethod
    def generate(cls) -> Identity:
        """A new random identity."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_seed(cls, seed: bytes) -> Identity:
        """The identity that these 32 bytes give, always the same: for tests and simulations."""
        return cls(Ed25519PrivateKey.from_private_bytes(seed))

    def sign(self, label: str, network: str, *fields: bytes) -> bytes:
        """Sign the fields under a label, for one network. Returns 64 bytes."""
        return self.private_key.sign(signed_bytes(label, network, *fields))

    def holds(self, signer: Name, signature: bytes, label: str, network: str, *fields: bytes) -> bool:
        """
        Whether a signature is valid for the label, the network and the fields. Never raises.

        @param signer: who is supposed to have signed.
        """
        return signature_holds(signer, signature, label, network, *fields)

    def __repr__(self) -> str:
        return f"<Identity {self.name.short}>"


def signed_bytes(label: str, network: str, *fields: bytes) -> bytes:
    """The signed bytes: the label, the network's id and the fields, each after its 32-bit length."""
    # The length before each field keeps ("ab", "c") and ("a", "bc") apart.
    parts = [_signed_prefix(label, network)]
    for field in fields:
        parts += (len(field).to_bytes(4, "big"), field)
    return b"".join(parts)


@lru_cache(maxsize=64)
def _signed_prefix(label: str, network: str) -> bytes:
    # The label and the network recur in every signature of a kind, so their encoding is kept.
    parts = (f"routing-crust/{label}/{PROTOCOL_VERSION}".encode(), network.encode())
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def signature_holds(signer: Name, signature: bytes, label: str, network: str, *fields: bytes) -> bool:
    """
    Whether C{signature} is by this node, for the label, the network and the fields. Never raises, also where
    the name is no key.
    """
    try:
        _public_key(signer.raw).verify(signature, signed_bytes(label, network, *fields))
    except (InvalidSignature, ValueError):
        return False
    return True


def is_weak_key(raw: bytes) -> bool:
    """Whether anybody can sign for this public key: it has no secret half."""
    return raw[:-1] + bytes((raw[-1] & 0x7F,)) in _WEAK_KEYS


def _open_without_waiting(path: str, flags: int) -> int:
    # Opening a named pipe would block the start for ever.
    return os.open(path, flags | os.O_NONBLOCK)


@lru_cache(maxsize=1024)
def _public_key(raw: bytes) -> Ed25519PublicKey:
    # Most signers sign again, and their keys need not be parsed each time.
    if is_weak_key(raw):
        raise ValueError("anybody can sign for this key")
    return Ed25519PublicKey.from_public_bytes(raw)


def load_identity(
    path: Path,
    what: str = "key file",
    if_seen: str = "replace the key",
    if_lost: str = "move it away to start under a new name",
) -> Identity:
    """
    Read a key file (PKCS #8 in PEM, as C{openssl genpkey -algorithm ed25519} writes it).

    @param what: what the errors call the file.
    @param if_seen: what to do if others have read it, for the errors.
    @param if_lost: what to do if it is damaged and there is no copy.
    @raise KeyFileError: there is no such file, others may read it, or it holds no Ed25519 key. The
        error says what to do; the file is never changed.
    """
    try:
        with open(path, "rb", opener=_open_without_waiting) as file:
            status = os.fstat(file.fileno())
            data = file.read(MAX_KEY_FILE_BYTES) if stat.S_ISREG(status.st_mode) else None
    except OSError as error:
        raise KeyFileError(f"the {what} {path} cannot be read: {error.strerror}") from error
    if data is None:
        raise KeyFileError(f"the {what} {path} is not a regular file: use another path")
    # As OpenSSH does: a key that others can read is not used until its owner has looked at it.
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077:
        raise KeyFileError(
            f"the {what} {path} has mode {mode:04o}, so others may read it: "
            f"if nobody has, run 'chmod 600 {path}'; else {if_seen}"
        )
    try:
        key = serialization.load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyFileError(
            f"the {what} {path} is damaged: it holds no private key in PEM that can be read without a "
            f"password. Restore it from a copy, or {if_lost}"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFileError(f"the {what} {path} holds a key that is not Ed25519: use another file")
    return Identity(key)


def create_identity(path: Path) -> Identity:
    """
    Make a new key and write it to a new file of mode 0600.

    @raise KeyFileError: the file is there already, or cannot be written. An old file is never changed.
    """
    identity = Identity.generate()
    write_identity(path, identity)
    return identity


def write_identity(path: Path, identity: Identity, what: str = "key file") -> None:
    """
    Write a key to a new file of mode 0600.

    @raise KeyFileError: as L{create_identity} does.
    """
    pem = identity.private_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    try:
        write_atomically(path, pem, KEY_FILE_MODE, replace=False)
    except FileExistsError as error:
        raise KeyFileError(f"the {what} {path} is there already, and a key is never replaced") from error
    except OSError as error:
        raise KeyFileError(f"the {what} {path} cannot be written: {error.strerror}") from error


def load_or_create_identity(path: Path) -> Identity:
    """
    Read the key file, or make it if there is none.

    @raise KeyFileError: as L{load_identity} and L{create_identity} do.
    """
    # lexists, not exists: a dangling link is a damaged file, and a new key would be a new name.
    return load_identity(path) if os.path.lexists(path) else create_identity(path)

"""
Names of nodes, and the XOR distance between them.

A name is a node's raw Ed25519 public key (RFC 8032), so it proves itself, and a signature is checked with the
name alone. Its text form is base32 (RFC 4648, section 6), lower case and without padding: 52 characters. The
distance of two names is their XOR read as a number (Maymounkov and Mazieres, "Kademlia", 2002).

Random keys are spread as evenly as their hashes would be. An attacker who wants a name near another
can try keys until one is near, as with hashes: no limit rests on names.
"""

from __future__ import annotations

import base64
from functools import lru_cache, total_ordering
from typing import Final

from .plain_errors import InvalidName

NAME_BYTES: Final = 32
NAME_BITS: Final = 8 * NAME_BYTES
NAME_CHARACTERS: Final = 52
MIN_PREFIX_CHARACTERS: Final = 8
"""Characters of a name that can stand for a known one."""
PRIVATE_PREFIX: Final = "key:"
"""What stands before the authority's name in the id of a private network."""
_ALPHABET: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ234567")
_SPARE_BITS: Final = 5 * NAME_CHARACTERS - NAME_BITS
_DIGITS: Final = str.maketrans("abcdefghijklmnopqrstuvwxyz234567", "0123456789abcdefghijklmnopqrstuv")


@total_ordering
class Name:
    """
    The name of a node: 256 bits. Immutable, hashable, ordered as a number. Any 32 bytes are a name; no
    signature holds for those that are no key.

    @ivar raw: the 32 bytes, which are the public key.
    @ivar number: the same bits as an integer, for distances.
    """

    __slots__ = ("_hash", "number", "raw")

    raw: Final[bytes]
    number: Final[int]

    def __init__(self, raw: bytes) -> None:
        """
        @raise InvalidName: C{raw} does not have 32 bytes.
        """
        if len(raw) != NAME_BYTES:
            raise InvalidName(f"a name has {NAME_BYTES} bytes, and these are {len(raw)}")
        self.raw = raw
        self.number = int.from_bytes(raw, "big")
        # Hash the number, not the bytes: bytes hash differently in every process, and sets of names
        # must have one order everywhere for simulations to repeat.
        self._hash = hash(self.number)

    @classmethod
    def from_text(cls, text: str) -> Name:
        """
        Read the text form; upper case is accepted.

        @raise InvalidName: the text is not a name; the error says what is wrong with it.
        """
        if len(text) != NAME_CHARACTERS:
            raise InvalidName(
                f"{text!r} is not a name: a name has {NAME_CHARACTERS} characters, and this has {len(text)}"
            )
        if not _ALPHABET.issuperset(text):
            raise InvalidName(f"{text!r} is not a name: it may hold only a to z and 2 to 7")
        # the digits of base32 are those of a number of base 32, written with other letters
        number, spare = divmod(int(text.lower().translate(_DIGITS), 32), 1 << _SPARE_BITS)
        if spare:
            # base32 has four spare bits at the end: two texts must not mean one name.
            raise InvalidName(f"{text!r} is not a name: its last character is damaged")
        return cls(number.to_bytes(NAME_BYTES, "big"))

    def distance(self, other: Name) -> int:
        """The XOR distance to C{other}: 0 for the same name, below 2 ** 256."""
        return self.number ^ other.number

    def common_prefix(self, other: Name) -> int:
        """The number of leading bits that are the same: 0 to 256."""
        return NAME_BITS - (self.number ^ other.number).bit_length()

    @property
    def short(self) -> str:
        """The first eight characters, for logs."""
        return str(self)[:8]

    def __str__(self) -> str:
        return base64.b32encode(self.raw).decode("ascii").rstrip("=").lower()

    def __repr__(self) -> str:
        return f"<Name {self.short}>"

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self.raw == other.raw if isinstance(other, Name) else NotImplemented

    def __lt__(self, other: Name) -> bool:
        return self.number < other.number if isinstance(other, Name) else NotImplemented


@lru_cache(maxsize=4096)
def recurring_name(raw: bytes) -> Name:
    """
    The name with these bytes, for names that come again and again: one object each, which sets and maps
    find without a comparison.

    @raise InvalidName: they are not 32.
    """
    return Name(raw)


def is_prefix(text: str) -> bool:
    """Whether the text could be the beginning of a name, and has 8 characters or more."""
    return MIN_PREFIX_CHARACTERS <= len(text) < NAME_CHARACTERS and _ALPHABET.issuperset(text)

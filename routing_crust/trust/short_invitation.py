"""
Short invitations, to be read out and typed: 18 characters for an IPv4 address with the usual port.

They say one address of the inviter, and 50 random bits; the node that redeems one learns everything else
there, proven by the secret that scrypt makes of these bits. The inviter keeps that secret, as that of any
other invitation. They can be guessed at the inviter only, which counts tries; an impostor at its address sees
a proof, and would have to run scrypt 2^49 times before the invitation ends.

The characters are base32, in any case and with any dashes and spaces: the 4 or 16 bytes of the address, the 2
of a port other than the usual one, the 50 bits, and at least 6 bits that check them. The length says which.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from ipaddress import ip_address
from secrets import randbits
from typing import ClassVar, Final, TypeAlias

from ..config import DEFAULT_PORT
from ..endpoints import Endpoint
from ..errors import InvalidInvitation
from ..hosts.contacts import NamedContact
from .invitation import ALPHABET, PREFIX, SECRET_BYTES, Invitation

RANDOM_BITS: Final = 50
MIN_CHECK_BITS: Final = 6

_PORT_BYTES: Final = 2
_CHARACTER_BITS: Final = 5
_SCRYPT_COST: Final = 1 << 15
_SCRYPT_BLOCK: Final = 8
_SCRYPT_MEMORY_BYTES: Final = 64 * 1024 * 1024
_LABEL: Final = b"routing-crust/short-invitation/1"


def _characters(place_bytes: int) -> int:
    return -(-(8 * place_bytes + RANDOM_BITS + MIN_CHECK_BITS) // _CHARACTER_BITS)


def _room(place_bytes: int) -> int:
    """How many bits check the others."""
    return _CHARACTER_BITS * _characters(place_bytes) - 8 * place_bytes - RANDOM_BITS


_PLACE_BYTES: Final = {_characters(size): size for size in (4, 6, 16, 18)}
_LENGTHS: Final = ", ".join(map(str, _PLACE_BYTES))


@dataclass(frozen=True, slots=True)
class ShortInvitation:
    """
    What the characters say.

    @ivar endpoint: where the inviter itself can be dialled.
    @ivar number: the random bits.
    """

    endpoint: Endpoint
    number: int = field(repr=False)
    hosts: ClassVar[tuple[NamedContact, ...]] = ()

    @classmethod
    def at(cls, endpoint: Endpoint) -> ShortInvitation:
        """Make a new one for this address."""
        return cls(endpoint, randbits(RANDOM_BITS))

    @classmethod
    def from_text(cls, text: str) -> ShortInvitation:
        """
        Read the characters.

        @raise InvalidInvitation: they are mistyped.
        """
        typed = _joined(text)
        try:
            read = cls._of_characters(typed)
        except (KeyError, ValueError):
            read = None
        # written again, so that the bits that check, and no second spelling of a place, are seen
        if read is None or read.text != typed:
            raise InvalidInvitation("the short invitation is mistyped: compare it with what was read out")
        return read

    @classmethod
    def _of_characters(cls, typed: str) -> ShortInvitation:
        """
        @raise KeyError: there are too few or too many.
        @raise ValueError: one of them is none of the alphabet, or they say no place.
        """
        size = _PLACE_BYTES[len(typed)]
        coded = 0
        for each in typed:
            coded = coded << _CHARACTER_BITS | ALPHABET.index(each)
        data = coded >> _room(size)
        place = (data >> RANDOM_BITS).to_bytes(size, "big")
        return cls(_endpoint(place), data & (1 << RANDOM_BITS) - 1)

    @property
    def endpoints(self) -> tuple[Endpoint]:
        """Where it can be redeemed, as an invitation has it."""
        return (self.endpoint,)

    @property
    def text(self) -> str:
        """The characters."""
        place = _place(self.endpoint)
        room = _room(len(place))
        data = int.from_bytes(place, "big") << RANDOM_BITS | self.number
        check = hashlib.sha256(_LABEL + place + self._random).digest()[0] >> 8 - room
        coded = data << room | check
        last = _CHARACTER_BITS * (_characters(len(place)) - 1)
        shifts = range(last, -1, -_CHARACTER_BITS)
        return "".join(ALPHABET[coded >> each & len(ALPHABET) - 1] for each in shifts)

    @property
    def _random(self) -> bytes:
        return self.number.to_bytes(8, "big")

    def secret(self) -> bytes:
        """The secret that an invitation has. It takes about a tenth of a second, and 32 MiB, on purpose."""
        return hashlib.scrypt(
            self._random,
            salt=_LABEL + _place(self.endpoint),
            n=_SCRYPT_COST,
            r=_SCRYPT_BLOCK,
            p=1,
            maxmem=_SCRYPT_MEMORY_BYTES,
            dklen=SECRET_BYTES,
        )


AnyInvitation: TypeAlias = Invitation | ShortInvitation


def invitation_from_text(text: str) -> AnyInvitation:
    """
    Read an invitation of either kind.

    @raise InvalidInvitation: it is torn, mistyped or none; the error says where.
    """
    typed = _joined(text)
    if typed.startswith(PREFIX):
        return Invitation.from_text(text)
    if len(typed) in _PLACE_BYTES:
        return ShortInvitation.from_text(text)
    raise InvalidInvitation(
        f"this is not an invitation: one begins with {PREFIX!r}, and a short one has {_LENGTHS} characters, "
        f"and this has {len(typed)}; give all that 'routing-crust invite' has printed"
    )


def _joined(text: str) -> str:
    return "".join(text.replace("-", " ").split()).lower()


def _place(endpoint: Endpoint) -> bytes:
    port = b"" if endpoint.port == DEFAULT_PORT else endpoint.port.to_bytes(_PORT_BYTES, "big")
    return endpoint.address.packed + port


def _endpoint(place: bytes) -> Endpoint:
    address, port = place, DEFAULT_PORT
    if len(place) not in (4, 16):
        address, port = place[:-_PORT_BYTES], int.from_bytes(place[-_PORT_BYTES:], "big")
    return Endpoint.of(str(ip_address(address)), port)

"""
Invitations: the one line that somebody is given to join a private network.

It is C{rc1} and then base32, lower case, in groups of 16 characters: 15 of content and one that checks them
and their place, so that an error names the characters that are mistyped. It may be written in upper case, and
broken by white space. The content is a version, its own length, the authority's key, the inviter's name, the
secret, the expiry, the number of uses, the places, and the beginning of the SHA-256 of all that. A place is
an address of 4 or 16 bytes after its length, or 0, the length of a host name and the host name; and a port.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final

from ..endpoints import Endpoint
from ..errors import InvalidEndpoint, InvalidInvitation, InvalidName
from ..hosts.contacts import NamedContact
from ..hosts.host_names import host_name, is_like_address
from ..names import NAME_BYTES, Name
from .networks import authority_of, network_of

PREFIX: Final = "rc1"
SECRET_BYTES: Final = 16
INVITATION_ID_BYTES: Final = 16
MAX_INVITATION_ENDPOINTS: Final = 6
MAX_USES: Final = 10_000

_VERSION: Final = 1
_CHECK_BYTES: Final = 5
_EXPIRY_BYTES: Final = 5
_USES_BYTES: Final = 2
_FIXED_BYTES: Final = 2 + 2 * NAME_BYTES + SECRET_BYTES + _EXPIRY_BYTES + _USES_BYTES + 1
_MOST_BYTES: Final = 255
_GROUP_CHARACTERS: Final = 16
ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz234567"
_WHICH: Final = b"routing-crust/invitation/2"


def invitation_id(secret: bytes) -> bytes:
    """Which invitation it is that has this secret. The secret cannot be had from it."""
    return hmac.digest(secret, _WHICH, hashlib.sha256)[:INVITATION_ID_BYTES]


@dataclass(frozen=True, slots=True)
class Invitation:
    """
    What the line says.

    @ivar network: the id of the private network.
    @ivar inviter: who has made it.
    @ivar endpoints: where the inviter, or members that pass on to it, can be dialled.
    @ivar secret: 128 bits; a node that has them is let in.
    @ivar expiry: until when, in seconds since the epoch.
    @ivar uses: how many machines may redeem it.
    @ivar hosts: where the inviter, or such members, can be dialled by host names; before the endpoints.
    """

    network: str
    inviter: Name
    endpoints: tuple[Endpoint, ...]
    secret: bytes = field(repr=False)
    expiry: int
    uses: int = 1
    hosts: tuple[NamedContact, ...] = ()

    def __post_init__(self) -> None:
        """
        @raise InvalidInvitation: no line can say this.
        @raise InvalidName: C{network} is not the id of a private network.
        """
        authority_of(self.network)
        if len(self.secret) != SECRET_BYTES or not 0 <= self.expiry < 1 << (8 * _EXPIRY_BYTES):
            raise InvalidInvitation("an invitation has a secret of 16 bytes, and an expiry")
        places = len(self.hosts) + len(self.endpoints)
        if not 1 <= self.uses <= MAX_USES or places > MAX_INVITATION_ENDPOINTS:
            raise InvalidInvitation(
                f"an invitation has 1 to {MAX_USES} uses and at most {MAX_INVITATION_ENDPOINTS} endpoints"
            )
        for each in self.hosts:
            if each.name is not None or each.is_domain:
                raise InvalidInvitation(f"an invitation has no place for {each}: write host:port")
        if _room_after(self.hosts, self.endpoints) < 0:
            raise InvalidInvitation(
                "an invitation has no room for these host names: give fewer or shorter ones"
            )

    @classmethod
    def from_text(cls, text: str) -> Invitation:
        """
        Read the line.

        @raise InvalidInvitation: it is torn, mistyped or no invitation; the error says where.
        """
        return _decode(_content(text))

    @property
    def text(self) -> str:
        """The line."""
        data = base64.b32encode(_encode(self)).decode("ascii").rstrip("=").lower()
        size = _GROUP_CHARACTERS - 1
        groups = [data[at : at + size] for at in range(0, len(data), size)]
        return PREFIX + "".join(each + _check(at, each) for at, each in enumerate(groups))

    def is_expired(self, now: float) -> bool:
        """Whether it is of no use any more."""
        return now > self.expiry


def endpoints_beside(hosts: Sequence[NamedContact], endpoints: Sequence[Endpoint]) -> tuple[Endpoint, ...]:
    """The first of these endpoints, as many as an invitation has room for beside the hosts."""
    kept = tuple(endpoints[: max(0, MAX_INVITATION_ENDPOINTS - len(hosts))])
    while kept and _room_after(hosts, kept) < 0:
        kept = kept[:-1]
    return kept


def _room_after(hosts: Sequence[NamedContact], endpoints: Sequence[Endpoint]) -> int:
    return _MOST_BYTES - _FIXED_BYTES - _CHECK_BYTES - len(_encode_places(hosts, endpoints))


def _encode_places(hosts: Sequence[NamedContact], endpoints: Sequence[Endpoint]) -> bytes:
    parts: list[bytes] = []
    for host in hosts:
        parts += (bytes([0, len(host.host)]), host.host.encode("ascii"), host.port.to_bytes(2, "big"))
    for each in endpoints:
        packed = each.address.packed
        parts += (bytes([len(packed)]), packed, each.port.to_bytes(2, "big"))
    return b"".join(parts)


def _encode(invitation: Invitation) -> bytes:
    parts = [
        authority_of(invitation.network).raw,
        invitation.inviter.raw,
        invitation.secret,
        invitation.expiry.to_bytes(_EXPIRY_BYTES, "big"),
        invitation.uses.to_bytes(_USES_BYTES, "big"),
        bytes([len(invitation.hosts) + len(invitation.endpoints)]),
        _encode_places(invitation.hosts, invitation.endpoints),
    ]
    content = b"".join(parts)
    head = bytes([_VERSION, len(content) + 2 + _CHECK_BYTES])
    return head + content + _sum(head + content)


def _sum(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()[:_CHECK_BYTES]


def _check(place: int, group: str) -> str:
    # odd weights notice every single wrong character, and all but one in sixteen exchanges of neighbours
    weighted = sum((2 * at + 1) * ALPHABET.index(each) for at, each in enumerate(group))
    return ALPHABET[(weighted + 11 * (place + 1)) % len(ALPHABET)]


def _content(text: str) -> bytes:
    """
    The bytes of the line, once all of its checks hold.

    @raise InvalidInvitation: it is torn or mistyped.
    """
    whole = "".join(text.split()).lower()
    if not whole.startswith(PREFIX):
        raise InvalidInvitation(
            f"this is not an invitation: it does not begin with {PREFIX!r}; give the whole line that "
            "'routing-crust invite' has printed"
        )
    # nothing after the prefix has a 1 in it
    count = whole.count(PREFIX)
    if count > 1:
        raise InvalidInvitation(f"these are {count} invitations: give one of them")
    coded = whole[len(PREFIX) :]
    for at, each in enumerate(coded, len(PREFIX) + 1):
        if each not in ALPHABET:
            raise InvalidInvitation(
                f"the invitation is mistyped at character {at}: it holds only a to z and 2 to 7, and "
                f"this is {each!r}"
            )
    if len(coded) < _GROUP_CHARACTERS:
        raise InvalidInvitation(
            f"the invitation is torn: it ends after {len(whole)} characters; copy the whole line"
        )
    groups = [coded[at : at + _GROUP_CHARACTERS] for at in range(0, len(coded), _GROUP_CHARACTERS)]
    wrong = [at for at, each in enumerate(groups) if len(each) < 2 or _check(at, each[:-1]) != each[-1]]
    data = _unpadded("".join(each[:-1] for each in groups))
    if 0 not in wrong:
        _check_length(data, len(whole), wrong, groups)
    if wrong:
        others = f", and at {len(wrong) - 1} more places" if len(wrong) > 1 else ""
        raise InvalidInvitation(f"the invitation is mistyped: look at {_where(wrong[0], groups)}{others}")
    if len(data) < _FIXED_BYTES + _CHECK_BYTES or _sum(data[:-_CHECK_BYTES]) != data[-_CHECK_BYTES:]:
        raise InvalidInvitation("the invitation is mistyped: characters are exchanged; copy it again")
    return data[:-_CHECK_BYTES]


def _unpadded(text: str) -> bytes:
    # a count of characters that no bytes have is cut to one that they have
    usable = text[:-1] if len(text) % 8 in (1, 3, 6) else text
    return base64.b32decode(usable.upper() + "=" * (-len(usable) % 8))


def _check_length(data: bytes, characters: int, wrong: list[int], groups: list[str]) -> None:
    """
    @raise InvalidInvitation: the line has another length than its first group says.
    """
    if data[0] != _VERSION:
        raise InvalidInvitation(
            f"the invitation has version {data[0]}, and this program knows {_VERSION}: use the newer program"
        )
    coded = -(-8 * data[1] // 5)
    expected = len(PREFIX) + coded + -(-coded // (_GROUP_CHARACTERS - 1))
    if characters == expected:
        return
    # a wrong last group alone is what a torn line looks like
    if wrong and wrong != [len(groups) - 1]:
        what = "missing" if characters < expected else "too many"
        raise InvalidInvitation(
            f"the invitation is not right from {_where(wrong[0], groups)} on: characters are {what} there"
        )
    if characters < expected:
        raise InvalidInvitation(
            f"the invitation is torn: it has {characters} characters of {expected}; copy the whole line"
        )
    raise InvalidInvitation(
        f"the invitation goes on where it should end, after character {expected}: copy that line alone"
    )


def _where(at: int, groups: list[str]) -> str:
    begin = len(PREFIX) + _GROUP_CHARACTERS * at + 1
    return f"characters {begin} to {begin + len(groups[at]) - 1} ({groups[at]!r})"


def _decode(data: bytes) -> Invitation:
    """
    @raise InvalidInvitation: the checks hold, and yet this is none.
    """
    reader = _Reader(data[2:])
    try:
        authority, inviter = Name(reader.take(NAME_BYTES)), Name(reader.take(NAME_BYTES))
        secret = reader.take(SECRET_BYTES)
        expiry, uses = reader.number(_EXPIRY_BYTES), reader.number(_USES_BYTES)
        places = [_place(reader) for _ in range(reader.number(1))]
    except (InvalidEndpoint, InvalidName, ValueError) as error:
        raise InvalidInvitation(f"the invitation cannot be used: {error}") from None
    endpoints = tuple(each for each in places if isinstance(each, Endpoint))
    hosts = tuple(each for each in places if isinstance(each, NamedContact))
    return Invitation(network_of(authority), inviter, endpoints, secret, expiry, uses, hosts)


def _place(reader: _Reader) -> Endpoint | NamedContact:
    size = reader.number(1)
    if size:
        return Endpoint.of(str(ip_address(reader.take(size))), reader.number(2))
    host, port = reader.take(reader.number(1)).decode("ascii"), reader.number(2)
    if is_like_address(host) or host_name(host) != host or not port:
        raise InvalidEndpoint(f"{host!r}, port {port}, is no place to dial")
    return NamedContact(host, port)


class _Reader:
    """Takes bytes from the front."""

    def __init__(self, data: bytes) -> None:
        self._left = data

    def take(self, count: int) -> bytes:
        """
        @raise ValueError: there are fewer.
        """
        taken, self._left = self._left[:count], self._left[count:]
        if len(taken) < count:
            raise ValueError("it is too short")
        return taken

    def number(self, count: int) -> int:
        """A number of this many bytes."""
        return int.from_bytes(self.take(count), "big")

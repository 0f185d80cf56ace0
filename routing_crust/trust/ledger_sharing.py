"""
Sharing ledgers: the admins of a network know each other's invitations, so that one can be redeemed while its
inviter is gone.

Who tells what to whom: admins tell each other all, inviters tell admins their own, and admins tell an inviter
what became of its own. It goes over links between the two, which nobody else can read. What is told is
only taken if its teller could have made that invitation itself, so an inviter gains nothing by telling of one
that is worth more than its own. Invitations that make admins or inviters stay with their inviter.

Uses and withdrawals only grow, so two ledgers become the same in whatever order they are told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from ..names import Name
from ..wire.fields import NameBytes, Nonce, WireMessage
from .certificate import ISSUING_ROLES, MAX_TAGS, Certificate, MemberRole
from .codec import Tag, Time, decode_with
from .invitation import MAX_USES
from .ledger import MAX_OPEN_INVITATIONS, Ledger, LedgerEntry

MAX_SHARED_IN_A_FRAME: Final = 32
MAX_USERS_IN_AN_ENTRY: Final = 256
"""Users of an invitation that one entry may name; the others follow in further entries."""
USERS_TOLD_AT_ONCE: Final = 48
"""Users that we put into an entry, so that links take a frame of the longest entries."""
MAX_INVITERS: Final = 16
"""Inviters of whose invitations an admin keeps copies."""
MAX_OVERUSES: Final = 64
"""Users of a copy beyond its uses, which admins that cannot reach each other may add."""
MAX_USERS_OF_AN_INVITER: Final = 16 * 1024
"""Users in all copies of an inviter's invitations: more than one of these may have uses."""


class SharedInvitation(WireMessage, frozen=True):
    """
    An invitation, as one who may issue tells it to another.

    @ivar inviter: who has made it.
    @ivar used_by: some of those who have redeemed it.
    @ivar void: whether it was taken back.
    """

    inviter: NameBytes
    secret: Nonce
    expiry: Time
    uses: Annotated[int, Meta(ge=1, le=MAX_USES)]
    nickname: Annotated[str, Meta(max_length=32)]
    roles: Annotated[tuple[MemberRole, ...], Meta(min_length=1, max_length=len(MemberRole))]
    tags: Annotated[tuple[Tag, ...], Meta(max_length=MAX_TAGS)]
    used_by: Annotated[tuple[NameBytes, ...], Meta(max_length=MAX_USERS_IN_AN_ENTRY)]
    void: bool


class SharedInvitations(WireMessage, frozen=True):
    """Invitations that the receiver may not know of, or what became of them."""

    invitations: Annotated[tuple[SharedInvitation, ...], Meta(max_length=MAX_SHARED_IN_A_FRAME)]


_encode: Final = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(SharedInvitations)


def frames_for(ledger: Ledger, own: Certificate, peer: Certificate, now: float) -> Iterator[bytes]:
    """What a ledger tells a peer, as payloads of frames."""
    told = [
        each
        for entry in ledger.entries
        if _is_told(entry, own, peer) and not entry.is_expired(now)
        for each in _pieces(entry, own.name)
    ]
    for at in range(0, len(told), MAX_SHARED_IN_A_FRAME):
        yield _encode(SharedInvitations(tuple(told[at : at + MAX_SHARED_IN_A_FRAME])))


def taking(ledger: Ledger, own: Certificate, peer: Certificate, payload: bytes, now: float) -> Ledger:
    """
    A ledger after a peer has told of its own; that very one if there is nothing new.

    @raise WireError: the payload is not what it must be.
    """
    before = ledger.entries
    entries = {each.id: each for each in before}
    for told in decode_with(_decoder, payload, "list of invitations").invitations:
        entry = _entry(told)
        # in the inviter's own ledger C{None} stands for itself
        if told.inviter == own.name.raw:
            entry = replace(entry, inviter=None)
        present = entries.get(entry.id)
        # one that is made here is not made by being told
        allowed = present is not None or (own.is_admin and entry.inviter is not None)
        if allowed and _may_tell(entry, peer) and not entry.is_expired(now):
            merged = entry if present is None else _merged(present, entry)
            if merged is not None:
                entries[entry.id] = merged
    after = _bounded(entries.values(), now)
    return ledger if after == before else Ledger(after)


def _is_told(entry: LedgerEntry, own: Certificate, peer: Certificate) -> bool:
    if not ISSUING_ROLES.isdisjoint(entry.roles):
        return False
    if entry.inviter is None:
        return peer.is_admin
    return own.is_admin and (peer.is_admin or entry.inviter == peer.name)


def _may_tell(entry: LedgerEntry, peer: Certificate) -> bool:
    if not ISSUING_ROLES.isdisjoint(entry.roles):
        return False
    if peer.is_admin:
        return True
    return peer.may_issue and entry.inviter == peer.name and entry.tags <= peer.tags


def _merged(present: LedgerEntry, told: LedgerEntry) -> LedgerEntry | None:
    """What two know of one invitation; C{None} if they do not mean the same one."""
    # what is fixed when an invitation is made must agree; C{allow} is never told
    if replace(told, used_by=present.used_by, void=present.void, allow=present.allow) != present:
        return None
    used_by = dict.fromkeys((*present.used_by, *told.used_by))
    return replace(present, used_by=tuple(used_by), void=present.void or told.void)


def _bounded(entries: Iterable[LedgerEntry], now: float) -> tuple[LedgerEntry, ...]:
    """Without copies that are of no use any more, and with as many and their users as an inviter may have."""
    kept, of_inviter, users = [], dict[Name, int](), Counter[Name]()
    for each in entries:
        if each.inviter is not None:
            number = of_inviter.get(each.inviter, 0)
            full = number >= MAX_OPEN_INVITATIONS or (not number and len(of_inviter) >= MAX_INVITERS)
            if full or each.is_expired(now):
                continue
            of_inviter[each.inviter] = number + 1
            # names are free: an inviter could tell of users until the file of an admin is too long to be read
            most = min(each.uses + MAX_OVERUSES, MAX_USERS_OF_AN_INVITER - users[each.inviter])
            users[each.inviter] += min(len(each.used_by), most)
            kept.append(_with_users(each, most))
        else:
            kept.append(each)
    return tuple(kept)


def _with_users(entry: LedgerEntry, most: int) -> LedgerEntry:
    if len(entry.used_by) <= most:
        return entry
    return replace(entry, used_by=tuple(sorted(entry.used_by)[:most]))


def _pieces(entry: LedgerEntry, own: Name) -> Iterator[SharedInvitation]:
    size = USERS_TOLD_AT_ONCE
    for at in range(0, max(1, len(entry.used_by)), size):
        yield SharedInvitation(
            (entry.inviter or own).raw,
            entry.secret,
            entry.expiry,
            entry.uses,
            entry.nickname,
            tuple(sorted(entry.roles)),
            tuple(sorted(entry.tags)),
            tuple(each.raw for each in entry.used_by[at : at + size]),
            entry.void,
        )


def _entry(told: SharedInvitation) -> LedgerEntry:
    return LedgerEntry(
        told.secret,
        told.expiry,
        told.uses,
        told.nickname,
        frozenset(told.roles),
        frozenset(told.tags),
        (),
        tuple(map(Name, told.used_by)),
        Name(told.inviter),
        told.void,
    )

"""
The ledger of an inviter: the invitations that it has made, and who has redeemed them.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field, replace
from typing import Final

from ..errors import LimitReached
from ..limits import DAY_SECONDS
from ..names import Name
from .certificate import MemberRole
from .invitation import invitation_id

MAX_OPEN_INVITATIONS: Final = 256
KEPT_AFTER_EXPIRY_SECONDS: Final = 30 * DAY_SECONDS
"""A node that comes with one that has expired hears that, not that it is unknown."""


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """
    An invitation as its inviter keeps it.

    @ivar secret: 128 bits; a node that proves them is let in.
    @ivar expiry: until when, in seconds since the epoch.
    @ivar uses: how many machines may redeem it.
    @ivar nickname: that of the new member; empty leaves it to that member.
    @ivar roles: what the new member may do.
    @ivar tags: its tags.
    @ivar allow: the inviter's protocols that it may use.
    @ivar used_by: who has redeemed it.
    @ivar inviter: who has made it; C{None} if it was made here.
    @ivar void: whether it was taken back.
    """

    secret: bytes = field(repr=False)
    expiry: int
    uses: int
    nickname: str
    roles: frozenset[MemberRole]
    tags: frozenset[str] = frozenset()
    allow: tuple[str, ...] = ()
    used_by: tuple[Name, ...] = ()
    inviter: Name | None = None
    void: bool = False

    @property
    def id(self) -> bytes:
        """Which one it is; says nothing of the secret."""
        return invitation_id(self.secret)

    def is_expired(self, now: float) -> bool:
        """Whether it is too late for anybody who has not redeemed it."""
        return now > self.expiry

    def is_open(self, now: float) -> bool:
        """Whether anybody can redeem it still."""
        return not self.void and not self.is_expired(now) and len(self.used_by) < self.uses

    def is_used_up_for(self, name: Name) -> bool:
        """Whether others have used it as often as it may be. A node that has redeemed it may do so again."""
        return name not in self.used_by and len(self.used_by) >= self.uses


@dataclass(frozen=True, slots=True)
class Ledger:
    """The invitations that an inviter has made. Immutable."""

    entries: tuple[LedgerEntry, ...] = ()

    def find(self, which: bytes) -> LedgerEntry | None:
        """The invitation with this id."""
        return next((each for each in self.entries if hmac.compare_digest(each.id, which)), None)

    def adding(self, entry: LedgerEntry, now: float) -> Ledger:
        """
        This ledger with one more invitation, and without those that expired long ago.

        @raise LimitReached: there are too many.
        """
        # copies of what others have made take none of our own room
        copies = tuple(each for each in self.entries if each.inviter is not None)
        own = (each for each in self.entries if each.inviter is None)
        kept = tuple(each for each in own if now <= each.expiry + KEPT_AFTER_EXPIRY_SECONDS)
        if len(kept) >= MAX_OPEN_INVITATIONS:
            # those that nobody can use go first
            kept = tuple(each for each in kept if each.is_open(now))
        if len(kept) >= MAX_OPEN_INVITATIONS:
            raise LimitReached("there are too many invitations that can be used", "", MAX_OPEN_INVITATIONS)
        return Ledger((*copies, *kept, entry))

    def voiding(self, which: bytes) -> Ledger:
        """This ledger after an invitation was taken back."""
        return Ledger(tuple(replace(each, void=True) if each.id == which else each for each in self.entries))

    def spending(self, which: bytes, name: Name) -> Ledger:
        """This ledger after a member has redeemed an invitation; once, however often it says so."""
        return Ledger(tuple(_used(each, name) if each.id == which else each for each in self.entries))


def _used(entry: LedgerEntry, name: Name) -> LedgerEntry:
    return entry if name in entry.used_by else replace(entry, used_by=(*entry.used_by, name))

"""
The roster: the statements that all members of a private network hold. It only grows.

Two rosters of one network have one merger, whatever the order and however often they are merged: of each slot
(issuer, kind, member, pardon known) the best statement is kept, and slots beyond a bound are left out in an
order that does not depend on what they hold. What an issuer says takes up its own room only.

Which statements are kept and which count are two questions. Kept is what the authority has signed, or an
admin whose certificate was good at the time. Of these an admin's count unless the authority has banned that
admin or revoked that certificate, so what a stolen admin key has said is undone by one statement. Two admins
who ban each other are of one rank: both bans count until the authority decides.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

from ..names import Name
from .certificate import Verifier
from .judging import CLOCK_TOLERANCE_SECONDS
from .networks import authority_of
from .statement import SignedStatement, StatementKind

MAX_STATEMENTS_OF_AN_ADMIN: Final = 1024
MAX_STATEMENTS_OF_THE_AUTHORITY: Final = 4096
MAX_ADMINS_IN_ROSTER: Final = 64
"""Admins who have made statements."""

Slot = tuple[Name, StatementKind, bytes]
"""The member, what is said, and of a ban the pardon that its issuer knew."""


def statement_problem(signed: SignedStatement, network: str, verifier: Verifier) -> str:
    """
    Why a statement is not kept, in words; empty if it is. It depends on the statement alone, so all members
    find the same.
    """
    said, above = signed.statement, signed.issuer_certificate
    if said.network != network:
        return "it is of another network"
    if (said.after and said.kind is not StatementKind.BAN) or (
        said.number and said.kind is StatementKind.BAN
    ):
        return "it says what its kind cannot say"
    if above is not None:
        if said.kind is StatementKind.PARDON:
            return "only the authority pardons"
        issuer = above.certificate
        if above.issuer_certificate is not None or not issuer.is_admin or issuer.network != network:
            return "its issuer is no admin of this network"
        begin, end = issuer.not_before - CLOCK_TOLERANCE_SECONDS, issuer.not_after + CLOCK_TOLERANCE_SECONDS
        if not begin <= said.time <= end:
            return "its issuer's certificate was not good at that time"
        if not above.is_signed(verifier):
            return "its issuer's certificate is not signed by the authority"
    return "" if signed.is_signed(verifier) else "its signature does not hold"


class Roster:
    """
    The statements of one network. Immutable.

    @ivar network: the network's id.
    @ivar statements: all that are kept, ordered by their ids.
    @ivar digest: 32 bytes that two rosters share if and only if they hold the same.
    """

    __slots__ = ("_bans", "_floors", "_pardons", "_slots", "digest", "network", "statements")

    def __init__(self, network: str, checked: Iterable[SignedStatement] = ()) -> None:
        """
        @param checked: statements in which L{statement_problem} has found nothing. Those from elsewhere go in
            by L{adding}.
        """
        self.network = network
        self._slots = _bounded(_best_of_each_slot(checked), authority_of(network))
        kept = (each for slots in self._slots.values() for each in slots.values())
        self.statements = tuple(sorted(kept, key=lambda each: each.id))
        self.digest = hashlib.sha256(b"".join(each.id for each in self.statements)).digest()
        self._count()

    def adding(self, statements: Iterable[SignedStatement], verifier: Verifier) -> Roster:
        """This roster with all of the statements that may be kept; this very roster if none is new."""
        known = self.ids
        new = [
            each
            for each in statements
            if each.id not in known and not statement_problem(each, self.network, verifier)
        ]
        return self._with(new) if new else self

    def merge(self, other: Roster) -> Roster:
        """What the two hold together; this very roster if the other holds nothing new."""
        assert other.network == self.network, "rosters of two networks"
        return self if self.digest == other.digest else self._with(other.statements)

    def _with(self, new: Iterable[SignedStatement]) -> Roster:
        merged = Roster(self.network, (*self.statements, *new))
        return self if merged.digest == self.digest else merged

    @property
    def ids(self) -> frozenset[bytes]:
        """The ids of all statements."""
        return frozenset(each.id for each in self.statements)

    def missing(self, ids: frozenset[bytes]) -> tuple[SignedStatement, ...]:
        """The statements that somebody who holds only these ids does not have."""
        return tuple(each for each in self.statements if each.id not in ids)

    def ban_of(self, name: Name) -> SignedStatement | None:
        """The ban of a member that counts: the authority's, else the oldest; C{None} if it is not banned."""
        return self._bans.get(name)

    @property
    def banned(self) -> frozenset[Name]:
        """Everybody who is banned."""
        return frozenset(self._bans)

    def lowest_serial(self, name: Name) -> int:
        """Certificates of a member with a lower serial are revoked."""
        found = self._floors.get(name)
        return 0 if found is None else found.statement.number

    def revocation_of(self, name: Name) -> SignedStatement | None:
        """The revocation that sets the lowest serial of a member's certificates, if there is one."""
        return self._floors.get(name)

    def pardon_of(self, name: Name) -> SignedStatement | None:
        """The last pardon of a member, if there is one."""
        return self._pardons.get(name)

    def kept_for(self, signed: SignedStatement) -> SignedStatement | None:
        """
        What would be kept of a new statement: itself, or the better one that its issuer has made before;
        C{None} if there is no room for it.
        """
        return self._with((signed,))._slots.get(signed.issuer, {}).get(_slot(signed))

    def counts(self, signed: SignedStatement) -> bool:
        """Whether a statement that is kept counts, as far as its issuer goes."""
        above = signed.issuer_certificate
        if above is None:
            return True
        issuer = above.certificate
        ban = self._bans.get(issuer.name)
        if ban is not None and ban.is_of_authority:
            return False
        revoked = self._of_authority.get((issuer.name, StatementKind.REVOKE, b""))
        return revoked is None or issuer.serial >= revoked.statement.number

    @property
    def _of_authority(self) -> dict[Slot, SignedStatement]:
        return self._slots.get(authority_of(self.network), {})

    def __len__(self) -> int:
        return len(self.statements)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Roster):
            return NotImplemented
        return self.network == other.network and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"<Roster of {len(self)} statements, {self.digest.hex()[:8]}>"

    def _count(self) -> None:
        """Find out what counts: what the authority says first, since it decides whose other words do."""
        self._pardons: dict[Name, SignedStatement] = {}
        self._bans: dict[Name, SignedStatement] = {}
        self._floors: dict[Name, SignedStatement] = {}
        of_authority = [each for each in self.statements if each.is_of_authority]
        for each in of_authority:
            if each.statement.kind is StatementKind.PARDON:
                self._pardons[each.statement.name] = each
        self._apply(of_authority)
        # judged by the authority's words alone, so that no admin's word depends on another admin's
        others = [each for each in self.statements if not each.is_of_authority and self.counts(each)]
        self._apply(others)

    def _apply(self, statements: list[SignedStatement]) -> None:
        for each in sorted(statements, key=lambda each: (each.statement.time, each.id)):
            said = each.statement
            if said.kind is StatementKind.REVOKE:
                before = self._floors.get(said.name)
                if before is None or before.statement.number < said.number:
                    self._floors[said.name] = each
            elif said.kind is StatementKind.BAN:
                pardon = self._pardons.get(said.name)
                if said.after == (b"" if pardon is None else pardon.id):
                    self._bans.setdefault(said.name, each)


def _best_of_each_slot(statements: Iterable[SignedStatement]) -> dict[Name, dict[Slot, SignedStatement]]:
    """For each issuer the statement that is kept of each slot."""
    found: dict[Name, dict[Slot, SignedStatement]] = {}
    for each in statements:
        slots = found.setdefault(each.issuer, {})
        slot = _slot(each)
        present = slots.get(slot)
        if present is None or _rank(each) > _rank(present):
            slots[slot] = each
    return found


def _slot(signed: SignedStatement) -> Slot:
    return (signed.statement.name, signed.statement.kind, signed.statement.after)


def _rank(signed: SignedStatement) -> tuple[int, int, bytes]:
    """The rank of a statement: of two in one slot the greater is kept, first by number, then the older."""
    return (signed.statement.number, -signed.statement.time, signed.id)


def _bounded(
    found: dict[Name, dict[Slot, SignedStatement]], authority: Name
) -> dict[Name, dict[Slot, SignedStatement]]:
    # What is left out must not depend on what the slots hold: else one that was left out, and whose statement
    # is replaced later, would be kept by some members and not by others.
    admins = sorted(each for each in found if each != authority)[:MAX_ADMINS_IN_ROSTER]
    bounds = dict.fromkeys(admins, MAX_STATEMENTS_OF_AN_ADMIN)
    if authority in found:
        bounds[authority] = MAX_STATEMENTS_OF_THE_AUTHORITY
    return {
        issuer: {slot: found[issuer][slot] for slot in sorted(found[issuer])[:bound]}
        for issuer, bound in bounds.items()
    }

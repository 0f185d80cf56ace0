"""
Members as tables of plain values, for the control socket and for C{--json}.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias

from ...names import Name
from ...trust.certificate import Certificate
from ...trust.judging import date_text
from ...trust.ledger import LedgerEntry
from ...trust.roster import Roster

Describe: TypeAlias = Callable[[Name], str]


def member_table(certificate: Certificate) -> dict[str, Any]:
    """What a certificate says: C{expires} in seconds since the epoch, C{until} the same for people."""
    return {
        "nickname": certificate.nickname,
        "name": str(certificate.name),
        "roles": [each.text for each in sorted(certificate.roles)],
        "tags": sorted(certificate.tags),
        "expires": certificate.not_after,
        "until": date_text(certificate.not_after),
    }


def member_tables(
    own: Certificate,
    known: Iterable[Certificate],
    roster: Roster,
    links: Iterable[Mapping[str, Any]],
    now: float,
) -> tuple[dict[str, Any], ...]:
    """
    All members that a node knows of: itself, then those with a link, then the others, each by nickname; last
    those who are banned and whose certificates it does not know.

    @param known: the certificates of others.
    @param links: the links of the node's status.
    """
    linked = {link["peer"]: link for link in links}
    found = [_known(each, roster, linked, now) for each in known]
    found.sort(key=lambda each: (each["connection"] is None, each["nickname"].lower(), each["name"]))
    names = {each["name"] for each in found}
    # a ban may be known here before the certificate of its member, or without it
    unknown = [name for name in sorted(roster.banned) if str(name) not in names and name != own.name]
    this = {**_known(own, roster, linked, now), "this": True}
    return (this, *found, *(_unknown(name, roster) for name in unknown))


INVITATION_ID_CHARACTERS: Final = 8


def invitation_table(entry: LedgerEntry, own: Certificate, describe: Describe, now: float) -> dict[str, Any]:
    """
    What is known of an invitation. It does not tell the secret.

    @param describe: a member, as text for people.
    """
    left = max(0, entry.uses - len(entry.used_by))
    if entry.void:
        state = "taken back"
    elif entry.is_expired(now):
        state = "expired"
    else:
        state = "open" if left else "used up"
    inviter = own.name if entry.inviter is None else entry.inviter
    return {
        "id": entry.id.hex()[:INVITATION_ID_CHARACTERS],
        "nickname": entry.nickname,
        "roles": [each.text for each in sorted(entry.roles)],
        "tags": sorted(entry.tags),
        "uses": entry.uses,
        "used_by": [describe(each) for each in entry.used_by],
        "expires": entry.expiry,
        "until": date_text(entry.expiry),
        "state": state,
        "inviter": describe(inviter),
    }


def ban_text(name: Name, roster: Roster) -> str:
    """By whom a member is banned, when and why; empty if it is not."""
    ban = roster.ban_of(name)
    if ban is None:
        return ""
    note = f": {ban.statement.note}" if ban.statement.note else ""
    return f"by {ban.issuer_text} on {date_text(ban.statement.time)}{note}"


def _known(
    certificate: Certificate, roster: Roster, linked: Mapping[str, Mapping[str, Any]], now: float
) -> dict[str, Any]:
    link = linked.get(str(certificate.name))
    return {
        **member_table(certificate),
        "this": False,
        "connection": None if link is None else link["rung"],
        "via": None if link is None else link["via"],
        "linked_seconds": None if link is None else link["seconds"],
        "expired": now > certificate.not_after,
        "banned": ban_text(certificate.name, roster),
    }


def _unknown(name: Name, roster: Roster) -> dict[str, Any]:
    return {
        "nickname": "",
        "name": str(name),
        "roles": [],
        "tags": [],
        "expires": None,
        "until": "",
        "this": False,
        "connection": None,
        "via": None,
        "linked_seconds": None,
        "expired": False,
        "banned": ban_text(name, roster),
    }

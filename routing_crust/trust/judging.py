"""
Whether a certificate is good: a pure decision, the same at both ends of a link.

Clocks differ, so each is given two days: a member whose clock is a day off is let in, and lets others in.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from time import gmtime, strftime
from typing import Final, Protocol

from ..limits import DAY_SECONDS
from ..names import Name
from .certificate import Certificate, SignedCertificate, Verifier
from .statement import SignedStatement

CLOCK_TOLERANCE_SECONDS: Final = 2 * DAY_SECONDS
RENEWAL_GRACE_SECONDS: Final = 30 * DAY_SECONDS
"""How long a certificate that has expired may still ask for its renewal."""


class Statements(Protocol):
    """What judging needs of a L{Roster<routing_crust.trust.roster.Roster>}."""

    def ban_of(self, name: Name) -> SignedStatement | None:
        """The ban of a member, if it is banned."""
        ...

    def revocation_of(self, name: Name) -> SignedStatement | None:
        """The revocation of certificates of a member, if there is one."""
        ...


class Problem(Enum):
    """Why a certificate is not good."""

    MISSING = "it shows no certificate"
    OTHER_NETWORK = "its certificate is of another network"
    OTHER_NAME = "its certificate is another member's"
    BANNED = "it is banned"
    BAD_SIGNATURE = "its certificate is forged or damaged"
    ISSUER = "its certificate comes from somebody who may not issue it"
    NOT_YET = "its certificate is not valid yet"
    EXPIRED = "its certificate has expired"
    REVOKED = "its certificate is revoked"
    ISSUER_BANNED = "the issuer of its certificate is banned"
    ISSUER_REVOKED = "the certificate of its issuer is revoked"


RENEWABLE: Final = frozenset(
    (Problem.EXPIRED, Problem.REVOKED, Problem.ISSUER_BANNED, Problem.ISSUER_REVOKED)
)
"""With these a member may still ask; whether it gets a new certificate is for the admin to decide."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """
    Why a certificate is not good.

    @ivar problem: which of the reasons it is.
    @ivar detail: by whom, and when; empty if there is no more to say.
    @ivar may_ask: whether the member may still ask for another certificate.
    """

    problem: Problem
    detail: str = ""
    may_ask: bool = False

    def __str__(self) -> str:
        return self.problem.value + (f" ({self.detail})" if self.detail else "")


def judge(
    signed: SignedCertificate | None,
    network: str,
    name: Name,
    roster: Statements,
    now: float,
    verifier: Verifier,
) -> Rejection | None:
    """
    Why this certificate does not let a member in; C{None} if it does. Cheapest checks first.

    @param name: the member that TLS has proven.
    @param now: in seconds since the epoch.
    """
    if signed is None:
        return Rejection(Problem.MISSING)
    own, above = signed.certificate, signed.issuer_certificate
    found = (
        _belongs(own, network, name)
        or _banned(roster.ban_of(own.name), Problem.BANNED)
        or _issued(signed, verifier)
        or _in_time(own, now)
        or _revoked(own, roster, Problem.REVOKED)
    )
    if found is not None or above is None:
        return found
    issuer = above.certificate
    return _banned(roster.ban_of(issuer.name), Problem.ISSUER_BANNED) or _revoked(
        issuer, roster, Problem.ISSUER_REVOKED
    )


def genuine(signed: SignedCertificate, network: str, verifier: Verifier) -> bool:
    """
    Whether a certificate was issued by somebody of this network who might issue it. It depends on nothing
    but the certificate, so all members find the same.
    """
    return signed.certificate.network == network and _issued(signed, verifier) is None


def may_give(issuer: Certificate, certificate: Certificate) -> str:
    """Why this issuer may not give this certificate, in words; empty if it may."""
    if not issuer.may_issue:
        return f"{issuer} is neither an admin nor an inviter"
    if certificate.may_issue:
        return "only the authority makes admins and inviters"
    # a tag opens doors, so nobody hands out one without having it
    foreign = certificate.tags - issuer.tags
    if foreign and not issuer.is_admin:
        return f"an inviter gives only tags that it has itself, and {issuer} has no {min(foreign)!r}"
    if not issuer.not_before <= certificate.not_before < certificate.not_after <= issuer.not_after:
        return f"it would be good longer than the certificate of {issuer}"
    return ""


def wants_renewal(certificate: Certificate, now: float) -> bool:
    """Whether a third of the lifetime has passed, so that a new certificate is asked for."""
    return now >= certificate.not_before + certificate.lifetime / 3


def ends_soon(certificate: Certificate, now: float) -> bool:
    """Whether only a third of the lifetime is left, so that the operator is warned."""
    return now >= certificate.not_after - certificate.lifetime / 3


def date_text(when: float) -> str:
    """A time as logs, errors and tables show it: in UTC, to the minute."""
    return strftime("%Y-%m-%d %H:%M UTC", gmtime(when))


def standing(own: Certificate, rejection: Rejection | None, now: float) -> dict[str, object]:
    """How long a certificate is good, and why it is not, as values for JSON."""
    return {
        "until": date_text(own.not_after),
        "seconds_left": round(own.not_after - now),
        "ends_soon": ends_soon(own, now),
        "problem": "" if rejection is None else str(rejection),
        "problem_kind": "" if rejection is None else rejection.problem.name.lower(),
    }


def _belongs(own: Certificate, network: str, name: Name) -> Rejection | None:
    if own.network != network:
        return Rejection(Problem.OTHER_NETWORK, own.network)
    return Rejection(Problem.OTHER_NAME, str(own)) if own.name != name else None


def _issued(signed: SignedCertificate, verifier: Verifier) -> Rejection | None:
    own, above = signed.certificate, signed.issuer_certificate
    if above is not None:
        if above.certificate.network != own.network or above.issuer_certificate is not None:
            return Rejection(Problem.ISSUER, "it is of another network, or not the authority's")
        problem = may_give(above.certificate, own)
        if problem:
            return Rejection(Problem.ISSUER, problem)
    chain = (signed,) if above is None else (above, signed)
    return None if all(each.is_signed(verifier) for each in chain) else Rejection(Problem.BAD_SIGNATURE)


def _in_time(own: Certificate, now: float) -> Rejection | None:
    if now < own.not_before - CLOCK_TOLERANCE_SECONDS:
        return Rejection(Problem.NOT_YET, f"from {date_text(own.not_before)} on; now is {date_text(now)}")
    if now > own.not_after + CLOCK_TOLERANCE_SECONDS:
        # the issuer's ends later, so there is nothing else to look at
        return Rejection(
            Problem.EXPIRED,
            f"on {date_text(own.not_after)}; now is {date_text(now)}",
            now <= own.not_after + RENEWAL_GRACE_SECONDS,
        )
    return None


def _banned(ban: SignedStatement | None, problem: Problem) -> Rejection | None:
    if ban is None:
        return None
    said = ban.statement
    why = f": {said.note}" if said.note else ""
    detail = f"by {ban.issuer_text} on {date_text(said.time)}{why}"
    return Rejection(problem, detail, problem in RENEWABLE)


def _revoked(own: Certificate, roster: Statements, problem: Problem) -> Rejection | None:
    found = roster.revocation_of(own.name)
    if found is None or own.serial >= found.statement.number:
        return None
    return Rejection(problem, f"by {found.issuer_text} on {date_text(found.statement.time)}", True)

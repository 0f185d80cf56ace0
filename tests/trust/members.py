"""A private network for tests: its authority, two admins, an inviter and members, with simulated keys."""

from __future__ import annotations

from routing_crust.limits import DAY_SECONDS
from routing_crust.names import Name
from routing_crust.testing.identity import KeyRing, SimulatedIdentity
from routing_crust.trust.certificate import MemberRole, SignedCertificate
from routing_crust.trust.issuing import Issuer
from routing_crust.trust.judging import Rejection, judge
from routing_crust.trust.roster import Roster

NOW = 1_800_000_000.0
RING = KeyRing()


def key_of(word: str) -> SimulatedIdentity:
    """The key of the member with this nickname, always the same."""
    return SimulatedIdentity(RING, word.encode().ljust(32, b"."))


def name_of(word: str) -> Name:
    """The name of the member with this nickname."""
    return key_of(word).name


VERIFIER = key_of("anybody")
AUTHORITY = Issuer(key_of("authority"))
NETWORK = AUTHORITY.network


def certified(
    word: str, role: MemberRole, issuer: Issuer = AUTHORITY, now: float = NOW, tags: tuple[str, ...] = ()
) -> SignedCertificate:
    """The certificate of the member with this nickname."""
    return issuer.issue(name_of(word), word, role.implied, now, tags=tags)


def issuer_called(word: str, role: MemberRole = MemberRole.ADMIN, tags: tuple[str, ...] = ()) -> Issuer:
    """An admin or inviter."""
    return Issuer(key_of(word), certified(word, role, tags=tags))


ALICE = issuer_called("alice")
BOB = issuer_called("bob")
INVITER = issuer_called("inviter", MemberRole.INVITE, ("web",))
EMPTY = Roster(NETWORK)


def judged(
    signed: SignedCertificate | None,
    word: str,
    roster: Roster = EMPTY,
    now: float = NOW,
    network: str = NETWORK,
) -> Rejection | None:
    """The verdict on the certificate that the member with this nickname shows."""
    return judge(signed, network, name_of(word), roster, now, VERIFIER)


def days(number: float) -> float:
    """In seconds."""
    return number * DAY_SECONDS

"""
NAT pairs: which connections the NATs of two nodes allow.

With endpoint-independent mapping (CONE) a peer knows from what others have seen where our SYN will come
from; with another mapping for each destination (SYMMETRIC) no peer can know. Two such NATs therefore
cannot be punched (Ford, Srisuresh and Kegel, 2005, section 5.1). With one it depends on what the other NAT
lets in, which only a try tells.

Plain functions.
"""

from __future__ import annotations

from ..crust.interfaces import Guess, ICrust, ILink, account_of
from ..crust.reachability import Dialable, EndpointSource
from ..wire.messages import NatKind

_TRANSLATED = (NatKind.CONE, NatKind.SYMMETRIC, NatKind.TRANSLATED)
_OPEN_ENDS = (EndpointSource.CONFIGURED, EndpointSource.MAPPED, EndpointSource.INTERFACE)


def told_nat(crust: ICrust) -> NatKind:
    """
    What a node tells of its NAT in requests and responses. Between two that tell C{CONE} no plain dial is
    made; so one that may be dialable all the same, since no address is translated or a router forwards
    a port, tells C{UNKNOWN} until others have tried.
    """
    untried = crust.reachability.dialable is Dialable.UNKNOWN
    if crust.nat is NatKind.CONE and untried and _has_open_end(crust):
        return NatKind.UNKNOWN
    return crust.nat


def nat_of_hello(crust: ICrust) -> NatKind:
    """
    What a node tells of its NAT in its Hello, and goes by itself when it has a link with a peer. For a second
    direction that a NAT will not let in nobody waits, so one peer that sees us elsewhere is enough here.
    """
    # what one peer alone has seen is asked, and not known
    seen_elsewhere = set(crust.candidates).difference(each.endpoint for each in crust.sources)
    if crust.nat is NatKind.UNKNOWN and seen_elsewhere and not _has_open_end(crust):
        return NatKind.TRANSLATED
    return crust.nat


def _has_open_end(crust: ICrust) -> bool:
    """Whether it may be dialable, since no address of its is translated or a router forwards a port."""
    return any(each.source in _OPEN_ENDS for each in crust.sources)


def plain_is_hopeless(one: NatKind, other: NatKind) -> bool:
    """Whether a plain dial of one of the two to the other, from a port of its own, cannot succeed."""
    return one is NatKind.CONE and other is NatKind.CONE


def can_punch(one: NatKind, other: NatKind) -> bool:
    """Whether both ends dialling each other at once may give a link between two such nodes."""
    return not (one is NatKind.SYMMETRIC and other is NatKind.SYMMETRIC)


def guess_between(ours: NatKind, theirs: NatKind, tunnel: ILink) -> Guess | None:
    """
    How ports are guessed, where exactly one of two NATs has another for each connection; else C{None}.

    @param tunnel: the tunnel to the peer, whose relay sees the peer's address.
    """
    opens, guesses = ours is NatKind.SYMMETRIC, theirs is NatKind.SYMMETRIC
    # of two symmetric NATs a pair of ports would have to be hit, and without one nothing need be guessed
    if opens is guesses or NatKind.OPEN in (ours, theirs):
        return None
    return Guess(tunnel.seen_at, opens, account_of(tunnel))


def plain_may_do(one: NatKind, other: NatKind) -> bool:
    """Whether a plain dial of one of the two to the other is likely enough to give it a start."""
    unknown = one is NatKind.UNKNOWN and other is NatKind.UNKNOWN
    return unknown or NatKind.OPEN in (one, other)


def both_ways(one: NatKind, other: NatKind) -> bool:
    """Whether each of the two may be able to dial the other, as far as is known."""
    return one not in _TRANSLATED and other not in _TRANSLATED

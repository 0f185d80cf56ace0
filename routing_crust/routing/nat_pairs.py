"""
NAT pairs: which connections the NATs of two nodes allow.

With endpoint-independent mapping (CONE) a peer knows from what others have seen where our SYN will come
from; with another mapping for each destination (SYMMETRIC) no peer can know. Two such NATs therefore
cannot be punched (Ford, Srisuresh and Kegel, 2005, section 5.1). With one it depends on what the other NAT
lets in, which only a try tells.

Plain functions.
"""

from __future__ import annotations

from ..wire.messages import NatKind

_TRANSLATED = (NatKind.CONE, NatKind.SYMMETRIC)


def can_punch(one: NatKind, other: NatKind) -> bool:
    """Whether both ends dialling each other at once may give a link between two such nodes."""
    return not (one is NatKind.SYMMETRIC and other is NatKind.SYMMETRIC)


def plain_may_do(one: NatKind, other: NatKind) -> bool:
    """Whether a plain dial of one of the two to the other is likely enough to give it a start."""
    unknown = one is NatKind.UNKNOWN and other is NatKind.UNKNOWN
    return unknown or NatKind.OPEN in (one, other)


def both_ways(one: NatKind, other: NatKind) -> bool:
    """Whether each of the two may be able to dial the other, as far as is known."""
    return one not in _TRANSLATED and other not in _TRANSLATED

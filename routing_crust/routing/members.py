"""
Who may have a link with this node: in an open network everybody, in a private one its members.

L{Members} is the rule of an open network. That of a private one is
L{PrivateMembers<routing_crust.routing.private.private_members.PrivateMembers>}.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..errors import CloseReason
from ..names import Name


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """
    Why somebody is taken for no member.

    @ivar detail: more, in words, for our log.
    @ivar by: who has banned it, if somebody has.
    @ivar at: when it was banned, or when its certificate expired, in seconds since the epoch; else 0.
    @ivar renewed: a new certificate for it, encoded: what it gets instead of the link.
    """

    reason: CloseReason
    detail: str = ""
    by: Name | None = None
    at: float = 0.0
    renewed: bytes = b""


class Members:
    """
    Asked by the registry of links about each Hello, and by parts that use a peer for others. None of these
    raises.

    @ivar is_private: whether there is anything to show and to judge.
    """

    is_private = False

    @property
    def shown(self) -> bytes:
        """The certificate that our Hello shows, encoded; empty in an open network."""
        return b""

    @property
    def digest(self) -> bytes:
        """The digest of the roster; empty in an open network."""
        return b""

    def judge(self, peer: Name, shown: bytes, is_client: bool, time: float) -> TurnedAway | None:
        """
        Judge what a peer's Hello shows, the signature of which holds.

        @param shown: its certificate, encoded.
        @param is_client: whether it says that it is a client.
        @param time: its clock, in seconds since the epoch; 0 if it does not say.
        @return: why it is turned away; C{None} if it is not.
        """
        return None

    def is_banned(self, name: Name) -> bool:
        """Whether nothing is taken from this name, by whichever way it comes."""
        return False

    def may_relay(self, name: Name) -> bool:
        """Whether this peer may be the relay of tunnels."""
        return True


OPEN: Final = Members()
"""The rule of every open network."""

"""
Commands about the members of a private network, and their replies: one for each. A daemon answers those that
it has a handler for (L{routing_crust.daemon.control.server.ControlServer.handle}).
"""

from __future__ import annotations

from typing import TypeAlias

from .line import ControlLine


class InviteCommand(ControlLine, frozen=True, tag="invite"):
    """
    Make an invitation.

    @ivar nickname: what the new member will be called; empty leaves it to whoever redeems it.
    @ivar roles: what it may do; empty is C{node} and C{relay}.
    @ivar tags: groups that permissions can name.
    @ivar uses: how often it may be redeemed.
    @ivar lifetime: for how many seconds.
    @ivar allow: protocols that this daemon exposes and that the new member may have.
    @ivar at: where the new member can be dialled, as endpoints: this daemon dials it there.
    """

    nickname: str = ""
    roles: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    uses: int = 1
    lifetime: float = 86400.0
    allow: tuple[str, ...] = ()
    at: tuple[str, ...] = ()


class InvitedReply(ControlLine, frozen=True, tag="invited"):
    """
    The invitation.

    @ivar line: what the new member needs to know.
    @ivar expires: until when, in seconds since the epoch.
    @ivar endpoints: where it can be redeemed.
    @ivar warning: what keeps it from being redeemed, as far as is known; empty if nothing does.
    """

    line: str
    expires: float
    endpoints: tuple[str, ...]
    warning: str = ""


MemberCommand: TypeAlias = InviteCommand
"""Commands that are answered by handlers of the daemon."""
MemberReply: TypeAlias = InvitedReply

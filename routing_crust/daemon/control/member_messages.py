"""
Commands about the members of a private network, and their replies: one for each. A daemon answers those that
it has a handler for (L{routing_crust.daemon.control.server.ControlServer.handle}).
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from .line import ControlLine

ROUTERS_SECONDS: Final = 15.0
"""
How long an C{invite} soon after the start waits for routers; one that knows no protocol of ours takes 12 s.
"""


class InviteCommand(ControlLine, frozen=True, tag="invite"):
    """
    Make an invitation.

    @ivar nickname: what the new member will be called; empty leaves it to the node that redeems it.
    @ivar roles: what it may do; empty is C{node} and C{relay}.
    @ivar tags: groups that permissions can name.
    @ivar uses: how often it may be redeemed.
    @ivar lifetime: for how many seconds.
    @ivar allow: protocols that this daemon exposes and that the new member may have.
    @ivar at: where the new member can be dialled, as endpoints: this daemon dials it there.
    @ivar addresses: where this daemon can be dialled, as endpoints or as host:port; before what it knows.
    @ivar short: whether it is one of few characters, which names one address of this daemon.
    """

    nickname: str = ""
    roles: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    uses: int = 1
    lifetime: float = 86400.0
    allow: tuple[str, ...] = ()
    at: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    short: bool = False


class InvitedReply(ControlLine, frozen=True, tag="invited"):
    """
    The invitation.

    @ivar line: what the new member needs to know.
    @ivar expires: until when, in seconds since the epoch.
    @ivar endpoints: where it can be redeemed.
    @ivar warning: what keeps it from being redeemed, as far as is known; empty if nothing does.
    @ivar not_exposed: protocols that it allows, and that are not exposed here at the moment.
    """

    line: str
    expires: float
    endpoints: tuple[str, ...]
    warning: str = ""
    not_exposed: tuple[str, ...] = ()


class InvitationsCommand(ControlLine, frozen=True, tag="invitations"):
    """
    Ask for the invitations that this daemon can honour, or take one of them back.

    @ivar void: the id of the one that is taken back, or how it begins; empty lists them.
    """

    void: str = ""


class InvitationsReply(ControlLine, frozen=True, tag="invitations"):
    """
    The invitations: all, or the one that was taken back.

    @ivar invitations: a table for each, as L{routing_crust.daemon.members.listing} makes them.
    """

    invitations: tuple[dict[str, Any], ...]


class MembersCommand(ControlLine, frozen=True, tag="members"):
    """Ask for the members that the daemon knows of."""


class MembersReply(ControlLine, frozen=True, tag="members"):
    """
    The members that the daemon knows of, itself first.

    @ivar network: the id of the private network.
    @ivar label: what it is called on this machine.
    @ivar authority: whether the authority's key is on this machine.
    @ivar members: a table for each, as L{routing_crust.daemon.members.listing} makes them.
    """

    network: str
    authority: bool
    members: tuple[dict[str, Any], ...]
    label: str = ""


class BanCommand(ControlLine, frozen=True, tag="ban"):
    """
    Ban a member, or lift its bans.

    @ivar member: its name or nickname, or how its name begins.
    @ivar note: why, for people.
    @ivar lift: whether the bans of it are lifted instead.
    """

    member: str
    note: str = ""
    lift: bool = False


class BannedReply(ControlLine, frozen=True, tag="banned"):
    """
    The ban, or its lifting, is in the roster.

    @ivar member: who it is, as text for people.
    @ivar name: the member's name.
    @ivar by: who bans it, as text; empty where its bans were lifted.
    @ivar linked: with how many members the daemon has links at the moment.
    @ivar unbanned: others who are not banned any more by it, as texts: an admin that the authority bans had
        banned them.
    @ivar uncertified: members, as texts, whose certificates the member has issued: they need new ones.
    @ivar before: by whom it was banned already, and when; empty if it was not.
    @ivar warning: what the operator should know besides; empty if there is nothing.
    """

    member: str
    name: str
    by: str
    linked: int
    unbanned: tuple[str, ...] = ()
    uncertified: tuple[str, ...] = ()
    before: str = ""
    warning: str = ""


class RenewCommand(ControlLine, frozen=True, tag="renew"):
    """
    Issue new certificates.

    @ivar members: whose, as in L{BanCommand}; empty is the daemon's own.
    """

    members: tuple[str, ...] = ()


class TagCommand(ControlLine, frozen=True, tag="tag"):
    """
    Change the tags of a member.

    @ivar member: as in L{BanCommand}.
    @ivar add: tags that it gets.
    @ivar remove: tags that it loses: its certificates that have them are revoked.
    """

    member: str
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()


class RoleCommand(ControlLine, frozen=True, tag="role"):
    """
    Change what a member may do.

    @ivar member: as in L{BanCommand}.
    @ivar roles: what it may do from now on; a greater one includes the smaller ones. A certificate that says
        more is revoked.
    """

    member: str
    roles: tuple[str, ...]


class CertifiedReply(ControlLine, frozen=True, tag="certified"):
    """
    New certificates were issued.

    @ivar members: a table for each, as L{routing_crust.daemon.members.listing} makes them, with C{delivered}:
        whether the member has it; else it gets it when it comes.
    @ivar warning: what the operator should know besides; empty if there is nothing.
    """

    members: tuple[dict[str, Any], ...]
    warning: str = ""


MemberCommand: TypeAlias = (
    InviteCommand | InvitationsCommand | MembersCommand | BanCommand | RenewCommand | TagCommand | RoleCommand
)
"""Commands that are answered by handlers of the daemon."""
MemberReply: TypeAlias = InvitedReply | InvitationsReply | MembersReply | BannedReply | CertifiedReply

"""
What an invitation says: where its inviter can be dialled, and the secret. Tells also what keeps it from being
redeemed.
"""

from __future__ import annotations

from collections.abc import Sequence
from secrets import token_bytes
from typing import Final

from ...endpoints import Contact, Endpoint, is_local_only
from ...errors import InvalidInvitation
from ...hosts.contacts import DOMAIN_PREFIX, NamedContact, contact_from_text
from ...names import Name
from ...trust.invitation import MAX_INVITATION_ENDPOINTS, SECRET_BYTES, Invitation, endpoints_beside
from ...trust.short_invitation import AnyInvitation, ShortInvitation
from ..control.member_messages import InviteCommand
from .surroundings import Surroundings

OWN_ENDPOINTS: Final = 3
"""Endpoints of this node that an invitation names; the others are those of members that pass on to us."""
ONLY_LOCAL: Final = (
    "this works in this local network only: a member that passes it on can be dialled from outside, and an "
    "invitation without --short names it"
)


class InvitationWriter:
    """Writes the invitations of one node."""

    def __init__(self, network: str, own: Name, surroundings: Surroundings) -> None:
        """
        @param own: the inviter's name: that of this node.
        """
        self._network = network
        self._own = own
        self._surroundings = surroundings

    def written(self, command: InviteCommand, expiry: int) -> AnyInvitation:
        """
        Write one.

        @param expiry: in seconds since the epoch.
        @raise InvalidEndpoint: an address of the command is none.
        @raise InvalidInvitation: it has no room for what the command says, or no place can be named.
        """
        hosts, named = places_from_texts(command.addresses)
        if command.short:
            return self._short(hosts, named)
        doors = endpoints_beside(hosts, tuple(dict.fromkeys((*named, *self._endpoints()))))
        if len(doors) < len(named):
            raise InvalidInvitation("an invitation has no place for so many addresses beside these hosts")
        secret = token_bytes(SECRET_BYTES)
        return Invitation(self._network, self._own, doors, secret, expiry, command.uses, hosts)

    def _short(self, hosts: tuple[NamedContact, ...], named: tuple[Endpoint, ...]) -> ShortInvitation:
        if hosts or len(named) > 1:
            raise InvalidInvitation("a short invitation has room for one address, and for no host name")
        found = named or self._endpoints(only_own=True)
        if not found:
            raise InvalidInvitation(
                "a short invitation says where this node itself can be dialled, and it cannot be: leave "
                "--short out, and members that can be dialled are named"
            )
        # IPv4 is shorter, and what can be dialled from outside can mostly be dialled from inside
        return ShortInvitation.at(min(found, key=lambda each: (is_local_only(each), each.is_v6)))

    def needs_a_router(self, command: InviteCommand) -> bool:
        """Whether an address that a router maps for this node is what the invitation lacks."""
        return not _names_places(command) and bool(_warning(self._endpoints(command.short)))

    def warning(self, command: InviteCommand, made: AnyInvitation) -> str:
        """What keeps an invitation from being redeemed, as far as is known here; else empty."""
        if _names_places(command):
            return ""
        if isinstance(made, ShortInvitation) and not _warning(self._endpoints()):
            return ONLY_LOCAL if is_local_only(made.endpoint) else ""
        return _warning(made.endpoints)

    def doors(self) -> tuple[Contact, ...]:
        """Where this node can be dialled, and then members that pass on to it."""
        own, found = self._own, self._surroundings.doors()
        mine = [each for each in found if each.name == own][:OWN_ENDPOINTS]
        others = [each for each in found if each.name != own]
        return tuple((mine + others)[:MAX_INVITATION_ENDPOINTS])

    def _endpoints(self, only_own: bool = False) -> tuple[Endpoint, ...]:
        return tuple(each.endpoint for each in self.doors() if each.name == self._own or not only_own)


def places_from_texts(texts: tuple[str, ...]) -> tuple[tuple[NamedContact, ...], tuple[Endpoint, ...]]:
    """
    Read the texts of C{--address}: host names, and addresses.

    @raise InvalidEndpoint: with what is wrong.
    @raise InvalidInvitation: an invitation has no place for it.
    """
    hosts: list[NamedContact] = []
    endpoints: list[Endpoint] = []
    for text in texts:
        contact = contact_from_text(text)
        if contact.name is not None:
            raise InvalidInvitation(
                f"leave {contact.name}@ out of --address {text}: a machine that redeems an invitation "
                "asks any member there, whatever its name, and knows the inviter by the line"
            )
        if isinstance(contact, Contact):
            endpoints.append(contact.endpoint)
        elif contact.is_domain:
            raise InvalidInvitation(
                f"an invitation names hosts, not the nodes of a domain ({DOMAIN_PREFIX}): write HOST:PORT"
            )
        else:
            hosts.append(contact)
    if len(texts) > MAX_INVITATION_ENDPOINTS:
        raise InvalidInvitation(f"an invitation names at most {MAX_INVITATION_ENDPOINTS} places")
    return tuple(dict.fromkeys(hosts)), tuple(dict.fromkeys(endpoints))


def _names_places(command: InviteCommand) -> bool:
    """Whether the operator has said where the two machines meet, and is to be believed."""
    return bool(command.addresses or command.at)


def _warning(doors: Sequence[Endpoint]) -> str:
    """What keeps an invitation with these endpoints from being redeemed."""
    if not doors:
        return (
            "nobody can dial this node: it listens nowhere, and it has no link with a member that does. "
            "Say with --at where it can dial the other machine"
        )
    if all(is_local_only(each) for each in doors):
        return (
            "this works in this local network only: no address of this node, or of a member that it has a "
            "link with, can be dialled from outside. If the other machine has such an address, give it "
            "with --at"
        )
    return ""

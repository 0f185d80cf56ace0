"""
Where an invitation says that its inviter can be dialled, as the operator has written it.
"""

from __future__ import annotations

from ...endpoints import Contact, Endpoint
from ...errors import InvalidInvitation
from ...hosts.contacts import DOMAIN_PREFIX, NamedContact, contact_from_text
from ...trust.invitation import MAX_INVITATION_ENDPOINTS


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

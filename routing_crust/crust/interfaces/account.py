"""
Who is held to account for what comes by a link.
"""

from __future__ import annotations

from ...endpoints import is_local_only
from ...timing.shares import OURSELVES, Account
from .link import ILink


def account_of(link: ILink | None) -> Account:
    """
    Who is held to account for what came by this link.

    Addresses of one prefix are one party on the internet only. Hosts of a local network are parties of their
    own, and so are the nodes of one machine.

    @param link: C{None} if it came from ourselves.
    """
    if link is None:
        return OURSELVES
    at = link.connection.peer
    if not is_local_only(at):
        return at.prefix, at.origin, str(link.peer)
    first = str(link.peer) if at.address.is_loopback else at.origin
    return first, first, str(link.peer)

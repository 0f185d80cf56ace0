"""
Who is held to account for what comes by a link: the link itself, within the prefix of its address. Names in
what comes are free; links and addresses are not.

There are two answers. For dials, hosts of a local network are parties of their own (L{account_of}). For what
a node keeps or does for others, many links of one prefix take no more than one link does, on a local network
too (L{account_by_prefix}).
"""

from __future__ import annotations

from functools import lru_cache

from ...endpoints import Endpoint, is_local_only
from ...names import Name
from ...timing.shares import OURSELVES, Account
from .link import ILink


def account_of(link: ILink | None) -> Account:
    """
    Who is held to account for dials that were asked for by this link.

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


def account_by_prefix(link: ILink | None) -> Account:
    """
    Who is held to account for messages, records, handshakes and relayed traffic that came by a link.

    @param link: C{None} if it came from ourselves. The address of a tunnel's link is that of its relay.
    """
    return OURSELVES if link is None else _by_prefix(link.connection.peer, link.peer)


def prefix_of(link: ILink | None) -> str:
    """The prefix by which log lines are limited that came of a link; empty for C{None}."""
    return "" if link is None else link.connection.peer.prefix


@lru_cache(maxsize=4096)
def _by_prefix(endpoint: Endpoint, peer: Name) -> Account:
    return endpoint.prefix, str(peer)

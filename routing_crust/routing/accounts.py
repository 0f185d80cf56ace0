"""
Who is held to account for what comes through other nodes: messages, records, handshakes, what is relayed.

That is the link that a thing came by, within the prefix of that link's address: names in what comes over it
are free, links and addresses are not. Many links of one prefix take no more from others than one link does.
Unlike dials (L{account_of<routing_crust.crust.interfaces.account_of>}), this holds on a local network too.
"""

from __future__ import annotations

from functools import lru_cache

from ..crust.interfaces import ILink
from ..endpoints import Endpoint
from ..names import Name
from ..timing.shares import OURSELVES, Account


def account_by_prefix(link: ILink | None) -> Account:
    """Who is held to account for what came by a link; L{OURSELVES} for C{None}."""
    # the address of a tunnel's link is that of its relay
    return OURSELVES if link is None else _account(link.connection.peer, link.peer)


def prefix_of(link: ILink | None) -> str:
    """The prefix by which lines of the log are limited that came of a link; empty for C{None}."""
    return "" if link is None else link.connection.peer.prefix


@lru_cache(maxsize=4096)
def _account(endpoint: Endpoint, peer: Name) -> Account:
    return endpoint.prefix, str(peer)

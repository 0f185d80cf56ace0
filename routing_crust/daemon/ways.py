"""
The way to a peer: over which connection bytes for it go, in words.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

from ..names import Name
from .text import path_text

OTHER_NODES: Final = "through other nodes"
"""Without a link of our own, messages go from node to node."""
ITSELF: Final = "this node itself"
"""A message to ourselves goes nowhere."""


class ReportsStatus(Protocol):
    """What of the service is asked."""

    def status(self) -> dict[str, Any]:
        """A snapshot."""


def way_to(service: ReportsStatus, name: Name) -> str:
    """
    The connection type of the link with a peer, with the relay if there is one; empty without a link, and
    L{ITSELF} if the peer is the node of the service.
    """
    peer, status = str(name), service.status()
    if peer == status.get("name"):
        return ITSELF
    for link in status.get("links", []):
        if link["peer"] == peer:
            return path_text(link["rung"], link.get("via"))
    return ""

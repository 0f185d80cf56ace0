"""
The way to a peer: over which connection bytes for it go, in words.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

from ..names import Name
from .text import path_text

OTHER_NODES: Final = "by way of other nodes"
"""Without a link of our own, messages go from node to node."""


class ReportsStatus(Protocol):
    """What of the service is asked."""

    def status(self) -> dict[str, Any]:
        """A snapshot."""


def way_to(service: ReportsStatus, name: Name) -> str:
    """The connection type of the link with a peer, with the relay if there is one; empty without a link."""
    peer = str(name)
    for link in service.status().get("links", []):
        if link["peer"] == peer:
            return path_text(link["rung"], link.get("via"))
    return ""

"""
What is settled about a link before its connection is there.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...endpoints import Connection, Direction, PathKind
from ...names import Name


@dataclass(frozen=True, slots=True)
class LinkPlan:
    """
    Given to a link by the factory that makes it. The end that dialled is not always the TLS client: where
    both ends dialled each other, the rendezvous decides.

    @ivar direction: whether we connect or accept.
    @ivar initiator: whether this end is the TLS client.
    @ivar expected: who must be at the other end; C{None} accepts anyone.
    @ivar bootstrap: becomes C{bootstrap} of the link.
    @ivar token: becomes C{token} of the link.
    @ivar path_kind: becomes C{path_kind} of the link.
    @ivar tunnel: of a tunnel, its L{Connection}; C{None} reads the addresses from the TCP transport.
    @ivar via: of a tunnel, the relay.
    @ivar seen_at: of a tunnel, the address at which the relay sees the peer, if it says so.
    """

    direction: Direction
    initiator: bool
    expected: Name | None = None
    bootstrap: bool = False
    token: bytes = b""
    path_kind: PathKind = PathKind.DIRECT
    tunnel: Connection | None = None
    via: Name | None = None
    seen_at: str = ""

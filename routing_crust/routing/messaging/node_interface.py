"""
What the messaging modules ask of the node that they are part of.
"""

from __future__ import annotations

from typing import Protocol

from twisted.internet.interfaces import IReactorTime

from ...config import Settings
from ...crust.interfaces import ILink
from ...identity import Identity
from ...names import Name
from ...wire.messages import Envelope
from ..membership.client_registry import ClientRegistry
from ..membership.routing_table import RoutingTable


class Network(Protocol):
    """
    A node as its C{Messenger} sees it.

    @ivar proxy: the node that speaks for us while we are a client or are still joining: everything that has
        no direct link goes out through it. C{None} otherwise.
    @ivar clients: the proxies of clients near us.
    """

    @property
    def identity(self) -> Identity: ...

    @property
    def settings(self) -> Settings: ...

    @property
    def clock(self) -> IReactorTime: ...

    @property
    def table(self) -> RoutingTable: ...

    @property
    def clients(self) -> ClientRegistry: ...

    @property
    def proxy(self) -> Name | None: ...

    def link_to(self, name: Name) -> ILink | None:
        """
        The confirmed link to this very node, whatever it is for: a member of the table, our proxy, a client
        or joining node that is attached to us, or one that an application asked for.
        """

    def undeliverable(self, envelope_id: int) -> None:
        """A hint came that a control envelope of ours, with this id, found no way on."""

    def handle_control(self, envelope: Envelope, source: Name, link: ILink | None) -> None:
        """
        A control envelope (everything but messages, acknowledgements and hints) has come for us.

        @param source: who the envelope says it is from. Proven where the envelope was signed; where its
            body proves itself (C{SELF_PROVING}) it is the receiver who checks that.
        @param link: where it came from; the peer at the other end is not to blame for what is in it.
            C{None} for one that is from ourselves.
        @raise WireError: the body is not what the kind says. It is logged, and the link lives.
        """

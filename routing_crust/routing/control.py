"""
Control messages: how the parts of a node send them and handle those that arrive.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from ..crust.interfaces import ILink
from ..names import Name
from ..wire.messages import Envelope, EnvelopeKind

EnvelopeHandler: TypeAlias = Callable[[Envelope, Name, "ILink | None"], object]
"""
Called with an envelope for this node, its source and the link that it came by; C{None} if it is our own. The
source is proven where the envelope was signed; where its body proves itself, the handler checks that. It may
raise L{WireError<routing_crust.errors.WireError>}, which is logged: the link's peer is not to blame.
"""


class SendControl(Protocol):
    """Sends a control message by name: C{Messenger.send_control}."""

    def __call__(
        self,
        kind: EnvelopeKind,
        destination: Name,
        body: bytes,
        proxy: Name | None = None,
        via: ILink | None = None,
        attempt: int = 0,
        *,
        nearest: bool = False,
    ) -> int | None:
        """
        @param proxy: the destination's proxy, if it is known.
        @param via: the link to send by, whose peer is named as our proxy; C{None} leaves it to the table.
        @param attempt: how many of the best first hops to pass over, while others remain.
        @param nearest: whether it goes to the node nearest to C{destination}, other than ourselves unless we
            know no other node.
        @return: the id of the envelope; C{None} without a first hop.
        """

"""
Acknowledging: how the acknowledgement of a message gets back to its sender.

It goes over the sender's own link if we have one, unless the message took another way though we had that
link: then the sender has probably lost it. Otherwise it goes sealed in envelopes. The first of them leaves by
the link that the message came by, since that way is known to work. A repetition leaves by that link or by one
of the table's entries nearest to the sender, chosen at random, since the first way may have failed.

The session that a message came in seals its acknowledgement too. An answer that comes so late that the
session is gone waits for another one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from ...crust.interfaces import ILink
from ...names import Name
from ...wire.codec import encode
from ...wire.end_to_end import AckPart, AckStatus
from ...wire.framing import FrameKind
from ..membership.neighbourhood import LinkLookup
from ..node import Node
from ..sessions.openings import WayBack
from ..sessions.sessions import Sessions
from ..sessions.waiting import Waiting
from .forwarder import Forwarder
from .fragmentation import PART_BYTES, split
from .request_handling import MAX_ANSWER_BYTES, MessageSender
from .transmission import Transmission, TransmissionQueues

_ACK: Final = int(FrameKind.ACK)
ACK_OVERHEAD_BYTES: Final = 512
"""Bytes that an acknowledgement counts for while it waits for its link, besides its body."""
WAYS_AGAIN: Final = 3
"""First hops from which one is chosen for an acknowledgement that is sent again."""


class Acknowledger:
    """
    Made by the messenger for its inbox; stopped with it.

    What waits for a link that does not take it is bounded by C{MAX_ANSWER_BYTES}: beyond that
    acknowledgements are dropped, since a sender that misses one sends its message again.
    """

    def __init__(
        self,
        node: Node,
        links: LinkLookup,
        forwarder: Forwarder,
        sessions: Sessions,
        queues: TransmissionQueues,
        acknowledge_self: Callable[[Name, AckPart], None],
    ) -> None:
        self._links = links
        self._own = node.name
        self._random = node.random
        self._forwarder = forwarder
        self._sessions = sessions
        self._queues = queues
        self._acknowledge_self = acknowledge_self
        self._part_size = PART_BYTES
        self._most_waiting = MAX_ANSWER_BYTES
        # by the message's id; answers, and refusals, are sent again when they are asked for again
        self._waiting: Waiting[tuple[MessageSender, int, AckStatus, bytes]] = Waiting(
            node.clock, MAX_ANSWER_BYTES
        )
        self._stopped = False

    def __call__(
        self, sender: MessageSender, id: int, status: AckStatus, body: bytes = b"", again: bool = False
    ) -> Transmission | None:
        """
        Acknowledge a message, as L{Acknowledge<routing_crust.routing.messaging.request_handling.Acknowledge>}
        describes it.
        """
        if self._stopped:
            return None
        link = sender.link
        if link is None:
            self._acknowledge_self(self._own, AckPart(id, 0, 1, status, body))
            return None
        # the common case, a bare message over a free link, is done without a transmission
        if not body and sender.proxy is None and self._queues.is_free(link):
            link.send(_ACK, encode(AckPart(id, 0, 1, status, b"")))
            return None
        return self._start(sender, id, status, body, again)

    def stop(self) -> None:
        """Acknowledge nothing more."""
        self._stopped = True
        self._waiting.stop()

    def session_opened(self, peer: Name) -> None:
        """Send what has waited for a session with this peer."""
        for sender, id, status, body in self._waiting.take(peer):
            self._start(sender, id, status, body, False)

    def _start(
        self, sender: MessageSender, id: int, status: AckStatus, body: bytes, again: bool
    ) -> Transmission | None:
        parts = _parts(id, status, body, self._part_size)
        size = len(body) + ACK_OVERHEAD_BYTES
        direct = self._links.link_to(sender.name)
        if direct is not None and direct is not sender.unused:
            # dropped: a sender that gets none sends its message again
            if self._is_full(direct):
                return None
            return self._queues.send_bare(direct, _ACK, parts, size)
        if not self._sessions.is_open(sender.name):
            self._waiting.add(sender.name, id, (sender, id, status, body), size)
            self._sessions.open(sender.name, WayBack(sender.proxy or b"", sender.link), again)
            return None
        hop, proxy = self._first_hop(sender, again)
        if hop is None or self._is_full(hop):
            return None
        trace = self._queues.new_trace()
        return self._queues.send_sealed(hop, _ACK, sender.name, proxy, parts, trace, size)

    def _first_hop(self, sender: MessageSender, again: bool) -> tuple[ILink | None, bytes]:
        hops, proxy = self._forwarder.first_hops(sender.name, sender.proxy or b"", WAYS_AGAIN)
        # a link that was lost or replaced must not be sent on, though the sender still holds it
        back = sender.link
        if back is not None and self._links.link_to(back.peer) is back:
            hops = [back, *(hop for hop in hops if hop is not back)]
        if again and hops:
            return self._random.choice(hops[:WAYS_AGAIN]), proxy
        return (hops[0] if hops else None), proxy

    def _is_full(self, link: ILink) -> bool:
        return self._queues.waiting_bytes(link) > self._most_waiting


def _parts(id: int, status: AckStatus, body: bytes, size: int) -> Iterator[bytes]:
    bodies = split(body, size)
    for number, each in enumerate(bodies):
        yield encode(AckPart(id, number, len(bodies), status, each))

"""
Flight sending: the link by which each envelope of a handshake leaves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from ...crust.interfaces import ILink
from ...names import Name
from ...wire.codec import encode
from ...wire.framing import FrameKind
from ...wire.messages import Envelope, EnvelopeKind
from ..membership.neighbourhood import LinkLookup
from .openings import MakeBody, WayBack

_ENVELOPE: Final = int(FrameKind.ENVELOPE)
MAX_FIRST_HOPS: Final = 4
"""From which one is chosen."""


class EnvelopeMaker(Protocol):
    """Makes envelopes, signed unless they are sealed."""

    def __call__(
        self, kind: EnvelopeKind, destination: Name, body: MakeBody, *, destination_proxy: bytes
    ) -> Envelope:
        """An envelope from us, with a new id."""


class FlightSender:
    """
    Sends the flights of handshakes: first by the way that the other end's own envelopes have come, then by
    the best first hops in turn, last over a link to the other end itself.

    Made by the messenger, discarded with it.
    """

    def __init__(
        self,
        links: LinkLookup,
        first_hops: Callable[[Name, bytes, int], tuple[list[ILink], bytes]],
        make: EnvelopeMaker,
    ) -> None:
        """
        @param first_hops: the best first hops for a destination with a proxy, about this many; and its proxy.
        """
        self._links = links
        self._first_hops = first_hops
        self._make = make

    def __call__(
        self, kind: EnvelopeKind, destination: Name, body: MakeBody, way: WayBack, attempt: int
    ) -> int | None:
        """Send one, as L{SendFlight<routing_crust.routing.sessions.openings.SendFlight>} describes it."""
        hops, proxy = self._first_hops(destination, way.proxy, MAX_FIRST_HOPS)
        back, direct = way.back, self._links.link_to(destination)
        # a link that was lost or replaced leads nowhere
        if back is not None and self._links.link_to(back.peer) is back:
            hops = [back, *(hop for hop in hops if hop is not back)]
        if direct is not None and direct not in hops:
            hops.append(direct)
        # a doubted link may be merely slow, and is better than none
        hops = [hop for hop in hops if not hop.is_doubted] or hops
        if not hops:
            return None
        envelope = self._make(kind, destination, body, destination_proxy=proxy)
        hops[attempt % len(hops)].send(_ENVELOPE, encode(envelope))
        return envelope.id

"""
The carrier: how our own message parts and acknowledgements travel.

To a peer with a link they go bare over that link, which is authenticated. To anybody else each part goes in
a signed envelope of its own. Both wait for the link when it is full.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ...crust.interfaces import ILink
from ...names import Name
from ...wire.codec import encode
from ...wire.framing import FrameKind
from ...wire.messages import EnvelopeKind
from .envelopes import Sealer
from .node_interface import Network
from .transmission import Frames, Transmission, TransmissionQueues

_ENVELOPE: Final = int(FrameKind.ENVELOPE)


class Carrier:
    """Made by the messenger for its outbox and for what acknowledges."""

    def __init__(self, network: Network, sealer: Sealer, queues: TransmissionQueues) -> None:
        self._network = network
        self._sealer = sealer
        self._queues = queues

    def bare(self, link: ILink, kind: int, parts: Iterator[bytes], size: int = 0) -> Transmission:
        """
        Send encoded parts over a link to the very peer that they are for.

        @param kind: the kind of frame.
        @param size: as in L{TransmissionQueues.start}.
        """
        return self._queues.start(link, _bare_frames(kind, parts), size)

    def wrapped(
        self,
        link: ILink,
        kind: EnvelopeKind,
        destination: Name,
        proxy: bytes,
        parts: Iterator[bytes],
        trace: int,
        size: int = 0,
    ) -> Transmission:
        """
        Send encoded parts in envelopes.

        @param link: the first hop.
        @param proxy: the node that speaks for the destination; may be empty.
        @param trace: the id of the first part's envelope.
        """
        return self._queues.start(link, self._envelopes(kind, destination, proxy, parts, trace), size)

    def _envelopes(
        self, kind: EnvelopeKind, destination: Name, proxy: bytes, parts: Iterator[bytes], trace: int
    ) -> Frames:
        for number, part in enumerate(parts, trace):
            envelope = self._sealer.seal(
                number,
                kind,
                destination,
                part,
                destination_proxy=proxy,
                source_proxy=self.source_proxy,
            )
            yield _ENVELOPE, encode(envelope)

    @property
    def source_proxy(self) -> bytes:
        """What our envelopes say about who speaks for us; empty if nobody needs to."""
        proxy = self._network.proxy
        return b"" if proxy is None else proxy.raw


def _bare_frames(kind: int, parts: Iterator[bytes]) -> Frames:
    for part in parts:
        yield kind, part

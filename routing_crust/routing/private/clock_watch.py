"""
The clock watch: certificates are judged by the network's time, so an operator should hear when this host's
clock is far from it.
"""

from __future__ import annotations

from typing import Final

from twisted.logger import Logger

from ...trust.judging import date_text
from ..links.peer import Peer, PeerListener
from ..node import Node

FAR_APART_SECONDS: Final = 3600.0


class ClockWatch(PeerListener):
    """Made with each start of the service, told of peers, discarded with the run."""

    log = Logger()

    def __init__(self, node: Node) -> None:
        self._node = node
        self._is_apart = False

    def peer_established(self, peer: Peer, before: Peer | None) -> None:
        """Another member has told its time: compare."""
        here, there = self._node.clock.seconds(), self._node.network_now()
        is_apart = abs(there - here) > FAR_APART_SECONDS
        if is_apart and not self._is_apart:
            self.log.warn(
                "the clock of this host says {here}, and by the members it is {there}: set the "
                "clock. Until then certificates are judged by the network's time",
                here=date_text(here),
                there=date_text(there),
            )
        self._is_apart = is_apart

"""
What the operator hears of the peers of an exposed program or a forwarded port: the connection type of each,
and why a connection was not carried.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ...bounded_dict import BoundedDict
from ...names import Name
from ...routing.events import LinkChanged, LinkGained, observe_all
from ...routing.service import RoutingService
from ...timing.ratelimit import TokenBucket
from ..ways import way_to

MAX_PEERS: Final = 256
"""Peers whose connection type is remembered."""
REPORTS_AT_ONCE: Final = 32
"""More than these come once a second: peers cause most of them."""


@dataclass(frozen=True, slots=True)
class Report:
    """
    Something that happened.

    @ivar peer: its nickname, if it is not known whose that is.
    @ivar event: C{link}, C{refused}, C{failed} or C{unreached}.
    @ivar text: what to tell the operator, after the peer's name.
    """

    peer: Name | str
    event: str
    text: str


class Reports:
    """Made for a command in the foreground, discarded with L{stop}."""

    def __init__(self, service: RoutingService, tell: Callable[[Report], object]) -> None:
        self._service = service
        self._tell = tell
        self._bucket = TokenBucket(1.0, REPORTS_AT_ONCE, service.clock.seconds)
        self._ways: BoundedDict[Name, str] = BoundedDict(MAX_PEERS)
        self._stop_observing = observe_all(
            service,
            {
                LinkGained: lambda event: self._link(event.link.name),
                LinkChanged: lambda event: self._link(event.new.name),
            },
        )

    def stop(self) -> None:
        """Report nothing more."""
        self._stop_observing()
        self._tell = lambda report: None

    def connected(self, peer: Name) -> None:
        """A connection with a peer is carried: say by what way, if that is another than before."""
        way = way_to(self._service, peer)
        if way and way != self._ways.get(peer):
            self._ways.put(peer, way)
            self.add(peer, "link", f"connected, {way}")

    def refused(self, peer: Name, why: str) -> None:
        """A peer wanted a connection, and does not get it."""
        self.add(peer, "refused", f"refused: {why}")

    def failed(self, peer: Name | str, why: str) -> None:
        """A connection with a peer could not be carried."""
        self.add(peer, "failed", f"a connection was not carried: {why}")

    def add(self, peer: Name | str, event: str, text: str) -> None:
        """Report, unless there was too much recently."""
        if self._bucket.take():
            self._tell(Report(peer, event, text))

    def _link(self, peer: Name) -> None:
        # of the others nobody has asked
        if peer in self._ways:
            self.connected(peer)

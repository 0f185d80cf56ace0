"""
The streams with one peer, and the link that carries them now.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ..config import Settings
from ..crust.interfaces import ILink
from ..endpoints import is_local_only
from ..names import Name
from ..timing.eventual import EventualQueue
from ..timing.timers import cancel
from .mux import Mux
from .stream import Stream


class PeerOwner(Protocol):
    """
    What the streams with one peer need of the node's streams as a whole.

    @ivar name: the name of this node.
    @ivar settings: the settings of the service.
    @ivar clock: the service's clock.
    @ivar eventually: calls for the next turn of the reactor.
    """

    name: Name
    settings: Settings
    clock: IReactorTime
    eventually: EventualQueue

    def stream_requested(self, name: Name, stream: Stream) -> None:
        """A peer wants to open a stream."""

    def idle(self, name: Name) -> None:
        """The last stream with this peer is over."""


class PeerStreams:
    """
    Made with the first link to a peer, discarded with the last. It is the L{MuxOwner} of its mux.

    @ivar name: the peer's.
    @ivar link: the link.
    """

    def __init__(self, owner: PeerOwner, link: ILink) -> None:
        self.name: Name = link.peer
        self.link = link
        self._owner = owner
        self._timer: IDelayedCall | None = None
        # so that both ends count without asking, and never take the same number
        odd = owner.name < link.peer
        self.mux = Mux(owner.settings, owner.clock.seconds, odd, link, self)
        link.set_feeder(self.mux.feeding.feed)

    @property
    def prefix(self) -> str:
        """What the streams of several peers are counted by; on this machine and its networks, the name."""
        at = self.link.connection.peer
        return str(self.name) if is_local_only(at) else at.prefix

    def link_changed(self, link: ILink) -> None:
        """Send frames over this link from now on."""
        # the old link still empties its queue, and must not take data that belongs on the new one
        self.link.set_feeder(None)
        self.link = link
        # the mux first: the new link may ask for data at once
        self.mux.use(link)
        link.set_feeder(self.mux.feeding.feed)
        link.feed_soon()

    def soon(self, call: Callable[[], None]) -> None:
        """Call this in the next turn of the reactor."""
        self._owner.eventually.call(call)

    def link_lost(self, problem: Exception) -> None:
        """End all streams."""
        self.link.set_feeder(None)
        cancel(self._timer)
        self.mux.end(problem)

    def stream_requested(self, stream: Stream) -> None:
        """The peer wants to open a stream."""
        self._owner.stream_requested(self.name, stream)

    def stream_over(self, stream: Stream) -> None:
        """A stream is over."""
        if not self.mux.streams:
            self._owner.idle(self.name)

    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        """Call this once, after C{seconds}, in place of a call that is still to come."""
        cancel(self._timer)
        self._timer = self._owner.clock.callLater(seconds, call)

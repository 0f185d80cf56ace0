"""
One peer's streams and the link that they go over now.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IDelayedCall

from ..crust.interfaces import ILink
from ..names import Name
from ..timing.timers import cancel
from .mux import Mux
from .stream import Stream

if TYPE_CHECKING:
    from .service import Streams


class PeerStreams:
    """
    Made when there is a link to a peer to which there was none, discarded when there is none any more. It is
    its mux's L{MuxOwner<routing_crust.streams.mux.MuxOwner>}.

    @ivar name: the peer's.
    @ivar link: the link.
    """

    def __init__(self, streams: Streams, link: ILink) -> None:
        self.name: Name = link.peer
        self.link = link
        self._streams = streams
        self._timer: IDelayedCall | None = None
        odd = streams.name < link.peer
        self.mux = Mux(streams.settings, streams.clock.seconds, odd, link, self)
        link.set_feeder(self.mux.feeding.feed)

    def link_changed(self, link: ILink) -> None:
        """From now on frames go over this one."""
        self.link.set_feeder(None)
        self.link = link
        self.mux.use(link)
        link.set_feeder(self.mux.feeding.feed)
        link.feed_soon()

    def soon(self, call: Callable[[], None]) -> None:
        """Call this in the next turn."""
        self._streams.eventually.call(call)

    def probe(self) -> None:
        """See whether the link is still there."""
        self.link.probe()

    def link_lost(self, problem: Exception) -> None:
        """All streams are over."""
        self.link.set_feeder(None)
        cancel(self._timer)
        self.mux.end(problem)

    def asked(self, stream: Stream) -> None:
        """The peer wants to open a stream."""
        self._streams.asked(self.name, stream)

    def stream_over(self, stream: Stream) -> None:
        """A stream is over."""
        if not self.mux.streams:
            self._streams.idle(self.name)

    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        """Call this once, later."""
        cancel(self._timer)
        self._timer = self._streams.clock.callLater(seconds, call)

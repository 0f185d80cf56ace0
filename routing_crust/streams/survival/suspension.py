"""
What a protocol on a stream may want to know: that its stream waits for another link.
"""

from __future__ import annotations

from zope.interface import Interface


class ISuspensionListener(Interface):
    """
    Provided by a protocol that wants to hear when its stream is suspended and resumed. For any other protocol
    a suspension is a pause: it may go on writing, and its producer is paused as for a slow reader.
    """

    def streamSuspended(reason: Exception) -> None:
        """
        The link to the peer was lost, and another one is looked for.

        @param reason: why, a L{LinkClosed<routing_crust.errors.LinkClosed>}.
        """

    def streamResumed() -> None:
        """The stream goes on over another link; nothing that either end has sent is lost."""

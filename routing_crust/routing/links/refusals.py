"""
Refusals: what is logged of links that were refused or came to nothing, and what a peer is told that is no
member.
"""

from __future__ import annotations

from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ...crust.interfaces import ILink
from ...endpoints import Direction
from ...errors import CloseReason
from ...quietlog import QuietLog
from ...wire.codec import encode
from ...wire.framing import FrameKind
from ...wire.members import Refused, Renewal
from ..members import TurnedAway

_IN_ORDER: Final = frozenset(
    (
        CloseReason.STOPPING,
        CloseReason.SUPERSEDED,
        CloseReason.RESTARTED,
        CloseReason.STALE,
        CloseReason.NO_LONGER_NEEDED,
    )
)
"""Reasons for which links of honest peers end before they are confirmed."""


class RefusalLog:
    """Made with the registry of links, and discarded with it."""

    log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._quiet = QuietLog(self.log, clock.seconds)

    def refused(self, link: ILink, reason: CloseReason, detail: str) -> None:
        """We refuse the link of a peer whose Hello holds."""
        # two ends that dial each other make one link too many as a rule, which is no news
        say = self._quiet.debug if reason is CloseReason.SUPERSEDED else self._quiet.info
        say(
            reason.name,
            "refused {peer} at {endpoint} ({direction}): {reason}",
            by=link.connection.peer.prefix,
            peer=link.peer,
            endpoint=link.connection.peer,
            direction=link.direction.value,
            reason=f"{reason.text}; {detail}" if detail else reason.text,
        )

    def came_to_nothing(self, link: ILink, greeted: bool, reason: CloseReason, detail: str) -> None:
        """
        A link has ended that was never confirmed.

        @param greeted: whether its Hello was verified.
        """
        when = "after" if greeted else "before"
        # the history has what came of our own dials
        if link.direction is Direction.ACCEPTED and reason not in _IN_ORDER:
            self._quiet.info(
                f"links that ended {when} their Hello: {reason.name}",
                "the link from {peer} at {endpoint} ended {when} its Hello, unconfirmed: {reason}",
                by=link.connection.peer.prefix,
                peer=link.peer,
                endpoint=link.connection.peer,
                when=when,
                reason=f"{reason.text} ({detail})" if detail else reason.text,
            )


def tell_why(link: ILink, verdict: TurnedAway, time: float) -> None:
    """
    Tell the peer of a link why it is taken for no member, or give it what it can have.

    @param time: the network's time.
    """
    by = b"" if verdict.by is None else verdict.by.raw
    refused = Refused(int(verdict.reason), by, max(0.0, verdict.at), max(0.0, time))
    link.send(FrameKind.REFUSED, encode(refused))
    if verdict.renewed:
        link.send(FrameKind.RENEWAL, encode(Renewal(verdict.renewed)))

"""
L{ICrustEvents}: what crust reports to the layer above.
"""

from __future__ import annotations

from zope.interface import Interface

from ...endpoints import Endpoint
from ...errors import LinkClosed
from ..reachability import Reachability
from .link import ILink


class ICrustEvents(Interface):
    """
    The events of crust, for one receiver. None of them is called from within a call to crust or to a
    link by that receiver, and none may raise.
    """

    def on_connect(link: ILink) -> None:
        """A link that we dialled is up. Precedes the Deferred of L{ICrust.connect}."""

    def on_accept(link: ILink) -> None:
        """A peer has dialled us."""

    def new_message(link: ILink, kind: int, payload: bytes) -> None:
        """A frame came. Heartbeats and Goodbyes are crust's own and are not reported."""

    def lost_connection(link: ILink, reason: LinkClosed) -> None:
        """A link is gone; reported exactly once for each link that was reported as made."""

    def link_doubted(link: ILink) -> None:
        """
        The peer of a verified link has not answered for the larger of C{DOUBT_AFTER_SECONDS} and eight round
        trips. The link may be dead, or just slow. Reported again after twice as long each time.
        """

    def bootstrap_finished(links: int, problem: str) -> None:
        """
        An attempt to bootstrap is over; exactly once for each L{ICrust.bootstrap}.

        @param links: how many of its links are alive; 0 if none could be made or kept.
        @param problem: what went wrong, for the log; empty if nothing did.
        """

    def external_endpoints(endpoints: tuple[Endpoint, ...]) -> None:
        """Where others can dial us has changed, or is known for the first time."""

    def reachability_changed(reachability: Reachability) -> None:
        """What we know of how others can reach us has changed."""

    def network_changed() -> None:
        """
        The addresses, routes or interfaces of this host have changed, or it has slept: what could not be
        reached before may be reached now. Links that break because of it are reported as lost later.
        """

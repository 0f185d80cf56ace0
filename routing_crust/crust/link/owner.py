"""
The owners of links: what a link needs from the object that owns it, and what it reports to it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from ...config import Settings
from ...endpoints import Endpoint
from ...errors import CloseReason, LinkClosed
from ..interfaces import ILink
from .reading import ReadingTurns


class LinkOwner(Protocol):
    """
    Owns links and hears of them. L{link_up} is the first callback of the Deferred of every factory of links;
    L{link_frame} and L{link_lost} are called by the links. None is called from within a call to a link.
    """

    @property
    def clock(self) -> IReactorTime:
        """Where delayed calls are made."""

    @property
    def settings(self) -> Settings:
        """The settings that links keep to."""

    @property
    def probe_key(self) -> bytes:
        """What the nonces of probes are derived from; nobody else may know it."""

    def heartbeat_after(self, network: str) -> float:
        """How many seconds a link from this network of ours may be idle."""

    @property
    def reading(self) -> ReadingTurns:
        """What shares out the reactor's turns among links that cause much work."""

    def link_up(self, link: ILink) -> None:
        """A link of either direction is up: its TLS handshake is done and its peer's name proven."""

    def link_frame(self, link: ILink, kind: int, payload: bytes) -> None:
        """
        A frame came. An exception closes the link; a L{WireError} is the peer's fault, any other is ours
        and is logged.
        """

    def link_silent(self, link: ILink) -> None:
        """Nothing has come over a link since we sent something, so its peer is probed."""

    def link_doubted(self, link: ILink) -> None:
        """The peer of a link owes an answer, and the link may be dead; called again now and then."""

    def link_lost(self, link: ILink, reason: LinkClosed) -> None:
        """A link that was up is gone; called once for each."""


class AcceptOwner(LinkOwner, Protocol):
    """Owns links that others dial, too."""

    @property
    def hello_timeout(self) -> float:
        """Seconds that a connection that comes now has until its Hello is verified."""

    def may_accept(self, peer: Endpoint) -> bool:
        """Whether a connection from there may be accepted."""

    def accepting(
        self, peer: Endpoint, link: Deferred[ILink], abort: Callable[[CloseReason, str], None]
    ) -> None:
        """
        A connection was accepted.

        @param link: fires with the link, after L{link_up}; fails with L{LinkClosed} once the connection is
            gone without having become one.
        @param abort: cuts the connection, or the link that it has become.
        """

    def handshake_due(self, peer: Endpoint, begin: Callable[[], bool]) -> None:
        """
        A peer has begun TLS.

        @param begin: to be called when it is its turn, now or later; says whether it was still wanted.
        """

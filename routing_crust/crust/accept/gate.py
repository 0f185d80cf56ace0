"""
The gate: which connections and links are let in, and what is logged about those that are not.

An accepted connection is judged three times: by its address before anything is spent on it (and, if it is for
a rendezvous, by whether that is expected), by the peer's name once TLS has proven it, and then it has
C{hello_timeout} seconds to verify its Hello. Until its link is confirmed it may have to make room for
another (L{routing_crust.crust.accept.unverified}). A link that we dialled is judged by the peer's name alone:
its address was judged before the dial.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from ...config import Settings
from ...endpoints import Direction, Endpoint, PathKind
from ...errors import CloseReason, LinkClosed
from ...history import History, Way
from ...quietlog import QuietLog
from ..admission import AdmissionRefusal, Rules
from ..interfaces import ILink
from .descriptors import MIN_DESCRIPTORS, RESERVED_DESCRIPTORS
from .handshakes import HandshakeTurns
from .unverified import UnverifiedConnections

MAX_CLOSING_LINKS: Final = 64
"""Links that wait for the peer to close, too; of more the oldest are cut."""


class Gate:
    """
    Judges the connections and links of one L{CrustService<routing_crust.crust.service.CrustService>}.

    @ivar rules: the allow and deny lists.
    @ivar unverified: the accepted connections whose link is not confirmed.
    @ivar handshakes: when those may begin TLS.
    """

    def __init__(
        self,
        settings: Settings,
        clock: IReactorTime,
        history: History,
        quiet: QuietLog,
        links: Collection[ILink],
        descriptors_left: Callable[[], int],
    ) -> None:
        """
        @param links: the links that are up, kept by their owner.
        @param descriptors_left: how many more connections the system lets us have.
        """
        self.rules = Rules(settings.allow, settings.deny)
        self.unverified = UnverifiedConnections(settings)
        self.handshakes = HandshakeTurns(settings.max_handshakes_per_prefix, clock)
        self._settings = settings
        self._history = history
        self._quiet = quiet
        self._links = links
        self._descriptors_left = descriptors_left

    @property
    def _max_links(self) -> int:
        return self._settings.max_links

    @property
    def full(self) -> AdmissionRefusal | None:
        """
        The refusal of any further link, if there are as many as the settings allow. Those that are not
        confirmed, or being closed, make room.
        """
        # this comes with each dial and connection, and the count below looks at every link
        if len(self._links) < self._max_links:
            return None
        # a peer that never confirms its link, or closes it slowly, must not keep others out
        if sum(each.is_open and _is_settled(each) for each in self._links) < self._max_links:
            return None
        return AdmissionRefusal("there are too many links", "max_links", self._max_links)

    def may_accept(self, peer: Endpoint) -> bool:
        """Whether a connection from there may be accepted."""
        refusal = self.rules.refusal_of_address(peer) or self.full or self._keep_reserve(peer)
        if refusal is not None:
            self._log(str(peer), refusal, peer.prefix)
            return False
        # last: a connection that is refused must cost no other its place
        self.unverified.make_room(peer)
        return True

    def accepting(
        self, peer: Endpoint, link: Deferred[ILink], abort: Callable[[CloseReason, str], None]
    ) -> None:
        """A connection was accepted, and counts as unverified until its link is confirmed or it ends."""
        self.unverified.add(peer, link, abort)
        link.addErrback(self._came_to_nothing, peer)

    def refusal_of(self, link: ILink) -> LinkClosed | None:
        """Why a link that has just come up is not kept, now that its peer's name is known."""
        refusal = self._refusal_by_rules(link)
        reason = CloseReason.NOT_ALLOWED
        if refusal is None:
            refusal = self.full
            reason = CloseReason.TOO_MANY_LINKS
        if refusal is None:
            self._make_room(link)
            return None
        self._log(f"{link.peer} at {link.connection.peer}", refusal, link.connection.peer.prefix)
        # What we dialled ourselves is written down by who dialled it.
        if link.direction is Direction.ACCEPTED:
            self._history.tried(link.peer, Way.LINK, link.connection.peer, f"it dialled us: {refusal}")
        return LinkClosed(reason, str(refusal))

    def settings_changed(self) -> tuple[tuple[ILink, str], ...]:
        """Apply the present settings. Returns the links that the lists are against, with the reasons."""
        self.rules.change(self._settings.allow, self._settings.deny)
        self.handshakes.change(self._settings.max_handshakes_per_prefix)
        judged = [(link, self._refusal_by_rules(link)) for link in self._links]
        return tuple((link, str(refusal)) for link, refusal in judged if refusal is not None)

    def _refusal_by_rules(self, link: ILink) -> AdmissionRefusal | None:
        """Whether the allow and deny lists are against a link."""
        if link.path_kind is PathKind.TUNNEL:
            return self.rules.refusal_of_name(link.peer)
        return self.rules.refusal_of_peer(link.peer, link.connection.peer)

    def _keep_reserve(self, peer: Endpoint) -> AdmissionRefusal | None:
        """Leave descriptors to what is not a peer's connection: let another make room, or refuse this one."""
        left = self._descriptors_left()
        if left >= RESERVED_DESCRIPTORS:
            return None
        if self.unverified.cut_one(peer) and left >= MIN_DESCRIPTORS:
            return None
        return AdmissionRefusal("there are hardly any descriptors left", "the system's RLIMIT_NOFILE", left)

    def _make_room(self, link: ILink) -> None:
        """One more link is up: keep to the limits, at the expense of those that nobody answers for."""
        if len(self._links) < min(self._max_links, MAX_CLOSING_LINKS):
            return
        if sum(each.is_open for each in self._links) >= self._max_links:
            self.unverified.cut_one(link.connection.peer, link=True)
        closing = [each for each in self._links if not each.is_open]
        for each in closing[:-MAX_CLOSING_LINKS]:
            each.abort(CloseReason.TOO_MANY_LINKS)

    def _came_to_nothing(self, failure: Failure, peer: Endpoint) -> None:
        reason = failure.value
        assert isinstance(reason, LinkClosed)
        self._quiet.info(
            f"accepted connections: {reason.reason.text}",
            "the connection from {peer} came to nothing: {reason}",
            by=peer.prefix,
            peer=str(peer),
            reason=str(reason),
        )

    def _log(self, peer: str, refusal: AdmissionRefusal, prefix: str) -> None:
        self._quiet.info(
            f"refusals by the setting {refusal.setting}",
            "refused {peer}: {why} (limit {limit}, setting {setting})",
            by=prefix,
            peer=peer,
            why=refusal.why,
            limit=refusal.limit,
            setting=refusal.setting,
        )


def _is_settled(link: ILink) -> bool:
    """Whether somebody answers for a link: it is confirmed, was dialled by us, or comes over another link."""
    return link.is_confirmed or link.direction is Direction.CONNECTED or link.path_kind is PathKind.TUNNEL

"""
Attempts: what is expected of a peer after a request, and what is dialled for it. One ends with the other.

There is room for few at a time (C{max_expected} and the like), so each ends as soon as it is of no more use:
when its link is there, when its time is over, when its peer has given it up, or when it only seeks something
better than a tunnel and is in somebody's way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ...config import Settings
from ...crust.interfaces import ICrust, ILink
from ...endpoints import PathKind
from ...errors import ExpectedConnectionReplaced, LimitReached, RoutingCrustError
from ...names import Name
from ...quietlog import QuietLog
from ...wire.codec import decode
from ...wire.messages import ConnectRequest, LinkUse, Signed
from ..links.peer import Accept
from ..links.registry import LinkRegistry
from .expected import ExpectedConnection, ExpectedConnections, ExpectedRequest
from .rendezvous import HolePunches


class Attempts:
    """
    Made by the connector, discarded after L{stop}.

    @ivar expected: what is expected.
    @ivar punches: what is dialled.
    """

    log = Logger()

    def __init__(
        self,
        settings: Settings,
        own: Name,
        clock: IReactorTime,
        crust: ICrust,
        links: LinkRegistry,
        tunnel: Callable[[Name, bytes, Sequence[Name]], Deferred[ILink]],
    ) -> None:
        """
        @param own: the name of this node.
        @param tunnel: makes a tunnel for a request of ours; see L{HolePunches}.
        """
        self._settings = settings
        self._links = links
        self._quiet = QuietLog(self.log, clock.seconds)
        self.punches = HolePunches(
            settings, clock, crust, own, links.is_dialled, links.needs_no_tunnel, tunnel
        )
        self.expected = ExpectedConnections(clock, settings, self._expired)

    def expect(self, entry: ExpectedConnection) -> bool:
        """Expect a link; false if a limit forbids it."""
        try:
            self.expected.expect(entry).addErrback(self._unfulfilled, entry.peer)
        except LimitReached as error:
            if error.setting == "max_expected_per_prefix" and self._give_way(entry):
                return self.expect(entry)
            self._quiet.info(error.setting, "no link with {peer}: {reason}", peer=entry.peer, reason=error)
            return False
        return True

    def purpose(self, link: ILink, nonce: bytes) -> Accept | None:
        """
        What a link whose Hello names this request is expected for; C{None} if it is not. It is noted to have
        arrived.
        """
        entry = self.expected.arrived(link.peer, nonce, link.connection)
        return None if entry is None else self._purpose(entry)

    def linked(self, peer: Name, use: LinkUse, link: ILink) -> None:
        """There is a link that is no tunnel: nothing more is to come for this use, or for less."""
        for entry in self.expected.of_peer(peer):
            if self._purpose(entry).use <= use:
                self._fulfil(peer, entry.nonce, link)

    def withdraw(self, peer: Name, nonce: bytes) -> None:
        """Nothing is to come of this any more."""
        self.expected.withdraw(peer, nonce)
        self.punches.give_up(peer, nonce)

    def withdraw_before(self, peer: Name, since: float) -> None:
        """Nor of what was expected before that moment."""
        for entry in self.expected.made_before(peer, since):
            self.withdraw(peer, entry.nonce)

    def withdraw_earlier(self, peer: Name, request: ConnectRequest) -> None:
        """
        Who asks for the same so much later has given up what it asked before. That may have been held up on
        its way, and have come just now with all that came after it.
        """
        latest = request.issued - self._settings.request_again / 2  # nobody asks again earlier
        for entry in self.expected.of_peer(peer):
            if isinstance(entry, ExpectedRequest) and entry.request.use is request.use:
                if entry.request.issued <= latest:
                    self.withdraw(peer, entry.nonce)

    def make_room(self, peer: Name) -> None:
        """For another attempt to replace a tunnel, an earlier one is given up."""
        tunnel = self._links.link_to(peer)
        before = self.expected.of_peer(peer)
        if (
            tunnel is not None
            and tunnel.path_kind is PathKind.TUNNEL
            and len(before) >= self._settings.max_expected_per_peer
        ):
            self._fulfil(peer, before[0].nonce, tunnel)
        else:
            self.expected.make_room(peer)

    def stop(self) -> None:
        """Expect nothing, and dial no more."""
        self.expected.stop()
        self.punches.stop()

    def _fulfil(self, peer: Name, nonce: bytes, link: ILink) -> None:
        self.expected.fulfil(peer, nonce, link)
        self.punches.give_up(peer, nonce)

    def _purpose(self, entry: ExpectedConnection) -> Accept:
        if isinstance(entry, ExpectedRequest):
            return Accept(entry.request.use, we_asked=False)
        token = decode(Signed, entry.token, self._settings.max_control)
        return Accept(decode(ConnectRequest, token.body, self._settings.max_control).use, we_asked=True)

    def _give_way(self, entry: ExpectedConnection) -> bool:
        """
        What is expected only in place of a tunnel may keep out nobody with whom there is no link: the oldest
        of that ends, if its peer is behind the same address. Returns whether there was any.
        """
        if self._links.peer(entry.peer) is not None:
            return False
        for each in self.expected.beside(entry):
            peer = self._links.peer(each.peer)
            if (
                peer is not None
                and peer.link.path_kind is PathKind.TUNNEL
                and peer.use >= self._purpose(each).use
            ):
                self.withdraw(each.peer, each.nonce)
                return True
        return False

    def _expired(self, entry: ExpectedConnection) -> None:
        self.punches.give_up(entry.peer, entry.nonce)

    def _unfulfilled(self, failure: Failure, peer: Name) -> None:
        failure.trap(RoutingCrustError)
        if self._links.peer(peer) is not None or failure.check(ExpectedConnectionReplaced):
            return  # nothing better than a tunnel has come, or something else is being tried
        self._quiet.info(
            "expected connections",
            "no link with {peer}: {reason}",
            peer=peer,
            reason=failure.getErrorMessage(),
        )

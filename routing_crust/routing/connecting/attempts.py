"""
Attempts: for each connection request in progress, the link that we expect and the dials that we make for it.
The two end together.

Few can be in progress at a time (C{max_expected} and the like), so an attempt ends as soon as it is useless:
when its link is there, when its time is over, when its peer has given it up, or when it has to make room.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from ...crust.interfaces import ILink
from ...endpoints import PathKind
from ...errors import CloseReason, ExpectedConnectionReplaced, LimitReached, RoutingCrustError
from ...limits import REQUEST_INTERVAL_SECONDS
from ...names import Name
from ...quietlog import QuietLog
from ...wire.codec import MAX_CONTROL_BYTES, decode
from ...wire.messages import ConnectRequest, LinkUse, NatKind, Signed
from ..links.peer import Permit
from ..links.registry import LinkRegistry
from ..nat_pairs import told_nat
from ..node import Node
from .expected import ExpectedConnection, ExpectedConnections, ExpectedRequest
from .rendezvous import PunchSchedule

_SAYS_NOTHING: Final = (CloseReason.CONNECTION_LOST, CloseReason.TOO_MANY_LINKS)
"""Reasons after which the peer may still want a link."""
OpenTunnel: TypeAlias = Callable[[Name, bytes, Sequence[Name], bool], "Deferred[ILink]"]
"""
Opens a tunnel to a peer, for a request with this nonce, through one of these nodes that the peer has named or
one of our own choice; the last says whether somebody waits for it.
"""


class Attempts:
    """
    Made at each start, fed by the connector and the responder, discarded after L{stop}.

    @ivar expected: the expected connections.
    @ivar punches: what is dialled for them.
    """

    log = Logger()

    def __init__(
        self, node: Node, links: LinkRegistry, in_use: Callable[[Name], bool] = lambda name: False
    ) -> None:
        """
        @param in_use: whether an application or a stream uses the link with a peer.
        """
        self._crust = node.crust
        self._in_use = in_use
        self._links = links
        self._quiet = QuietLog(self.log, node.clock.seconds)
        self.punches = PunchSchedule(
            node, links.is_dialled, self._needs_no_tunnel, self._open_tunnel, self.replaceable_tunnel
        )
        self._opener: OpenTunnel
        self._moves: Callable[[Name], object] = lambda name: False
        self.expected = ExpectedConnections(node.clock, node.settings, self._expired)

    def open_tunnels_by(self, opener: OpenTunnel, moves: Callable[[Name], object]) -> None:
        """
        Have tunnels opened by this. It cannot be an argument of the constructor: the opener requests links,
        and so needs the attempts itself.

        @param moves: whether the tunnel to a peer ought to go through another relay.
        """
        self._opener = opener
        self._moves = moves

    def expect(self, entry: ExpectedConnection) -> bool:
        """
        Expect a link.

        @return: whether the limits allow it.
        """
        try:
            self.expected.expect(entry).addErrback(self._unfulfilled, entry.peer)
        except LimitReached as error:
            self._quiet.info(error.setting, "no link with {peer}: {reason}", peer=entry.peer, reason=error)
            return False
        self._links.agree(entry.peer, self._purpose(entry).use)
        return True

    def agreed_use(self, peer: Name) -> LinkUse:
        """The greatest use for which a link with this peer is expected; ATTACHED if none is."""
        uses = [self._purpose(each).use for each in self.expected.of_peer(peer)]
        return max(uses, default=LinkUse.ATTACHED)

    def purpose(self, link: ILink, nonce: bytes) -> Permit | None:
        """
        What a link whose Hello names this nonce is expected for, and that it has arrived; C{None} if it is
        not expected.
        """
        entry = self.expected.arrived(link.peer, nonce, link.connection)
        if entry is None:
            return None
        link.is_expected = self.expected.is_first(link.connection)
        return self._purpose(entry)

    def link_lost(self, link: ILink, reason: CloseReason) -> bool:
        """
        A link is gone. If it was expected, another one may still arrive, and is dialled for unless the peer
        has said that it does not want it.

        @return: whether it was expected and both ends had not agreed on a link yet.
        """
        # asked first: the next line forgets the connection
        entry = self.expected.of_connection(link.connection)
        self.expected.lost(link.connection)
        if entry is not None and reason in _SAYS_NOTHING:
            self.punches.link_lost(entry.peer, entry.nonce)
        return entry is not None

    def request_settled(self, peer: Name, nonce: bytes, link: ILink) -> None:
        """
        Our request has its link. If that is a tunnel and the request was answered, the dials go on: they may
        still bring a better link.
        """
        if link.path_kind is not PathKind.TUNNEL or self.expected.match(peer, nonce) is None:
            self.punches.give_up(peer, nonce)

    def linked(self, peer: Name, use: LinkUse, link: ILink) -> None:
        """A link that is no tunnel was confirmed: end what is expected for this use, or for a lesser one."""
        for entry in self.expected.of_peer(peer):
            if self._purpose(entry).use <= use:
                self._fulfil(peer, entry.nonce, link)

    def withdraw(self, peer: Name, nonce: bytes) -> None:
        """End one attempt."""
        self.expected.withdraw(peer, nonce)
        self.punches.give_up(peer, nonce)

    def withdraw_before(self, peer: Name, since: float) -> None:
        """End every attempt of a peer that is older than C{since}."""
        for entry in self.expected.made_before(peer, since):
            self.withdraw(peer, entry.nonce)

    def withdraw_all(self, peer: Name) -> None:
        """End every attempt of a peer."""
        for entry in self.expected.of_peer(peer):
            self.withdraw(peer, entry.nonce)

    def withdraw_earlier(self, peer: Name, request: ConnectRequest) -> None:
        """
        End the attempts for older requests for the same use, which the peer had given up when it sent this
        one. They may have been delayed, and have arrived together with it.
        """
        # A node repeats a request after a whole interval at the earliest: younger ones are still wanted.
        latest = request.issued - REQUEST_INTERVAL_SECONDS / 2
        for entry in self.expected.of_peer(peer):
            if isinstance(entry, ExpectedRequest) and entry.request.use is request.use:
                if entry.request.issued <= latest:
                    self.withdraw(peer, entry.nonce)

    def lacks_link(self, peer: Name) -> bool:
        """Whether we have no link with this peer, or one that may be dead."""
        link = self._links.link_to(peer)
        return link is None or link.is_doubted

    def wants_better(self, peer: Name) -> bool:
        """Whether we ask this peer for a better link ourselves: ours is a tunnel, or may be dead."""
        link = self._links.link_to(peer)
        return link is not None and (link.path_kind is PathKind.TUNNEL or link.is_doubted)

    def replaceable_tunnel(self, peer: Name) -> ILink | None:
        """The tunnel to this peer that we would guess ports to replace: it is in use, and limits allow it."""
        link = self._links.link_to(peer)
        if link is None or link.path_kind is not PathKind.TUNNEL or not self._in_use(peer):
            return None
        return link if self._crust.may_guess(link) else None

    def asks_to_guess(self, peer: Name) -> bool:
        """Whether we ask for guessed ports. One of the two does, so that no two requests for it cross."""
        return told_nat(self._crust) is NatKind.SYMMETRIC and self.replaceable_tunnel(peer) is not None

    def make_room(
        self, peer: Name, use: LinkUse, own: bool = False, issued: float = float("-inf")
    ) -> ExpectedConnection | None:
        """
        If a peer is at its limit, end one of its attempts, as far as that may go: where there is a tunnel,
        one that could only replace it; else one for the same use rather than the oldest.

        @param use: what the request is for that needs the room.
        @param own: whether it is one of ours.
        @param issued: when it was made, if it is the peer's.
        @return: the attempt that was ended.
        """
        crowd = self.expected.crowd(peer, own)
        tunnel = self._links.peer(peer)
        if tunnel is not None and tunnel.link.path_kind is PathKind.TUNNEL:
            # where ports are guessed the next chance comes in an hour
            crowd = tuple(each for each in crowd if not self.punches.guesses(peer, each.nonce))
            for each in crowd:
                # Both ends are linked, so an attempt to replace the tunnel may go at any age. One for a
                # greater use may not: a node that a stream has a tunnel to would never become a member.
                if self._purpose(each).use <= tunnel.use:
                    self._fulfil(peer, each.nonce, tunnel.link)
                    return each
        # of two for one use the peer has given up the older; those for another may still be wanted
        for each in sorted(crowd, key=lambda each: self._purpose(each).use is not use):
            if self.expected.make_room(each, issued):
                return each
        return None

    def stop(self) -> None:
        """End all attempts."""
        self.expected.stop()
        self.punches.stop()

    def _fulfil(self, peer: Name, nonce: bytes, link: ILink) -> None:
        self.expected.fulfil(peer, nonce, link)
        self.punches.give_up(peer, nonce)

    def _purpose(self, entry: ExpectedConnection) -> Permit:
        if isinstance(entry, ExpectedRequest):
            return Permit(entry.request.use, we_asked=False)
        token = decode(Signed, entry.token, MAX_CONTROL_BYTES)
        return Permit(decode(ConnectRequest, token.body, MAX_CONTROL_BYTES).use, we_asked=True)

    def _needs_no_tunnel(self, peer: Name, use: LinkUse) -> bool:
        return self._links.needs_no_tunnel(peer, use) and not self._moves(peer)

    def _open_tunnel(
        self, peer: Name, nonce: bytes, theirs: Sequence[Name], awaited: bool
    ) -> Deferred[ILink]:
        return self._opener(peer, nonce, theirs, awaited)

    def _expired(self, entry: ExpectedConnection) -> None:
        self.punches.give_up(entry.peer, entry.nonce)

    def _unfulfilled(self, failure: Failure, peer: Name) -> None:
        failure.trap(RoutingCrustError)
        if self._links.peer(peer) is not None or failure.check(ExpectedConnectionReplaced):
            return  # the peer has a tunnel at least, or another attempt goes on
        self._quiet.info(
            "expected connections",
            "no link with {peer}: {reason}",
            peer=peer,
            reason=failure.getErrorMessage(),
        )

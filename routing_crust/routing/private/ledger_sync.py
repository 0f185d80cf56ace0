"""
Ledger sync: members that may issue certificates tell each other of invitations and their uses, so that one of
them can let somebody in while the inviter is gone (L{routing_crust.trust.ledger_sharing}).

They do so when two of them get a link, and whenever something changes, at most once a second.
"""

from __future__ import annotations

from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from ...crust.interfaces import ILink
from ...errors import LinkClosed
from ...names import Name
from ...timing.timers import cancel, is_pending
from ...trust.certificate import Certificate
from ...wire.framing import FrameKind
from ..inviting.doorkeeper import Doorkeeper, Inviter
from ..links.peer import Peer, PeerListener
from ..links.registry import LinkRegistry
from ..node import Node
from .private_members import PrivateMembers

log = Logger()

TELL_EVERY_SECONDS: Final = 1.0
"""Between two reports to all peers, however often something changes."""


class LedgerSync(PeerListener):
    """Made with each start of a private network's node, discarded after L{stop}."""

    def __init__(
        self, node: Node, members: PrivateMembers, links: LinkRegistry, doorkeeper: Doorkeeper
    ) -> None:
        self._node = node
        self._members = members
        self._links = links
        self._doorkeeper = doorkeeper
        self._timer: IDelayedCall | None = None
        self._told_at = float("-inf")
        # links that are being told; whether all is to be told again then
        self._telling: dict[ILink, bool] = {}
        links.handle_frames((FrameKind.INVITATIONS,), self.frame_received)

    def stop(self) -> None:
        """Tell nobody any more."""
        if is_pending(self._timer):
            self._save()
        cancel(self._timer)

    def peer_established(self, peer: Peer, before: Peer | None) -> None:
        """Tell a new peer what it should know."""
        if before is None:
            self._tell(peer)

    def changed(self) -> None:
        """An invitation was made, used or taken back: tell all whom it concerns."""
        if not is_pending(self._timer):
            clock = self._node.clock
            # each time all is told: many changes of one inviter would fill the links between others
            wait = max(0.0, self._told_at + TELL_EVERY_SECONDS - clock.seconds())
            self._timer = clock.callLater(wait, self._tell_all)

    def frame_received(self, link: ILink, kind: int, payload: bytes) -> None:
        """
        A peer has told of invitations.

        @raise WireError: it is nothing of the kind.
        """
        inviter, peer = self._doorkeeper.inviter, self._issuer(link.peer)
        # only what is new goes on, or two ends would tell each other for ever
        if inviter is not None and peer is not None and inviter.take(peer, payload):
            self.changed()

    def _save(self) -> None:
        if self._doorkeeper.inviter is not None:
            self._doorkeeper.inviter.save()

    def _tell_all(self) -> None:
        self._told_at = self._node.clock.seconds()
        # here, not for each frame: a member could have us write to the disk without end
        self._save()
        for peer in self._links.peers:
            self._tell(peer)

    def _tell(self, peer: Peer) -> None:
        inviter, certificate = self._doorkeeper.inviter, self._issuer(peer.name)
        if inviter is None or certificate is None or not self._members.own.certificate.may_issue:
            return
        if peer.link in self._telling:
            self._telling[peer.link] = True
            return
        # not waited for: it ends with the last frame, or with the link
        Deferred.fromCoroutine(self._tell_all_by(peer.link, certificate, inviter)).addErrback(_failed)

    async def _tell_all_by(self, link: ILink, certificate: Certificate, inviter: Inviter) -> None:
        again = True
        try:
            while again:
                self._telling[link] = False
                for payload in inviter.told_to(certificate):
                    if not link.writable:
                        await link.when_writable()
                    link.send(FrameKind.INVITATIONS, payload)
                again = self._telling[link]
        finally:
            del self._telling[link]

    def _issuer(self, name: Name) -> Certificate | None:
        """The certificate of a member that may issue some."""
        found = self._members.current_of(name)
        return found if found is not None and found.may_issue else None


def _failed(failure: Failure) -> None:
    # that its link is gone is no mistake: the peer is told all at the next change
    if not failure.check(LinkClosed):
        log.failure("telling a member of invitations failed", failure)

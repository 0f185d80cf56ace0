"""
What only a node of a private network has: the parts that keep rosters the same, renew certificates and expel
who is banned.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...trust.certificate import SignedCertificate
from ...trust.judging import standing
from ...trust.statement import SignedStatement
from ..inviting.doorkeeper import Doorkeeper
from ..links.peer import PeerListener
from ..links.registry import LinkRegistry
from ..node import Node
from .clock_watch import ClockWatch
from .directory_sync import DirectorySync
from .expulsion import Expulsion, Forget
from .ledger_sync import LedgerSync
from .private_members import PrivateMembers
from .renewal import RenewalExchange
from .roster_sync import RosterSync


class PrivateNetwork:
    """
    Made with each start of the service, discarded after L{stop}.

    @ivar members: who is a member, as this node judges it.
    @ivar sync: keeps the roster the same as that of others.
    @ivar directory: tells all members of each other's certificates.
    @ivar ledger: tells other admins of invitations.
    @ivar listeners: the parts that follow peers.
    """

    def __init__(
        self,
        node: Node,
        members: PrivateMembers,
        links: LinkRegistry,
        forget: Sequence[Forget],
        doorkeeper: Doorkeeper,
    ) -> None:
        """
        @param doorkeeper: lets in those who have invitations.
        @param forget: called for each member that is banned, once its links are gone.
        """
        self._node = node
        self.members = members
        self._expulsion = Expulsion(node, members, links, tuple(forget))
        self.sync = RosterSync(node, members, links, self._expulsion.roster_changed)
        self._renewals = RenewalExchange(node, members, links)
        self.directory = DirectorySync(node, members, links, self._renewals.own_came)
        self.ledger = LedgerSync(node, members, links, doorkeeper)
        # asked each time, since bans and new certificates change who is an admin
        doorkeeper.set_admins(lambda: (each.name for each in members.current if each.is_admin))
        self.listeners: tuple[PeerListener, ...] = (
            self.sync,
            self._renewals,
            self.directory,
            self.ledger,
            ClockWatch(node),
        )
        links.handle_frames(self.directory.kinds, self.directory.frame_received)
        links.handle_frames(self.sync.kinds, self.sync.frame_received)
        # early, since a node that is refused, or has an expired certificate, gets no confirmed link
        links.handle_early_frames(self._renewals.early_kinds, self._renewals.frame_received)

    def start(self) -> None:
        """Look at the roster and at the certificates."""
        self._expulsion.start()
        self._renewals.start()
        self.directory.start()

    def stop(self) -> None:
        """Cancel the timers."""
        self._expulsion.stop()
        self._renewals.stop()
        self.directory.stop()
        self.ledger.stop()

    def add_statements(self, statements: Sequence[SignedStatement]) -> int:
        """
        Take statements that were made here, and tell all members.

        @return: how many are new.
        @raise WireError: one of them does not hold.
        """
        return self.sync.add(statements)

    def give_certificate(self, signed: SignedCertificate) -> bool:
        """
        Give a member a certificate that was issued here: at once if it is linked, else when it comes.

        @return: whether it has it.
        """
        return self._renewals.give(signed)

    def status(self) -> dict[str, object]:
        """Our membership and what we know of others', as values for JSON."""
        members, now = self.members, self.members.now()
        own = members.own.certificate
        rejection = members.rejection(members.own, self._node.name)
        return {
            "nickname": own.nickname,
            "roles": [each.text for each in sorted(own.roles)],
            "tags": sorted(own.tags),
            **standing(own, rejection, now),
            "roster": len(members.roster),
            "roster_digest": members.digest.hex()[:16],
            "banned": len(members.roster.banned),
            "known": len(members.known),
            "refused_by": {str(name): why for name, why in self._renewals.refusals.items()},
        }


def private_network(
    node: Node, links: LinkRegistry, forget: Sequence[Forget], doorkeeper: Doorkeeper
) -> PrivateNetwork | None:
    """These parts, if the node's network is private."""
    if not isinstance(node.members, PrivateMembers):
        return None
    return PrivateNetwork(node, node.members, links, forget, doorkeeper)

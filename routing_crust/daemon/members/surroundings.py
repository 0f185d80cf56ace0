"""
What the invitation desk of a daemon asks of others: the credentials of its member, and its node.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as TookTooLong

from ...endpoints import Contact, Endpoint
from ...errors import ServiceStopped
from ...forwarding_rules import stream_protocol
from ...identity import Identity
from ...names import Name
from ...routing.service import RoutingService
from ...streams import streams_of
from ...trust.certificate import Certificate, SignedCertificate
from ...trust.state_files import load_authority
from ..control.member_messages import ROUTERS_SECONDS


class Credentials(Protocol):
    """
    What a member has to show and to sign with.

    @ivar network: the id of the private network.
    @ivar certificate: this member's.
    """

    network: str
    certificate: SignedCertificate


class Surroundings(Protocol):
    """What the desk asks of the node, and of its state directory."""

    def authority_key(self) -> Identity | None:
        """
        The key of the network's authority, where that is; else C{None}.

        @raise TrustFileError: it cannot be used.
        """
        ...

    def doors(self) -> tuple[Contact, ...]:
        """Where this node, and then other members, can be dialled, as far as is known."""
        ...

    def when_routers_asked(self) -> Deferred[None]:
        """
        @return: fires when L{doors} has what routers map for this node, or no router does so, after
            L{ROUTERS_SECONDS} at the latest. Fails with L{ServiceStopped} if the node stops meanwhile.
        """
        ...

    def known_members(self) -> Iterable[Certificate]:
        """The certificates of members that hold now, as far as this node has heard of them."""
        ...

    def tell_of(self, signed: SignedCertificate) -> None:
        """Tell all members of a new one."""
        ...

    def is_banned(self, name: Name) -> bool:
        """Whether this member is banned."""
        ...

    def describe(self, name: Name) -> str:
        """A member, as text for people."""
        ...

    def invitations_changed(self) -> None:
        """Tell others who can honour invitations what has become of them here."""
        ...

    def linked_members(self) -> int:
        """How many members it has links with."""
        ...

    def is_exposed(self, protocol: str) -> bool:
        """Whether peers can ask for this protocol here."""
        ...

    def call_on(self, endpoints: Iterable[Endpoint], until: float) -> None:
        """Dial these places until then, so that somebody there can redeem an invitation."""
        ...


class NodeSurroundings:
    """The L{Surroundings} of a daemon's desk."""

    def __init__(self, routing: RoutingService, state_dir: Path) -> None:
        self._routing = routing
        self._state_dir = state_dir
        self.doors = routing.doors
        self.call_on = routing.call_on
        self.invitations_changed = routing.invitations_changed
        self.describe = routing.directory.describe

    def when_routers_asked(self) -> Deferred[None]:
        """Wait for routers, not for ever."""
        asked = self._routing.when_routers_asked().addTimeout(ROUTERS_SECONDS, self._routing.clock)
        return asked.addErrback(lambda failure: failure.trap(TookTooLong) and None).addCallback(self._still)

    def _still(self, _: object) -> None:
        if not self._routing.running:
            raise ServiceStopped("the daemon is stopping")

    def authority_key(self) -> Identity | None:
        """The key in the state directory, or C{None} if it is not kept here."""
        return load_authority(self._state_dir, self._routing.settings.network)

    def known_members(self) -> Iterable[Certificate]:
        """The certificates of all members known, none in an open network."""
        network = self._routing.private_network
        return () if network is None else network.members.current

    def tell_of(self, signed: SignedCertificate) -> None:
        """Remember the certificate as one that the member has shown, which passes it on."""
        network = self._routing.private_network
        if network is not None:
            network.members.met(signed)

    def is_banned(self, name: Name) -> bool:
        """Whether the roster bans this name; nobody is banned in an open network."""
        network = self._routing.private_network
        return network is not None and network.members.is_banned(name)

    def is_exposed(self, protocol: str) -> bool:
        """Whether it is offered, over TCP or UDP."""
        offered = streams_of(self._routing).protocols
        return any(stream_protocol(protocol, udp) in offered for udp in (False, True))

    def linked_members(self) -> int:
        """How many links the status counts now."""
        links = self._routing.status().get("links", ())
        return len(links) if isinstance(links, Sequence) else 0

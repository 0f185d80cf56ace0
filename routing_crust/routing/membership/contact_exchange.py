"""
Contact exchange: where nodes can be dialled, from our own dials and from what peers report.

Order of messages: the proxy of a newcomer sends it a CONTACTS once the link is confirmed.
"""

from __future__ import annotations

from typing import Final

from ...crust.interfaces import ILink
from ...endpoints import Contact, Direction, Endpoint, refusal_to_dial
from ...names import Name
from ...wire.codec import MAX_CONTROL_BYTES, decode, encode, from_wire, to_wire
from ...wire.framing import FrameKind
from ...wire.messages import Contacts, LinkUse, NatKind, WireContact
from ..links.peer import Peer, PeerListener
from ..links.registry import LinkRegistry
from ..node import Node

CONTACTS_TOLD: Final = 8
"""Contacts that one CONTACTS names."""


class ContactExchange(PeerListener):
    """Made with each start of the service, told of peers, fed with frames, discarded with the run."""

    def __init__(self, node: Node, links: LinkRegistry) -> None:
        self._node = node
        self._links = links
        self._told_by: ILink | None = None

    def dialable_at(self, peer: Peer) -> Endpoint | None:
        """
        Where others can dial a peer: where we have, or, if it says that it is open, where it listens on the
        address that we see it at. C{None} if it is a client, or nothing of that is known.
        """
        if peer.facts.is_client:
            return None
        dialled = self._links.dialled_at(peer.name)
        if dialled is not None or peer.facts.nat is not NatKind.OPEN:
            return dialled
        at = peer.endpoint
        if at is None:
            return None
        return next((each for each in peer.facts.listening if each.host == at.host), None)

    def peer_established(self, peer: Peer, before: Peer | None) -> None:
        """Save the contact of a peer that can be dialled; send a newcomer some contacts."""
        endpoint = self.dialable_at(peer)
        if endpoint is not None:
            # a link alone proves nothing: anybody can let us in, and then lead nowhere
            self._node.crust.remember(Contact(endpoint, peer.name), proven=peer.use is LinkUse.MEMBER)
        if peer.use is LinkUse.ATTACHED and peer.link.direction is Direction.ACCEPTED:
            self._tell(peer)

    def frame_received(self, link: ILink, kind: int, payload: bytes) -> None:
        """
        Our proxy names other nodes. We treat their addresses as given by a stranger.

        @raise WireError: it is no CONTACTS.
        """
        message = decode(Contacts, payload, MAX_CONTROL_BYTES)
        peer = self._links.peer(link.peer)
        if peer is None or peer.link is not link or link is self._told_by:
            return
        # once, from our proxy: any other peer could fill the saved contacts with addresses of its choice
        if peer.use is LinkUse.ATTACHED and link.direction is Direction.CONNECTED:
            self._told_by = link
            for each in message.contacts:
                self._heard(peer, Contact(from_wire(each.endpoint), Name(each.name)))

    def _heard(self, peer: Peer, contact: Contact) -> None:
        crust = self._node.crust
        private = self._node.settings.private_dialling
        problem = refusal_to_dial(
            contact.endpoint, private, crust.endpoints, crust.on_link_networks, crust.own_hosts
        )
        # we dial that host already, so refusing another node there would protect nothing
        if problem is None or (peer.endpoint and contact.endpoint.host == peer.endpoint.host):
            crust.remember(contact, proven=False)
            crust.history.told(contact.name, (contact.endpoint,), f"told by {peer.name}")

    def _tell(self, peer: Peer) -> None:
        """Send a newcomer some contacts, so that its next start does not depend on us alone."""
        known = ((each.name, self.dialable_at(each)) for each in self._links.peers if each is not peer)
        contacts = [WireContact(name.raw, to_wire(endpoint)) for name, endpoint in known if endpoint]
        # at random, so that the next starts of all newcomers do not depend on the same few
        chosen = self._node.random.sample(contacts, min(CONTACTS_TOLD, len(contacts)))
        if chosen:
            peer.link.send(FrameKind.CONTACTS, encode(Contacts(tuple(chosen))))

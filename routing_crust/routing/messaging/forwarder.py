"""
Forwarding: where an envelope goes next.

Routing is greedy (Maymounkov and Mazieres, "Kademlia", 2002, by the XOR distance): each node passes an
envelope to the destination if it has a link to it, else to an entry of its table that is nearer than itself:
of those that are almost as near as the nearest, to the one that is reached soonest (C{near_hops}). A
destination that is in no table is reached through its proxy: the envelope names the proxy, or a node near the
destination knows it from the client's record.

Where no node is nearer, an answer goes back the way that the question came (C{return_paths}).

A peer that is merely attached to us speaks for itself alone: an envelope of another name that comes over its
link is dropped, and none is passed on to a node that we are attached to ourselves.

No envelope travels for ever: distances only fall, hops are counted, and an envelope that comes round again is
dropped. What is sealed for this node needs no place in the memory of what has come round, since its session
opens each packet once. Where no way leads on, a hint goes back to the sender of a message, of a handshake or
of a request for a connection.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from enum import Enum
from typing import Final, Literal, TypeAlias

from msgspec.structs import replace
from twisted.logger import Logger

from ...crust.interfaces import ILink, account_by_prefix, prefix_of
from ...endpoints import PathKind
from ...errors import WireError
from ...limits import CONTROL_MESSAGES_PER_SECOND, MAX_ATTEMPTS, MAX_CONTROL_BURST
from ...names import NAME_BYTES, Name, recurring_name
from ...quietlog import QuietLog
from ...timing.account_rates import AccountRates
from ...wire.codec import decode, encode
from ...wire.framing import FrameKind
from ...wire.messages import Envelope, EnvelopeKind, Undeliverable
from ..envelopes import MAX_HOPS, Sealer
from ..membership.neighbourhood import LinkLookup, Neighbourhood
from ..node import Node
from .duplicates import MAX_REMEMBERED_IDS, MESSAGE_ID_LIFETIME_SECONDS, DuplicateFilter
from .fair_relay import FairRelay
from .near_hops import NearHops
from .return_paths import ReturnPaths

_ENVELOPE: Final = int(FrameKind.ENVELOPE)
MAX_RELAYED_QUEUE_BYTES: Final = 128 * 1024
"""Relayed envelopes wait elsewhere while the send queue of their link holds this much."""
_SENT_AGAIN: Final = (
    EnvelopeKind.SEALED,
    EnvelopeKind.SESSION_FLIGHT,
    EnvelopeKind.CONNECT_REQUEST,
    EnvelopeKind.CONNECT_RESPONSE,
)


class _Here(Enum):
    HERE = "here"


HERE: Final = _Here.HERE
"""The envelope is for this node."""
Step: TypeAlias = tuple[ILink, bytes] | Literal[_Here.HERE] | None
"""A link, with the destination's proxy from there on; or L{HERE}; or C{None} if no way leads on."""


class Forwarder:
    """
    Takes every envelope that comes, and knows the first hops for our own envelopes.

    Made by the messenger, fed with the frames that hold envelopes, discarded after L{stop}.
    """

    log = Logger()

    def __init__(
        self,
        node: Node,
        links: LinkLookup,
        neighbourhood: Neighbourhood,
        sealer: Sealer,
        deliver: Callable[[Envelope, Name, ILink], None],
    ) -> None:
        """
        @param deliver: called with each envelope for this node, who it says that it is from (nothing is
            verified yet) and the link that it came by.
        """
        settings = node.settings
        self._links = links
        self._neighbourhood = neighbourhood
        self._table = neighbourhood.table
        self._near = NearHops(neighbourhood.table, links)
        self._clients = neighbourhood.clients
        self._own = node.name
        self._members = node.members
        self._sealer = sealer
        self._deliver = deliver
        self._stopped = False
        self._quiet = QuietLog(self.log, node.clock.seconds)
        self._max_hops = MAX_HOPS
        self._max_attempts = MAX_ATTEMPTS
        self._passed = DuplicateFilter(node.clock, MESSAGE_ID_LIFETIME_SECONDS, MAX_REMEMBERED_IDS)
        self._paths = ReturnPaths(links)
        self._hints = AccountRates(CONTROL_MESSAGES_PER_SECOND, MAX_CONTROL_BURST, node.clock.seconds)
        self._relay: FairRelay[bytes] = FairRelay(node.clock, settings, self._transmit, self._has_room)

    @property
    def relay(self) -> FairRelay[bytes]:
        """What is being relayed for others."""
        return self._relay

    def settings_changed(self) -> None:
        """Settings of the node are others."""
        self._relay.settings_changed()

    def stop(self) -> None:
        """Relay nothing more, and take nothing more."""
        self._stopped = True
        self._relay.stop()

    def frame_received(self, link: ILink, kind: int, payload: bytes) -> None:
        """
        An envelope came: it is delivered, passed on, or dropped.

        @raise WireError: it is none.
        """
        if self._stopped:
            return
        envelope = decode(Envelope, payload)
        for proxy in (envelope.destination_proxy, envelope.source_proxy):
            if len(proxy) not in (0, NAME_BYTES):
                raise WireError("the proxy of an envelope is not a name")
        source = recurring_name(envelope.source)
        # before the memory of duplicates: names are free, and each would take a place there
        if not self._may_come_by(source, link):
            return
        if self._has_come_round(envelope, source):
            return
        step = self.next_step(envelope, source, link)
        if step is None:
            step = self._way_back(envelope, link)
        if step is HERE:
            self._deliver(envelope, source, link)
        elif step is None:
            self._hint(envelope, source, link)
        else:
            self._paths.came_by(source, link)
            self._pass_on(envelope, link, *step)

    def _has_come_round(self, envelope: Envelope, source: Name) -> bool:
        if envelope.kind is EnvelopeKind.SEALED and envelope.destination == self._own.raw:
            return source == self._own
        # The destination's proxy may be found on the way. Then the envelope may pass a node a second time,
        # even its sender, so the proxy is part of the key.
        if source == self._own and not envelope.destination_proxy:
            return True
        return self._passed.seen((envelope.source, envelope.id, envelope.destination_proxy))

    def next_step(self, envelope: Envelope, source: Name, came_by: ILink) -> Step:
        """
        Decide where an envelope goes from here. It does not go back to its sender or to where it came from,
        unless the destination's proxy becomes known only here.
        """
        destination = recurring_name(envelope.destination)
        if envelope.nearest:
            entry = self._table.next_hop(destination, (source, came_by.peer))
            return HERE if entry is None else self._by(entry.name, came_by, b"")
        if destination == self._own:
            return HERE
        proxy = envelope.destination_proxy
        direct = self._by(destination, came_by, proxy)
        if direct is not None:
            return direct
        speaker = recurring_name(proxy) if proxy else self._clients.proxy_of(destination)
        if speaker == self._own:
            # it has chosen us as its proxy, whatever else the link is for
            link = self._links.link_to(destination)
            return None if link is None or link is came_by else (link, proxy)
        if proxy:
            return self._towards(
                recurring_name(proxy), proxy, came_by, (source, came_by.peer), (came_by.peer,)
            )
        if speaker is not None:
            return self._towards(speaker, speaker.raw, None, (source,), ())
        return self._towards(destination, b"", came_by, (source, came_by.peer))

    def _way_back(self, envelope: Envelope, came_by: ILink) -> Step:
        """Where no node is nearer, the way that the destination's own envelopes came."""
        link = self._paths.back_to(recurring_name(envelope.destination))
        return None if link is None or link is came_by else (link, envelope.destination_proxy)

    def link_changed(self, old: ILink, new: ILink) -> None:
        """A new link has replaced the old one."""
        self._paths.link_changed(old, new)

    def link_lost(self, link: ILink) -> None:
        """A link is gone: nothing goes back by it."""
        self._paths.link_lost(link)

    def first_hops(
        self, destination: Name, proxy: bytes = b"", most: int | None = None
    ) -> tuple[list[ILink], bytes]:
        """
        The first hops for an envelope of ours, best first, without the link to the destination itself; and
        the destination's proxy, if it is known.

        @param proxy: the destination's proxy, where the caller knows it.
        @param most: about how many first hops the caller can use; C{None} is one for each attempt to send.
        """
        link = self._link_to_our_proxy()
        if link is not None:
            return [link], proxy
        speaker = self._speaker_for(destination, proxy)
        target = destination if speaker is None else speaker
        # the others by their names alone, so that a node that is near in time gets one attempt of them
        near = self._near.next_hop(target, (destination,))
        names = [name for name in (speaker, near) if name is not None]
        count = self._max_attempts if most is None else min(most, self._max_attempts)
        names += [entry.name for entry in self._table.nearest(target, count, (destination,))]
        links = [link for name in dict.fromkeys(names) if (link := self._links.link_to(name)) is not None]
        self._let_direct_be_second(links, target, destination)
        return links, b"" if speaker is None else speaker.raw

    def proxy_for(self, destination: Name, proxy: bytes) -> bytes:
        """The destination's proxy for an envelope of ours whose first hop is chosen. See L{first_hops}."""
        if self._link_to_our_proxy() is not None:
            return proxy
        speaker = self._speaker_for(destination, proxy)
        return b"" if speaker is None else speaker.raw

    def _link_to_our_proxy(self) -> ILink | None:
        # a client has no table, and a joining node hardly any: the proxy routes better
        proxy = self._neighbourhood.proxy
        return None if proxy is None else self._links.link_to(proxy)

    def _speaker_for(self, destination: Name, proxy: bytes) -> Name | None:
        speaker = recurring_name(proxy) if proxy else self._clients.proxy_of(destination)
        return None if speaker == self._own else speaker

    def _let_direct_be_second(self, links: list[ILink], target: Name, destination: Name) -> None:
        """
        Put the nearest node that we can dial second, if the first two are at the ends of tunnels.

        Nodes behind hard NATs have room for few others in their tables, by the limits on tunnels through one
        prefix: the nearest of them may be a dead end. The relay of the tunnels has a link with each.
        """
        if not links or any(link.path_kind is not PathKind.TUNNEL for link in links[:2]):
            return
        for entry in self._table.nearest(target, len(self._table), (destination,)):
            link = self._links.link_to(entry.name)
            if link is not None and link.path_kind is not PathKind.TUNNEL:
                if link in links:
                    links.remove(link)
                links.insert(1, link)
                return

    def _by(self, name: Name, came_by: ILink | None, proxy: bytes) -> Step:
        link = self._links.link_to(name)
        if link is None or link is came_by or not self._neighbourhood.takes_from_us(link):
            return None
        return link, proxy

    def _towards(self, target: Name, proxy: bytes, came_by: ILink | None, *exclude: Collection[Name]) -> Step:
        """
        The next step to a node.

        @param exclude: nodes that are not to be the next hop; where no other is left, the next of these is
            left out instead.
        """
        step = self._by(target, came_by, proxy)
        for each in exclude:
            if step is None:
                name = self._near.next_hop(target, each)
                step = None if name is None else self._by(name, came_by, proxy)
        return step

    def _may_come_by(self, source: Name, link: ILink) -> bool:
        """Whether an envelope of this sender is taken from this link."""
        if source != link.peer and not self._neighbourhood.may_pass_on(link):
            self._drop_foreign(source, link)
            return False
        return not self._members.is_banned(source)

    def _drop_foreign(self, source: Name, link: ILink) -> None:
        self._quiet.info(
            "foreign envelopes",
            "dropped an envelope of {source}: {peer}, which sent it, is attached to us and may not pass on "
            "envelopes of others",
            by=prefix_of(link),
            source=source,
            peer=link.peer,
        )

    def _pass_on(self, envelope: Envelope, came_by: ILink, link: ILink, proxy: bytes) -> None:
        # clamped, since the sender chose the number
        hops = min(envelope.hops_left, self._max_hops)
        if hops == 0:
            return
        payload = encode(replace(envelope, hops_left=hops - 1, destination_proxy=proxy))
        self._relay.relay(account_by_prefix(came_by), link.peer, len(payload), payload)

    def _hint(self, envelope: Envelope, source: Name, came_by: ILink) -> None:
        """Tell the sender that no way leads on from here, if it sends envelopes of this kind again."""
        # limited: a flood of envelopes to nobody must cost little, and keep no hint from others
        if envelope.kind not in _SENT_AGAIN or not self._hints.take(account_by_prefix(came_by)):
            return
        hint = self._sealer.seal(
            self._sealer.new_trace(),
            EnvelopeKind.UNDELIVERABLE,
            source,
            encode(Undeliverable(envelope.id)),
            destination_proxy=envelope.source_proxy,
            signed=False,
        )
        link = self._links.link_to(source) or came_by
        # a hint may be dropped: it only spares the sender the wait for its deadline
        if link.writable:
            link.send(_ENVELOPE, encode(hint))

    def _has_room(self, peer: Name) -> bool:
        """
        Whether relayed traffic may go into the link to this peer: only while little waits there, so that
        none of it waits in front of our own, nor in front of another sender's.
        """
        link = self._links.link_to(peer)
        return link is None or (link.writable and link.queued < MAX_RELAYED_QUEUE_BYTES)

    def _transmit(self, peer: Name, payload: bytes) -> None:
        # by name, since the link may have been replaced while the envelope waited; if it is lost, so is this
        link = self._links.link_to(peer)
        if link is not None:
            link.send(_ENVELOPE, payload)

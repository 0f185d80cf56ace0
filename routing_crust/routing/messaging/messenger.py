"""
Messaging: messages by name, with acknowledgements; and the carriage of control messages.

Order, between any two nodes: the parts of a message (MessagePart), as often as they must be sent until the
acknowledgement (AckPart) comes, which for a request holds the answer and may have parts too. Between linked
nodes they are frames of their own kinds; between others they are in signed envelopes, which other nodes pass
on (C{forwarding}).

L{Messenger} puts together what does the work: C{outbox} and C{inbox}, C{forwarding}, and the C{carrier}.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, DeferredList, fail, succeed
from twisted.logger import Logger

from ...crust.interfaces import ILink
from ...errors import CloseReason, LinkClosed, PeerUnreachable, ServiceStopped, WireError
from ...names import Name
from ...quietlog import QuietLog
from ...timing.eventual import EventualQueue
from ...wire.codec import decode, encode
from ...wire.framing import FrameKind
from ...wire.messages import AckPart, Envelope, EnvelopeKind, Flavour, MessagePart, Undeliverable
from ..links.peer import Peer, PeerListener
from .acknowledger import Acknowledger
from .carrier import Carrier
from .envelopes import SELF_PROVING, Sealer, holds
from .forwarder import Forwarder
from .fragmentation import Reassembler
from .inbox import Inbox, MessageHandler
from .node_interface import Network
from .outbox import Outbox
from .request_handling import RequestHandler, Sender
from .transmission import TransmissionQueues

__all__ = ["MessageHandler", "Messenger", "Network", "RequestHandler"]

_MESSAGE: Final = int(FrameKind.MESSAGE)
_ACK: Final = int(FrameKind.ACK)
_ENVELOPE: Final = int(FrameKind.ENVELOPE)


class Messenger(PeerListener):
    """
    Made by the node at each start, fed with frames from confirmed links and with news of links, discarded
    after L{stop}.
    """

    log = Logger()

    def __init__(self, network: Network, random: Random, first_id: int) -> None:
        """
        @param first_id: ids of messages are above it; above all ids of earlier starts, so that no peer takes
            a new message for an old one.
        """
        settings = network.settings
        self._network = network
        self._own = network.identity.name
        self._sealer = Sealer(network.identity, settings.network, settings.max_hops, random)
        self._queues = TransmissionQueues()
        self._forwarder = Forwarder(network, self._sealer, self._envelope_for_us)
        self._carrier = Carrier(network, self._sealer, self._queues)
        self._reassembler = Reassembler(network.clock, settings)
        self._outbox = Outbox(
            network,
            random,
            first_id,
            self._forwarder,
            self._sealer,
            self._carrier,
            self._queues,
            self._reassembler,
            self._message_to_self,
        )
        self._acknowledger = Acknowledger(
            network,
            random,
            self._forwarder,
            self._sealer,
            self._carrier,
            self._queues,
            self._outbox.acknowledged,
        )
        self._inbox = Inbox(network, self._reassembler, self._acknowledger)
        self._quiet = QuietLog(self.log, network.clock.seconds)
        self._eventually = EventualQueue(network.clock)
        self._stopped = False

    @property
    def outstanding(self) -> int:
        """How many messages of ours wait for their acknowledgement."""
        return len(self._outbox)

    @property
    def requests_running(self) -> int:
        """How many requests of others are being handled."""
        return self._inbox.answering.running

    @property
    def relaying_bytes(self) -> int:
        """How many bytes wait to be relayed for others."""
        return self._forwarder.relay.held

    def set_message_handler(self, handler: MessageHandler | None) -> None:
        """Call this with each message; with C{None} they are acknowledged and dropped."""
        self._inbox.message_handler = handler

    def set_request_handler(self, handler: RequestHandler | None) -> None:
        """Call this with each request; with C{None} they are refused."""
        self._inbox.set_request_handler(handler)

    def send(self, name: Name, body: bytes) -> Deferred[None]:
        """
        Send a message to a node or client by name, or to ourselves.

        @return: fires with C{None} when it is acknowledged. Fails at once with L{LimitReached} or, if there
            is no link at all, L{NotConnected}; with L{PeerUnreachable} after at most C{ack_timeout} times
            C{max_attempts} seconds; with L{ServiceStopped}. Cancelling it ends the attempts.
        @raise TypeError: the body is not bytes.
        """
        return self._outbox.submit(name, body, Flavour.SEND)

    def request(self, name: Name, body: bytes) -> Deferred[bytes]:
        """
        Send a request.

        @return: fires with the answer; fails as that of L{send}, and with L{RequestRefused}.
        @raise TypeError: the body is not bytes.
        """
        return self._outbox.submit(name, body, Flavour.REQUEST)

    def send_to_group(self, group: Name, members: Sequence[Name], body: bytes) -> Deferred[tuple[Name, ...]]:
        """
        Send a message to each member of a group that was looked up.

        @param group: the name whose close group it is; the receivers see it.
        @return: fires when each member has acknowledged or is given up, with those that have, in the order of
            C{members}. Fails with L{PeerUnreachable} if there are members and none has, with
            L{LimitReached} before anything is sent, and with L{ServiceStopped}.
        @raise TypeError: the body is not bytes.
        """
        if not isinstance(body, bytes):
            raise TypeError(f"the body of a message is bytes, not {type(body).__name__}")
        problem = self._outbox.room_for(len(members), body)
        if problem is not None:
            return fail(problem)
        if not members:
            return succeed(())
        sent = [self._outbox.submit(name, body, Flavour.GROUP, group.raw) for name in members]
        return DeferredList(sent, consumeErrors=True).addCallback(self._group_done, tuple(members))

    def send_control(
        self,
        kind: EnvelopeKind,
        destination: Name,
        body: bytes,
        *,
        nearest: bool = False,
        destination_proxy: Name | None = None,
        via: ILink | None = None,
        attempt: int = 0,
    ) -> int | None:
        """
        Send a control message, once. It is signed, unless its body proves itself.

        What is for ourselves, or for the node nearest to a name while there is no other node, comes back on
        the next turn.

        @param nearest: whether it goes to the node nearest to C{destination}. We ourselves are not asked as
            long as there is anybody else.
        @param destination_proxy: the node that speaks for the destination, if it is known.
        @param via: the first hop, whose peer speaks for us; C{None} leaves the choice to the table.
        @param attempt: so many of the best first hops are passed over, as long as there are others.
        @return: the envelope's id; C{None} if there was no first hop.
        """
        if self._stopped:
            return None
        hops, proxy = self._forwarder.first_hops(
            destination, b"" if destination_proxy is None else destination_proxy.raw, attempt + 1
        )
        link = via
        if link is None and not nearest and destination_proxy in (None, self._own):
            link = self._network.link_to(destination)
        if link is None and hops:
            link = hops[attempt % len(hops)]
        if via is None and not nearest and destination == self._own:
            link = None
        if link is None and not nearest and destination != self._own:
            return None
        envelope = self._sealer.seal(
            self._sealer.new_trace(),
            kind,
            destination,
            body,
            nearest=nearest,
            destination_proxy=b"" if nearest else proxy,
            source_proxy=self._carrier.source_proxy if via is None else via.peer.raw,
            signed=kind not in SELF_PROVING,
        )
        if link is not None:
            link.send(_ENVELOPE, encode(envelope))
            return envelope.id
        self._eventually.call(self._network.handle_control, envelope, self._own, None)
        return envelope.id

    def frame_received(self, link: ILink, kind: int, payload: bytes) -> None:
        """
        A frame of kind MESSAGE, ACK or ENVELOPE came over a confirmed link.

        @raise WireError: the peer at the other end of the link broke the protocol.
        """
        if self._stopped:
            return
        if kind == _MESSAGE:
            self._inbox.received(Sender(link.peer, link, None), decode(MessagePart, payload))
        elif kind == _ACK:
            self._outbox.acknowledged(link.peer, decode(AckPart, payload))
        else:
            self._forwarder.received(link, payload)

    def link_replaced(self, before: Peer, peer: Peer) -> None:
        """What is under way moves to the new link."""
        self.link_changed(before.link, peer.link)

    def peer_established(self, peer: Peer, before: Peer | None) -> None:
        """Messages that found no way may find one now."""
        self.link_added(peer.link)

    def peer_reset(self, peer: Peer, reason: LinkClosed) -> None:
        """What was sent over the link so far is sent again."""
        self.link_begun_anew(peer.link)

    def peer_lost(self, peer: Peer, reason: CloseReason, detail: str) -> None:
        """What the link carried goes another way; the table must know of the loss already."""
        self.link_lost(peer.link)

    def link_added(self, link: ILink) -> None:
        """A link was confirmed: messages that found no way may find one now."""
        self._outbox.link_added()

    def link_changed(self, old: ILink, new: ILink) -> None:
        """Another link has taken the place of one. What the old one has got still arrives."""
        self._queues.link_changed(old, new)
        self._forwarder.link_changed(old, new)
        self._outbox.link_changed(old, new)

    def link_begun_anew(self, link: ILink) -> None:
        """What was sent over a link so far may be lost."""
        self._outbox.link_begun_anew(link)

    def link_lost(self, link: ILink) -> None:
        """A confirmed link is gone, or does not count any more; the table must know it already."""
        self._queues.link_lost(link)
        self._forwarder.link_lost(link)
        self._outbox.link_lost(link)

    def stop(self) -> None:
        """Fail all that is pending with L{ServiceStopped}, and send nothing more. Idempotent."""
        if self._stopped:
            return
        self._stopped = True
        self._eventually.cancel()
        self._acknowledger.stop()
        self._queues.stop()
        self._forwarder.stop()
        self._reassembler.stop()
        self._inbox.stop()
        self._outbox.stop()

    def _envelope_for_us(self, envelope: Envelope, source: Name, link: ILink) -> None:
        """An envelope is at its destination. Whatever is wrong with it, the link's peer is not to blame."""
        try:
            self._open(envelope, source, link)
        except WireError as error:
            self._quiet.info(
                "bad envelopes",
                "dropped an envelope of {source}: {problem}",
                source=source,
                problem=str(error),
            )

    def _open(self, envelope: Envelope, source: Name, link: ILink) -> None:
        kind = envelope.kind
        if kind is EnvelopeKind.UNDELIVERABLE:
            hint = decode(Undeliverable, envelope.body)
            if not self._outbox.undeliverable(hint.id):
                self._network.undeliverable(hint.id)
        elif not holds(envelope, self._network.settings.network, self._network.identity):
            raise WireError("its signature does not hold")
        elif kind is EnvelopeKind.MESSAGE or kind is EnvelopeKind.ACK:
            if envelope.nearest:
                raise WireError("a message is for a node, not for the nearest")
            if kind is EnvelopeKind.ACK:
                self._outbox.acknowledged(source, decode(AckPart, envelope.body))
            else:
                sender = Sender(source, link, envelope.source_proxy)
                self._inbox.received(sender, decode(MessagePart, envelope.body))
        else:
            self._network.handle_control(envelope, source, link)

    def _message_to_self(self, part: MessagePart) -> None:
        self._inbox.received(Sender(self._own, None, None), part)

    def _group_done(self, results: list[tuple[bool, Any]], members: tuple[Name, ...]) -> tuple[Name, ...]:
        for success, result in results:
            if not success and result.check(ServiceStopped, CancelledError):
                result.raiseException()
        acknowledged = tuple(name for name, (success, _) in zip(members, results, strict=True) if success)
        if not acknowledged:
            raise PeerUnreachable(f"none of {len(members)} members of the group has acknowledged")
        return acknowledged

"""
Messaging: messages by name, with acknowledgements; and the sending of control messages.

Order, between any two nodes: the parts of a message (MessagePart), as often as they must be sent until the
acknowledgement (AckPart) comes, which for a request holds the answer and may have parts too. Between linked
nodes they are frames of their own kinds; between others they are sealed in a session of the two, which comes
first (C{sessions}), and in envelopes, which other nodes pass on (C{forwarder}).

L{Messenger} puts together what does the work: C{outgoing} and C{inbox}, C{forwarder} and C{transmission}.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, DeferredList, fail, succeed

from ...crust.interfaces import ILink
from ...errors import (
    CloseReason,
    LinkClosed,
    PeerUnreachable,
    RequestRefused,
    RequestTimedOut,
    ServiceStopped,
    WireError,
)
from ...names import Name
from ...timing.eventual import EventualQueue
from ...wire.codec import decode, encode
from ...wire.end_to_end import AckPart, Flavour, MessagePart
from ...wire.framing import FrameKind
from ...wire.messages import Envelope, EnvelopeKind, Undeliverable
from ..envelopes import MAX_HOPS, SELF_PROVING, Sealer
from ..links.peer import LinkFrameHandler, Peer, PeerListener
from ..membership.neighbourhood import LinkLookup, Neighbourhood
from ..node import Node
from ..sessions.flights import FlightSender
from ..sessions.openings import MakeBody
from ..sessions.sessions import Sessions
from .acknowledger import Acknowledger
from .envelope_dispatch import EnvelopeDispatch
from .forwarder import Forwarder
from .fragmentation import Reassembler
from .inbox import Inbox, MessageHandler
from .outgoing.attempts import MessageAttempts
from .outgoing.outbox import Outbox
from .outgoing.retries import Lookout
from .request_handling import MessageSender, RequestHandler
from .transmission import TransmissionQueues

__all__ = ["MessageHandler", "Messenger", "RequestHandler"]

_ENVELOPE: Final = int(FrameKind.ENVELOPE)
_UNANSWERED: Final = frozenset((EnvelopeKind.GROUP_ANSWER, EnvelopeKind.CLIENT_RECORD))
"""Kinds that nobody reacts to; each follows an envelope that came just before."""


class Messenger(PeerListener):
    """
    Made with each start of the service, fed with frames from confirmed links, told of peers, discarded after
    L{stop}.

    @ivar send: L{Outbox.send}.
    @ivar request: L{Outbox.request}.
    @ivar frame_handlers: what is to be called with the frames that come on confirmed links, by their kinds.
    """

    def __init__(
        self, node: Node, links: LinkLookup, neighbourhood: Neighbourhood, dispatch: EnvelopeDispatch
    ) -> None:
        """
        @param dispatch: takes the envelopes for us; the messenger registers its kinds with it.
        """
        settings = node.settings
        self._links = links
        self._own = node.name
        self._dispatch = dispatch
        self._sealer = Sealer(node.identity, settings.network, MAX_HOPS, node.random)
        self._sessions = Sessions(
            node,
            FlightSender(
                links,
                self._first_hops,
                self._envelope_of_a_session,
            ),
            self,
        )
        self._queues = TransmissionQueues(self._sealer, neighbourhood, self._sessions)
        self._forwarder = Forwarder(node, links, neighbourhood, self._sealer, dispatch.received)
        self._reassembler = Reassembler(node.clock, settings)
        self._outbox = Outbox(
            node,
            MessageAttempts(links, self._forwarder, self._sessions, self._queues),
            self._reassembler,
            self._message_to_self,
        )
        self._acknowledger = Acknowledger(
            node, links, self._forwarder, self._sessions, self._queues, self._outbox.acknowledged
        )
        self._inbox = Inbox(node, self._reassembler, self._acknowledger)
        self._eventually = EventualQueue(node.clock)
        self._when_undeliverable: tuple[Callable[[int], object], ...] = ()
        self._stopped = False
        self.send = self._outbox.send
        self.request = self._outbox.request
        self.frame_handlers: dict[int, LinkFrameHandler] = {
            FrameKind.MESSAGE: self._message_frame,
            FrameKind.ACK: self._ack_frame,
            FrameKind.ENVELOPE: self._forwarder.frame_received,
        }
        dispatch.handle(EnvelopeKind.SEALED, self._sessions.packet_received)
        dispatch.handle(EnvelopeKind.SESSION_FLIGHT, self._sessions.flight_received)
        dispatch.handle(EnvelopeKind.SESSION_UNKNOWN, self._sessions.unknown_received)
        dispatch.handle(EnvelopeKind.UNDELIVERABLE, self._hint_received)

    def when_undeliverable(self, *handlers: Callable[[int], object]) -> None:
        """Call these with the id of each control envelope of ours that a hint says found no way on."""
        self._when_undeliverable = handlers

    def look_out_by(self, lookout: Lookout) -> None:
        """
        Have destinations looked for by this. It cannot be an argument of the constructor: what looks for them
        sends control messages.
        """
        self._outbox.look_out_by(lookout)

    @property
    def outstanding(self) -> int:
        """How many messages of ours wait for their acknowledgement."""
        return len(self._outbox)

    @property
    def sessions(self) -> Sessions:
        """The sessions with other nodes."""
        return self._sessions

    @property
    def requests_running(self) -> int:
        """How many requests of others are being handled."""
        return self._inbox.answering.running

    @property
    def relaying_bytes(self) -> int:
        """How many bytes wait to be relayed for others."""
        return self._forwarder.relay.held

    @property
    def relay_status(self) -> dict[str, object]:
        """What waits to be relayed for others, and how much was dropped, ready to be written as JSON."""
        relay = self._forwarder.relay
        return {"waiting": len(relay), "waiting_bytes": relay.held, "dropped": relay.dropped}

    def set_message_handler(self, handler: MessageHandler | None) -> None:
        """Call this with each message; with C{None} they are acknowledged and dropped."""
        self._inbox.message_handler = handler

    def set_request_handler(self, handler: RequestHandler | None) -> None:
        """Call this with each request; with C{None} they are refused."""
        self._inbox.set_request_handler(handler)

    def send_to_group(self, group: Name, members: Sequence[Name], body: bytes) -> Deferred[tuple[Name, ...]]:
        """
        Send a message to each member of a group that was looked up.

        @param group: the name whose close group it is; the receivers see it.
        @return: fires when each member has acknowledged or is given up, with those that have, in the order of
            C{members}. Fails with L{PeerUnreachable} if there are members and none has, with
            L{LimitReached} before anything is sent, and with L{ServiceStopped}.
        @raise TypeError: the body is not bytes.
        """
        outcomes = self._to_each(group, members, body, Flavour.GROUP, None)
        return outcomes.addCallback(tuple)

    def request_group(
        self, group: Name, members: Sequence[Name], body: bytes, timeout: float | None
    ) -> Deferred[dict[Name, bytes]]:
        """
        Send a request to each member of a group that was looked up.

        @return: fires with the answers, in the order of C{members}, when each member has answered or is given
            up. Fails as that of L{send_to_group}; if there are no answers but refusals, with the first of
            them, and with L{RequestTimedOut} if the time of all others was over.
        @raise TypeError: the body is not bytes.
        """
        return self._to_each(group, members, body, Flavour.REQUEST, timeout)

    def _to_each(
        self, group: Name, members: Sequence[Name], body: bytes, flavour: Flavour, timeout: float | None
    ) -> Deferred[dict[Name, Any]]:
        if not isinstance(body, bytes):
            raise TypeError(f"the body of a message is bytes, not {type(body).__name__}")
        problem = self._outbox.room_for(len(members), body)
        if problem is not None:
            return fail(problem)
        if not members:
            return succeed({})
        sent = [self._outbox.submit(name, body, flavour, group.raw, timeout) for name in members]
        return DeferredList(sent, consumeErrors=True).addCallback(_successes, tuple(members))

    def send_control(
        self,
        kind: EnvelopeKind,
        destination: Name,
        body: bytes,
        proxy: Name | None = None,
        via: ILink | None = None,
        attempt: int = 0,
        *,
        nearest: bool = False,
    ) -> int | None:
        """
        Send a control message, once. It is signed, unless its body proves itself or it goes straight to the
        destination, where TLS proves who sends it.

        A message for ourselves comes back on the next turn, and so does one for the node nearest to a name
        while we know no other node. The arguments are those of
        L{SendControl<routing_crust.routing.control.SendControl>}.
        """
        if self._stopped:
            return None
        proxy_raw = b"" if proxy is None else proxy.raw
        link = via
        if via is not None:
            proxy_raw = self._forwarder.proxy_for(destination, proxy_raw)
        else:
            hops, proxy_raw = self._forwarder.first_hops(destination, proxy_raw, attempt + 1)
            by_itself = not nearest and proxy in (None, self._own)
            link = self._links.link_to(destination) if by_itself else None
            # what asks for a second link must not go by the doubted one
            hops = [hop for hop in hops if not hop.is_doubted] or hops
            if hops and (link is None or link.is_doubted):
                link = hops[attempt % len(hops)]
            if not nearest and destination == self._own:
                link = None
            elif link is None and not nearest:
                return None
        envelope = self._sealer.seal(
            self._sealer.new_trace(),
            kind,
            destination,
            body,
            nearest=nearest,
            destination_proxy=b"" if nearest else proxy_raw,
            # the answer comes back by the link that the caller chose, whether its peer is our proxy or not
            source_proxy=self._queues.source_proxy if via is None else via.peer.raw,
            signed=kind not in SELF_PROVING and (nearest or link is None or link.peer != destination),
        )
        if link is not None:
            (link.tell if kind in _UNANSWERED else link.send)(_ENVELOPE, encode(envelope))
            return envelope.id
        # on a later turn, as from a link: the caller has not noted yet what it has sent
        self._eventually.call(self._dispatch.received_from_ourselves, envelope, self._own)
        return envelope.id

    def link_replaced(self, before: Peer, peer: Peer) -> None:
        """Move what is under way to the new link. What the old one has taken still arrives."""
        self._queues.link_changed(before.link, peer.link)
        self._forwarder.link_changed(before.link, peer.link)
        self._outbox.link_changed(before.link, peer.link)

    def peer_established(self, peer: Peer, before: Peer | None) -> None:
        """Try messages again that found no way before."""
        self._outbox.link_added()

    def peer_reset(self, peer: Peer, reason: LinkClosed) -> None:
        """Send again what is unacknowledged by this peer."""
        self._outbox.peer_reset(peer.name)

    def peer_lost(self, peer: Peer, reason: CloseReason, detail: str) -> None:
        """What the link carried goes another way; the table must know of the loss already."""
        # the outbox comes last: it sends again at once, and must find nothing of the lost link in use
        self._queues.link_lost(peer.link)
        self._sessions.link_lost()
        self._forwarder.link_lost(peer.link)
        self._outbox.link_lost(peer.link)

    def banned(self, name: Name, reason: LinkClosed) -> None:
        """A member is banned: nothing that is sealed is taken from it, or sent to it."""
        self._sessions.forget(name)

    def settings_changed(self) -> None:
        """Settings of the node are others."""
        self._forwarder.settings_changed()

    def stop(self) -> None:
        """Fail all that is pending with L{ServiceStopped}, and send nothing more. Idempotent."""
        if self._stopped:
            return
        self._stopped = True
        # the outbox comes last: its failures call the application, which must find everything stopped
        self._eventually.cancel()
        self._acknowledger.stop()
        self._queues.stop()
        self._sessions.stop()
        self._forwarder.stop()
        self._reassembler.stop()
        self._inbox.stop()
        self._outbox.stop()

    def _message_frame(self, link: ILink, kind: int, payload: bytes) -> None:
        if not self._stopped:
            self._inbox.received(MessageSender(link.peer, link, None), decode(MessagePart, payload))

    def _ack_frame(self, link: ILink, kind: int, payload: bytes) -> None:
        if not self._stopped:
            self._outbox.acknowledged(link.peer, decode(AckPart, payload), link)

    # What the sessions call.

    def session_opened(self, peer: Name) -> None:
        """Send what has waited for a session with this peer."""
        self._acknowledger.session_opened(peer)
        self._outbox.session_opened(peer)

    def session_lost(self, peer: Name) -> None:
        """Seal again, in another session, what the peer could not open."""
        self._outbox.session_lost(peer)

    def opened(self, envelope: Envelope, source: Name, link: ILink | None, plaintext: bytes) -> None:
        """What was sealed for us in a session with C{source}."""
        kind, part = plaintext[0], plaintext[1:]
        if kind == FrameKind.MESSAGE:
            direct = self._links.link_to(source)
            unused = None if direct is link else direct
            sender = MessageSender(source, link, envelope.source_proxy, unused)
            self._inbox.received(sender, decode(MessagePart, part))
        elif kind == FrameKind.ACK:
            self._outbox.acknowledged(source, decode(AckPart, part), link)
        else:
            raise WireError(f"what is sealed is of the kind {kind}, which there is not")

    def _first_hops(self, destination: Name, proxy: bytes, most: int) -> tuple[list[ILink], bytes]:
        return self._forwarder.first_hops(destination, proxy, most)

    def _envelope_of_a_session(
        self, kind: EnvelopeKind, destination: Name, body: MakeBody, *, destination_proxy: bytes
    ) -> Envelope:
        id, source_proxy = self._sealer.new_trace(), self._queues.source_proxy
        return self._sealer.seal(
            id,
            kind,
            destination,
            body(id, source_proxy),
            destination_proxy=destination_proxy,
            source_proxy=source_proxy,
            signed=kind is not EnvelopeKind.SEALED,
        )

    def _hint_received(self, envelope: Envelope, source: Name, link: ILink | None) -> None:
        # unsigned: a forger must have seen the random id on its way, and causes one more attempt
        hint = decode(Undeliverable, envelope.body)
        if not self._outbox.undeliverable(hint.id):
            for handler in self._when_undeliverable:
                handler(hint.id)

    def _message_to_self(self, part: MessagePart) -> None:
        self._inbox.received(MessageSender(self._own, None, None), part)


def _successes(results: list[tuple[bool, Any]], members: tuple[Name, ...]) -> dict[Name, Any]:
    """What the members of a group have answered or acknowledged."""
    good = {name: result for name, (success, result) in zip(members, results, strict=True) if success}
    failures = [result for success, result in results if not success]
    # a stop or a cancellation is no failure of the members, and must not look like one
    for failure in failures:
        if failure.check(ServiceStopped, CancelledError):
            failure.raiseException()
    if not good:
        for kind in (RequestRefused, RequestTimedOut):
            for failure in failures:
                if failure.check(kind):
                    failure.raiseException()
        raise PeerUnreachable(f"none of {len(members)} members of the group has acknowledged")
    return good

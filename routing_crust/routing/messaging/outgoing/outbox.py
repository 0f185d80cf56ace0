"""
The outbox: our own messages, from C{send} to their acknowledgement.

It bounds what waits by its bytes, gives each message its number and its C{Deferred}, and matches
acknowledgements. L{MessageAttempts} decides how a message goes out, and L{MessageRetries} when it goes out
again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger

from ....config import OUTBOX_OVERHEAD_BYTES
from ....crust.interfaces import ILink, account_by_prefix, prefix_of
from ....errors import LimitReached, NotConnected, ServiceStopped, WireError
from ....names import Name
from ....quietlog import QuietLog
from ....timing.eventual import EventualQueue
from ....timing.timers import cancel
from ....wire.end_to_end import AckPart, AckStatus, Flavour, MessagePart
from ...node import Node
from ..fragmentation import Reassembler
from .attempts import MessageAttempts
from .message import OutgoingMessage
from .retries import Lookout, MessageRetries


class Outbox:
    """Made by the messenger, fed with acknowledgements, hints and news of links; discarded after L{stop}."""

    log = Logger()

    def __init__(
        self,
        node: Node,
        attempts: MessageAttempts,
        reassembler: Reassembler,
        deliver_here: Callable[[MessagePart], None],
    ) -> None:
        """
        @param deliver_here: called, on a later turn, with each message to ourselves.
        """
        self._own = node.name
        self._brief = node.brief
        self._clock = node.clock
        # above all ids of earlier starts, so that no peer mistakes a new message for an old one
        self._last_id = node.incarnation << 20
        self._attempts = attempts
        self._reassembler = reassembler
        self._deliver_here = deliver_here
        self._quiet = QuietLog(self.log, node.clock.seconds)
        self._settings = node.settings
        self._held = 0
        self._waiting: dict[int, OutgoingMessage] = {}
        self._here: list[OutgoingMessage] = []
        self._eventually = EventualQueue(self._clock)
        self._retries = MessageRetries(node, attempts, self._fail)
        self._stopped = False

    def look_out_by(self, lookout: Lookout) -> None:
        """Have destinations looked for by this."""
        self._retries.lookout = lookout

    def __len__(self) -> int:
        return len(self._waiting)

    def room_for(self, messages: int, body: bytes) -> Exception | None:
        """Why this number of messages with this body cannot be sent now; C{None} if they can."""
        if self._stopped:
            return ServiceStopped("the service has been stopped")
        if len(body) > self._settings.max_message:
            what = f"a body of {len(body)} bytes is too large"
            return LimitReached(what, "max_message", self._settings.max_message)
        more = messages * (len(body) + OUTBOX_OVERHEAD_BYTES)
        # one message always has room, so that the largest can be sent whatever the settings
        if self._held + more > self._settings.outbox_memory and (self._waiting or messages > 1):
            what = f"{len(self)} messages of {self._held} bytes in all wait for their acknowledgement"
            return LimitReached(what, "outbox_memory", self._settings.outbox_memory)
        return None

    def send(self, name: Name, body: bytes) -> Deferred[None]:
        """
        Send a message to a node or client by name, or to ourselves.

        @return: fires with C{None} when it is acknowledged; fails as that of L{submit}.
        @raise TypeError: the body is not bytes.
        """
        return self.submit(name, body, Flavour.SEND)

    def request(self, name: Name, body: bytes, timeout: float | None = None) -> Deferred[bytes]:
        """
        Send a request.

        @param timeout: how many seconds to wait for the answer at most.
        @return: fires with the answer; fails as that of L{send}, with L{RequestRefused}, and with
            L{RequestTimedOut}.
        @raise TypeError: the body is not bytes.
        """
        return self.submit(name, body, Flavour.REQUEST, timeout=timeout)

    def submit(
        self,
        destination: Name,
        body: bytes,
        flavour: Flavour,
        group: bytes = b"",
        timeout: float | None = None,
    ) -> Deferred[Any]:
        """
        Send a message.

        @return: fires with the body of the acknowledgement: the answer to a request, else C{None}. Fails with
            L{LimitReached} or, without any link and any known address of the destination, L{NotConnected} at
            once; with L{PeerUnreachable} when the destination is found to be gone, and after
            C{UNREACHABLE_SECONDS}; with L{RequestRefused} or L{ServiceStopped}. Cancelling it ends the
            attempts.
        @raise TypeError: the body is not bytes.
        """
        if not isinstance(body, bytes):
            raise TypeError(f"the body of a message is bytes, not {type(body).__name__}")
        problem = self.room_for(1, body)
        if problem is not None:
            return fail(problem)
        self._last_id = id = self._last_id + 1
        deferred: Deferred[Any] = Deferred(self._cancelled)
        message = OutgoingMessage(id, destination, body, flavour, group, deferred, self._clock.seconds())
        self._waiting[id] = message
        self._held += message.cost
        self._retries.wait(message)
        if timeout is not None:
            message.timeout = self._clock.callLater(timeout, self._out_of_time, message, timeout)
        if destination == self._own:
            self._here.append(message)
            self._call_soon()
        elif not self._attempts.send(message) and not self._retries.wait_for_network(message):
            self._forget(message)
            return fail(
                NotConnected("this node has no link to its network, by which a message could be sent")
            )
        return deferred

    def acknowledged(self, source: Name, ack: AckPart, link: ILink | None = None) -> None:
        """
        An acknowledgement came, or a part of one.

        @param source: who it is from; proven.
        @param link: the link that it came by; C{None} if it is from ourselves.
        @raise WireError: it acknowledges a message in a way that this message does not allow.
        """
        message = self._waiting.get(ack.id)
        if message is None:
            return  # it came before, or too late
        # ids are counted up, so a peer that got one message can guess those of others
        if message.destination != source:
            self._quiet.info(
                "foreign acks",
                "{peer} acknowledged a message that was not for it",
                by=prefix_of(link),
                peer=source,
            )
            return
        if not message.allows(ack):
            raise WireError("an acknowledgement does not fit the message")
        if ack.status is AckStatus.WORKING:
            message.works_on(ack.body, self._clock.seconds())
            self._retries.wait(message)
            return
        if ack.status is AckStatus.REFUSED:
            self._fail(message, message.refused(ack.body, self._brief(source)))
            return
        # an answer of ours to ourselves comes whole
        body: bytes | None = ack.body
        if (ack.parts > 1 or len(ack.body) > self._settings.max_message) and source != self._own:
            body = self._reassembler.add(source, ack, account_by_prefix(link))
        if body is None:
            message.heard = True
            return
        self._forget(message)
        message.deferred.callback(body if ack.status is AckStatus.ANSWERED else None)

    def undeliverable(self, envelope_id: int) -> bool:
        """
        A hint came that an envelope found no way on.

        @return: whether it is one of a message, or of the handshake that messages wait for.
        """
        messages = self._attempts.undeliverable(envelope_id)
        for message in messages or ():
            self._retries.no_way(message)
        return messages is not None

    def session_opened(self, peer: Name) -> None:
        """There is a session: what has waited for it goes out."""
        for message in self._attempts.take_awaiting(peer):
            if message.id in self._waiting:
                self._retries.session_opened(message)

    def session_lost(self, peer: Name) -> None:
        """The peer could not open what was sealed recently."""
        for message in [each for each in self._waiting.values() if each.destination == peer and each.trace]:
            self._retries.not_opened(message)

    def link_lost(self, link: ILink) -> None:
        """A link is gone: what it carried is sent again at once."""
        for message in [each for each in self._waiting.values() if each.link is link]:
            # giving up one message may cancel another
            if message.id in self._waiting:
                self._retries.link_lost(message)

    def link_changed(self, old: ILink, new: ILink) -> None:
        """A new link has replaced the old one. What the old one carried still arrives."""
        for message in self._waiting.values():
            if message.link is old:
                message.link = new

    def peer_reset(self, peer: Name) -> None:
        """Messages to this peer may be lost, over any of its links: send them again at once."""
        for message in list(self._waiting.values()):
            if message.link is None or message.link.peer != peer:
                continue
            # so that the attempt does not note it as tried: the peer still has this link
            message.link = None
            if message.id in self._waiting:
                self._retries.attempt(message, False)

    def link_added(self) -> None:
        """A new link is up: messages that found no way go out on the next turn, when it can be used."""
        if not self._stopped and any(map(self._is_stranded, self._waiting.values())):
            self._call_soon()

    def stop(self) -> None:
        """Fail all that waits, with L{ServiceStopped}."""
        self._stopped = True
        self._retries.stop()
        self._eventually.cancel()
        for message in list(self._waiting.values()):
            if message.id in self._waiting:
                self._fail(message, ServiceStopped("the service has been stopped"))

    def _out_of_time(self, message: OutgoingMessage, seconds: float) -> None:
        """The caller does not want to wait any longer."""
        who = self._brief(message.destination)
        self._fail(message, message.too_late(seconds, self._clock.seconds(), who))

    def _fail(self, message: OutgoingMessage, problem: Exception) -> None:
        self._forget(message)
        message.deferred.errback(problem)

    def _forget(self, message: OutgoingMessage) -> None:
        del self._waiting[message.id]
        self._held -= message.cost
        cancel(message.timeout)
        self._retries.forget(message)
        self._attempts.forget(message)

    def _cancelled(self, deferred: Deferred[Any]) -> None:
        # a search, since cancelling is rare, and every message would pay for an index
        self._forget(next(each for each in self._waiting.values() if each.deferred is deferred))

    def _is_stranded(self, message: OutgoingMessage) -> bool:
        return message.link is None and message.retry is None and message.destination != self._own

    def _call_soon(self) -> None:
        if not self._eventually:
            self._eventually.call(self._next_turn)

    def _next_turn(self) -> None:
        here, self._here = self._here, []
        for message in here:
            # it may have been cancelled since it was sent
            if message.id in self._waiting:
                flavour, group, body = message.flavour, message.group, message.body
                self._deliver_here(MessagePart(message.id, 0, 1, flavour, group, body))
        for message in [each for each in self._waiting.values() if self._is_stranded(each)]:
            if message.id in self._waiting and self._attempts.has_way(message.destination):
                self._retries.attempt(message, False)

"""
The outbox: our own messages, from C{send} to their acknowledgement.

To a peer with a link a message goes bare over that link; to others sealed, in envelopes through the nearest
entry of the table, once there is a session with it. No acknowledgement within C{ack_timeout}, a link that is
lost with a message unacknowledged, or a hint that an envelope found no way on: each leads to another attempt,
by a route that was not tried yet if there is one, up to C{MAX_ATTEMPTS} and for C{UNREACHABLE_SECONDS}. A
hint may be false, so it counts as no attempt; but from the first one on the destination is looked for, and
what waits for one that is gone fails. What a destination could not open is sealed again in a new session.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger

from ...config import OUTBOX_OVERHEAD_BYTES
from ...crust.interfaces import ILink
from ...errors import LimitReached, NotConnected, ServiceStopped, WireError
from ...limits import MAX_ATTEMPTS
from ...names import Name
from ...quietlog import QuietLog
from ...timing.eventual import EventualQueue
from ...timing.timers import cancel
from ...wire.codec import encode
from ...wire.end_to_end import AckPart, AckStatus, Flavour, MessagePart
from ...wire.framing import FrameKind
from ..accounts import account_by_prefix
from ..membership.neighbourhood import LinkLookup
from ..node import Node
from ..sessions.openings import Way
from ..sessions.sessions import Sessions
from .envelopes import PARTS_BITS
from .forwarder import Forwarder
from .fragmentation import PART_BYTES, Reassembler
from .outgoing_message import OutgoingMessage
from .retries import Lookout, MessageWaits, wait_after_hint
from .transmission import TransmissionQueues

_MESSAGE: Final = int(FrameKind.MESSAGE)


class Outbox:
    """
    Made by the messenger, fed with acknowledgements, hints and news of links; discarded after L{stop}.

    @ivar lookout: looks for each destination that a hint says is nowhere; nobody does until it is set.
    """

    log = Logger()

    def __init__(
        self,
        node: Node,
        links: LinkLookup,
        forwarder: Forwarder,
        sessions: Sessions,
        queues: TransmissionQueues,
        reassembler: Reassembler,
        deliver_here: Callable[[MessagePart], None],
    ) -> None:
        """
        @param deliver_here: called, on a later turn, with each message to ourselves.
        """
        settings = node.settings
        self._links = links
        self._own = node.name
        self._clock = node.clock
        self._random = node.random
        # above all ids of earlier starts, so that no peer mistakes a new message for an old one
        self._last_id = node.incarnation << 20
        self._forwarder = forwarder
        self._sessions = sessions
        self._queues = queues
        self._reassembler = reassembler
        self._deliver_here = deliver_here
        self._quiet = QuietLog(self.log, node.clock.seconds)
        self._part_size = PART_BYTES
        self._settings = settings
        self._held = 0
        self._waiting: dict[int, OutgoingMessage] = {}
        self._traces: dict[int, OutgoingMessage] = {}
        self._awaiting_session: dict[Name, dict[int, OutgoingMessage]] = {}
        self._here: list[OutgoingMessage] = []
        self._eventually = EventualQueue(self._clock)
        self._waits = MessageWaits(node.clock, settings.ack_timeout, self._timed_out)
        self.lookout: Lookout | None = None
        self._stopped = False

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
            L{LimitReached} or, without any link, L{NotConnected} at once; with L{PeerUnreachable} when the
            destination is found to be gone, and after C{UNREACHABLE_SECONDS}; with L{RequestRefused} or
            L{ServiceStopped}. Cancelling it ends the attempts.
        @raise TypeError: the body is not bytes.
        """
        if not isinstance(body, bytes):
            raise TypeError(f"the body of a message is bytes, not {type(body).__name__}")
        problem = self.room_for(1, body)
        if problem is not None:
            return fail(problem)
        link = self._links.link_to(destination)
        self._last_id = id = self._last_id + 1
        deferred: Deferred[Any] = Deferred(self._cancelled)
        message = OutgoingMessage(id, destination, body, flavour, group, deferred, self._clock.seconds())
        self._waiting[id] = message
        self._held += message.cost
        self._waits.begin(message)
        if timeout is not None:
            message.timeout = self._clock.callLater(timeout, self._out_of_time, message, timeout)
        if link is not None:
            self._send_bare(message, link)
        elif destination == self._own:
            self._here.append(message)
            self._call_soon()
        elif not self._send_sealed(message):
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
            self._quiet.info("foreign acks", "{peer} acknowledged a message that was not for it", peer=source)
            return
        if not message.allows(ack):
            raise WireError("an acknowledgement does not fit the message")
        if ack.status is AckStatus.WORKING:
            message.works_on(ack.body, self._clock.seconds())
            self._waits.begin(message)
            return
        if ack.status is AckStatus.REFUSED:
            self._fail(message, message.refused(ack.body))
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
        # the envelopes of one attempt differ in the lowest bits only, and one hint ends the attempt
        message = self._traces.pop(envelope_id >> PARTS_BITS << PARTS_BITS, None)
        if message is not None:
            self._no_way(message)
            return True
        peer = self._sessions.undeliverable(envelope_id)
        if peer is None:
            return False
        for each in list(self._awaiting_session.get(peer, {}).values()):
            self._no_way(each)
        return True

    def session_opened(self, peer: Name) -> None:
        """There is a session: what has waited for it goes out."""
        for message in self._awaiting_session.pop(peer, {}).values():
            # a message that waits for another attempt, after a hint, need not wait any more
            if message.id in self._waiting and self._send_again(message):
                self._waits.end(message)
                (self._waits.begin if message.attempts == 1 else self._waits.begin_again)(message)

    def session_lost(self, peer: Name) -> None:
        """The peer could not open what was sealed lately."""
        for message in [each for each in self._waiting.values() if each.destination == peer and each.trace]:
            if message.hints:
                # a peer that opens nothing must not have us seal the same again and again
                self._no_way(message)
            else:
                message.hints += 1
                self._attempt(message, False)

    def link_lost(self, link: ILink) -> None:
        """A link is gone: what it carried is sent again at once."""
        for message in [each for each in self._waiting.values() if each.link is link]:
            # giving up one message may cancel another
            if message.id in self._waiting:
                self._attempt(message)

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
                self._attempt(message)

    def link_added(self) -> None:
        """A new link is up: messages that found no way go out on the next turn, when it can be used."""
        if not self._stopped and any(map(self._is_stranded, self._waiting.values())):
            self._call_soon()

    def stop(self) -> None:
        """Fail all that waits, with L{ServiceStopped}."""
        self._stopped = True
        self._waits.stop()
        self._eventually.cancel()
        for message in list(self._waiting.values()):
            if message.id in self._waiting:
                self._fail(message, ServiceStopped("the service has been stopped"))

    def _send_bare(self, message: OutgoingMessage, link: ILink) -> None:
        message.link = link
        body = message.body
        if len(body) <= self._part_size and self._queues.is_free(link):
            link.send(_MESSAGE, encode(MessagePart(message.id, 0, 1, message.flavour, message.group, body)))
        else:
            message.transmission = self._queues.send_bare(link, _MESSAGE, message.parts(self._part_size))

    def _send_again(self, message: OutgoingMessage) -> bool:
        """Send a message that has waited for a session. Returns whether a first hop exists."""
        # nothing was sent by its link yet, so that this one counts as not tried
        message.link = None
        self._end_attempt(message)
        direct = self._links.link_to(message.destination)
        if direct is None or direct in message.tried:
            return self._send_sealed(message)
        self._send_bare(message, direct)
        return True

    def _send_sealed(self, message: OutgoingMessage) -> bool:
        """Send a message sealed, or have a session made for it. Returns whether a first hop exists."""
        hops, proxy = self._forwarder.first_hops(message.destination)
        direct = self._links.link_to(message.destination)
        if direct is not None:
            # last: a message goes bare where there is a link, so this one was tried before
            hops.append(direct)
        link = next((hop for hop in hops if hop not in message.tried), None)
        if link is None:
            if not hops:
                return False
            # all were tried: take turns, since what was lost on one may pass the next time
            link = hops[(message.attempts + message.hints) % len(hops)]
        if link is direct:
            self._send_bare(message, link)
            return True
        message.link = link
        if not self._sessions.is_open(message.destination):
            message.awaits_session = True
            self._awaiting_session.setdefault(message.destination, {})[message.id] = message
            self._sessions.open(message.destination, Way(proxy), message.attempts + message.hints > 1)
            return True
        message.trace = self._queues.new_trace()
        self._traces[message.trace] = message
        message.transmission = self._queues.send_sealed(
            link,
            _MESSAGE,
            message.destination,
            proxy,
            self._parts(message),
            message.trace,
        )
        return True

    def _parts(self, message: OutgoingMessage) -> Iterator[bytes]:
        if len(message.body) > self._part_size:
            return message.parts(self._part_size)
        whole = MessagePart(message.id, 0, 1, message.flavour, message.group, message.body)
        return iter((encode(whole),))  # as most are

    def _out_of_time(self, message: OutgoingMessage, seconds: float) -> None:
        """The caller does not want to wait any longer."""
        self._fail(message, message.too_late(seconds, self._clock.seconds()))

    def _timed_out(self, message: OutgoingMessage) -> None:
        if message.working_until > self._clock.seconds():
            self._waits.begin(message)
            return
        under_way = message.heard or (message.transmission is not None and message.transmission.waiting)
        if under_way and message.attempts < MAX_ATTEMPTS:
            # a repetition would only add to what the link has to carry already
            message.heard = False
            message.attempts += 1
            self._waits.begin(message)
        else:
            self._attempt(message)

    def _attempt(self, message: OutgoingMessage, counts: bool = True) -> None:
        """
        Try again, by another route if one exists.

        @param counts: whether the last attempt may have failed for another reason than a hint.
        """
        self._waits.end(message)
        self._end_attempt(message)
        if message.left(self._clock.seconds()) <= 0 or (counts and message.attempts >= MAX_ATTEMPTS):
            self._give_up(message)
            return
        message.attempts += counts
        self._waits.begin_again(message)
        if message.destination == self._own:
            return  # it has been delivered; only the answer is late
        direct = self._links.link_to(message.destination)
        if direct is not None and direct not in message.tried:
            self._send_bare(message, direct)
        elif not self._send_sealed(message):
            self._look_for(message)

    def _no_way(self, message: OutgoingMessage) -> None:
        """An attempt has found no way: make another one soon."""
        if message.retry is None:
            self._waits.end(message)
            self._look_for(message)
            message.hints += 1
            wait = wait_after_hint(self._random, message.hints, message.left(self._clock.seconds()))
            message.retry = self._clock.callLater(wait, self._attempt, message, False)

    def _look_for(self, message: OutgoingMessage) -> None:
        if message.end_watch is None and self.lookout is not None:
            message.end_watch = self.lookout.watch(message.destination, partial(self._fail, message))

    def _end_attempt(self, message: OutgoingMessage) -> None:
        self._traces.pop(message.trace, None)
        if message.awaits_session:
            self._awaits_no_more(message)
        message.end_attempt()

    def _awaits_no_more(self, message: OutgoingMessage) -> None:
        message.awaits_session = False
        others = self._awaiting_session.get(message.destination)
        if others is not None:
            others.pop(message.id, None)
            if not others:
                del self._awaiting_session[message.destination]

    def _give_up(self, message: OutgoingMessage) -> None:
        problem = message.unreachable()
        if self.lookout is not None:
            problem = self.lookout.unreachable(message.destination, str(problem), message.began)
        self._fail(message, problem)

    def _fail(self, message: OutgoingMessage, problem: Exception) -> None:
        self._forget(message)
        message.deferred.errback(problem)

    def _forget(self, message: OutgoingMessage) -> None:
        del self._waiting[message.id]
        self._held -= message.cost
        self._waits.end(message)
        cancel(message.timeout)
        if message.end_watch is not None:
            message.end_watch()
        if message.awaits_session:
            self._awaits_no_more(message)
        if message.trace or message.transmission is not None or message.retry is not None:
            self._end_attempt(message)

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
            if message.id in self._waiting and self._has_way(message):
                self._attempt(message)

    def _has_way(self, message: OutgoingMessage) -> bool:
        destination = message.destination
        return bool(self._links.link_to(destination) or self._forwarder.first_hops(destination, most=1)[0])

"""
Attempts to send a message, and the route of each. A peer with a link gets the message bare over that link;
others get it sealed, in envelopes through the nearest entry of the table, once there is a session with them.
A route that was not tried yet comes first.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ....crust.interfaces import ILink
from ....names import Name
from ....wire.codec import encode
from ....wire.end_to_end import MessagePart
from ....wire.framing import FrameKind
from ...envelopes import PARTS_BITS
from ...membership.neighbourhood import LinkLookup
from ...sessions.openings import WayBack
from ...sessions.sessions import Sessions
from ..forwarder import Forwarder
from ..fragmentation import PART_BYTES
from ..transmission import TransmissionQueues
from .message import OutgoingMessage

_MESSAGE: Final = int(FrameKind.MESSAGE)


class MessageAttempts:
    """
    Sends messages, and finds those that a hint or a new session is about.

    Made by the messenger. A message is in here from L{send} to L{end} or L{forget}.
    """

    def __init__(
        self, links: LinkLookup, forwarder: Forwarder, sessions: Sessions, queues: TransmissionQueues
    ) -> None:
        self._links = links
        self._forwarder = forwarder
        self._sessions = sessions
        self._queues = queues
        self._part_size = PART_BYTES
        self._traces: dict[int, OutgoingMessage] = {}
        self._awaiting_session: dict[Name, dict[int, OutgoingMessage]] = {}

    def send(self, message: OutgoingMessage) -> bool:
        """Send a message, or have a session made for it. Returns whether a first hop exists."""
        direct = self._links.link_to(message.destination)
        if direct is None or direct in message.tried:
            return self._send_sealed(message)
        self._send_bare(message, direct)
        return True

    def send_opened(self, message: OutgoingMessage) -> bool:
        """Send a message that has waited for a session. Returns whether a first hop exists."""
        # nothing was sent by its link yet, so that this one counts as not tried
        message.link = None
        self.end(message)
        return self.send(message)

    def has_way(self, destination: Name) -> bool:
        """Whether a first hop exists."""
        return bool(self._links.link_to(destination) or self._forwarder.first_hops(destination, most=1)[0])

    def undeliverable(self, envelope_id: int) -> list[OutgoingMessage] | None:
        """
        The messages whose attempt finds no way, as a hint about an envelope says.

        @return: C{None} if it is neither one of a message nor of the handshake that messages wait for.
        """
        # the envelopes of one attempt differ in the lowest bits only, and one hint ends the attempt
        message = self._traces.pop(envelope_id >> PARTS_BITS << PARTS_BITS, None)
        if message is not None:
            return [message]
        peer = self._sessions.undeliverable(envelope_id)
        return None if peer is None else list(self._awaiting_session.get(peer, {}).values())

    def take_awaiting(self, peer: Name) -> list[OutgoingMessage]:
        """The messages that have waited for a session with this peer; they wait for it no more."""
        return list(self._awaiting_session.pop(peer, {}).values())

    def end(self, message: OutgoingMessage) -> None:
        """End the attempt that is under way."""
        self._traces.pop(message.trace, None)
        if message.awaits_session:
            self._awaits_no_more(message)
        message.end_attempt()

    def forget(self, message: OutgoingMessage) -> None:
        """End what is under way for a message that is done with."""
        if message.awaits_session:
            self._awaits_no_more(message)
        if message.trace or message.transmission is not None or message.retry is not None:
            self.end(message)

    def _send_bare(self, message: OutgoingMessage, link: ILink) -> None:
        message.link = link
        body = message.body
        if len(body) <= self._part_size and self._queues.is_free(link):
            link.send(_MESSAGE, encode(MessagePart(message.id, 0, 1, message.flavour, message.group, body)))
        else:
            message.transmission = self._queues.send_bare(link, _MESSAGE, message.parts(self._part_size))

    def _send_sealed(self, message: OutgoingMessage) -> bool:
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
            self._sessions.open(message.destination, WayBack(proxy), message.attempts + message.hints > 1)
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

    def _awaits_no_more(self, message: OutgoingMessage) -> None:
        message.awaits_session = False
        others = self._awaiting_session.get(message.destination)
        if others is not None:
            others.pop(message.id, None)
            if not others:
                del self._awaiting_session[message.destination]

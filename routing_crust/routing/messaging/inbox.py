"""
The inbox: messages of others, from their first part to the handler and the acknowledgement.

A message is delivered once at the most: its sender's name and its id are remembered for
C{MESSAGE_ID_LIFETIME_SECONDS} seconds, and a repetition is acknowledged again but not delivered again. An id
that is below what is remembered of its sender is too old, and the message is ignored.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Final, TypeAlias

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from ...crust.interfaces import account_by_prefix, prefix_of
from ...errors import WireError
from ...names import NAME_BYTES, Name
from ...quietlog import TRACEBACKS_AT_ONCE, QuietLog
from ...wire.end_to_end import AckStatus, Flavour, MessagePart
from ..events import Message
from ..node import Node
from .duplicates import MAX_REMEMBERED_IDS, MESSAGE_ID_LIFETIME_SECONDS, Freshness, SenderWindows
from .fragmentation import Reassembler
from .request_handling import Acknowledge, Answering, MessageSender, RequestHandler

MessageHandler: TypeAlias = Callable[[Message], object]
"""Takes a message. A coroutine that it returns is run; any other result is ignored."""


_GROUP_BYTES: Final = {
    Flavour.SEND: (0,),
    Flavour.REQUEST: (0, NAME_BYTES),
    Flavour.GROUP: (NAME_BYTES,),
}
"""How long the name of the group may be."""


class Inbox:
    """Made by the messenger, fed with message parts, discarded after L{stop}."""

    log = Logger()

    def __init__(self, node: Node, reassembler: Reassembler, acknowledge: Acknowledge) -> None:
        settings = node.settings
        self._acknowledge = acknowledge
        self._reassembler = reassembler
        self._max_message = settings.max_message
        self._quiet = QuietLog(self.log, node.clock.seconds)
        self._windows = SenderWindows(node.clock, MESSAGE_ID_LIFETIME_SECONDS, MAX_REMEMBERED_IDS)
        self._failures = QuietLog(self.log, node.clock.seconds, TRACEBACKS_AT_ONCE)
        self.answering = Answering(node, acknowledge)
        self.message_handler: MessageHandler | None = None

    def set_request_handler(self, handler: RequestHandler | None) -> None:
        """Have requests handled, or refused."""
        self.answering.handler = handler

    def received(self, sender: MessageSender, part: MessagePart) -> None:
        """
        A part of a message came.

        @raise WireError: it cannot be part of a message.
        """
        if len(part.group) not in _GROUP_BYTES[part.flavour]:
            raise WireError("the group of a message does not fit its flavour")
        if part.part >= part.parts:
            raise WireError("a message has a part that is not one of its parts")
        # most messages are one part, and need no place in the reassembler
        if part.parts == 1 and len(part.body) <= self._max_message:
            self._complete(sender, part, part.body)
            return
        body = self._reassembler.add(sender.name, part, account_by_prefix(sender.link))
        if body is not None:
            self._complete(sender, part, body)

    def stop(self) -> None:
        """Deliver nothing more."""
        self.answering.stop()
        self._windows.clear()

    def _complete(self, sender: MessageSender, part: MessagePart, body: bytes) -> None:
        key = (sender.name.raw, part.id)
        if part.flavour is Flavour.REQUEST:
            self._request(key, sender, part, body)
            return
        known = self._note(sender, part)
        if known is Freshness.TOO_OLD:
            return
        again = known is Freshness.SEEN
        if not again:
            # before it is acknowledged: a process that dies in the handler gets the message again
            self._deliver(Message(sender.name, body, Name(part.group) if part.group else None))
        self._acknowledge(sender, part.id, AckStatus.DELIVERED, again=again)

    def _request(self, key: tuple[bytes, int], sender: MessageSender, part: MessagePart, body: bytes) -> None:
        answering = self.answering
        if answering.knows(key):
            answering.repeated(key, sender, part.id)
        # before the id is noted: a request without room must not count as seen when it is sent again
        elif not answering.has_room(sender, len(body)):
            self._quiet.info(
                "too many requests",
                "ignored a request of {peer}: too many are being handled (the settings max_requests and "
                "max_requests_per_peer)",
                by=prefix_of(sender.link),
                peer=sender.name,
            )
        else:
            known = self._note(sender, part)
            if known is Freshness.SEEN:
                answering.repeated(key, sender, part.id)
            elif known is Freshness.NEW:
                answering.new(key, sender, body, Name(part.group) if part.group else None)

    def _note(self, sender: MessageSender, part: MessagePart) -> Freshness:
        """Note a message. One that may or may not have come before is neither delivered nor acknowledged."""
        known = self._windows.note(sender.name.raw, part.id, account_by_prefix(sender.link))
        if known is Freshness.TOO_OLD:
            self._quiet.info(
                "old messages",
                "ignored a message of {peer}: it is older than what is remembered of this sender",
                by=prefix_of(sender.link),
                peer=sender.name,
            )
        return known

    def _deliver(self, message: Message) -> None:
        handler = self.message_handler
        if handler is None:
            self._quiet.info(
                "no handler", "dropped a message of {peer}: there is no handler", peer=message.source
            )
            return
        try:
            result = handler(message)
            if result is None:
                return
            # a coroutine does nothing until it is run
            if inspect.iscoroutine(result):
                result = Deferred.fromCoroutine(result)
            if isinstance(result, Deferred):
                result.addErrback(self._handler_failed)
        except Exception:  # whatever an application may raise, as often as a peer sends
            self._failures.failure("message handlers", "the message handler raised")

    def _handler_failed(self, failure: Failure) -> None:
        self._failures.failure("message handlers", "the message handler failed", failure)

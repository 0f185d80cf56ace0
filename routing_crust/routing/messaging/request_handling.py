"""
Request handling: requests of others, from their arrival to the acknowledgement that holds the answer.

A request is handled once at the most. While its handler runs, repetitions of the request are ignored, unless
the handler has asked for more time: then the requester is told again how long to wait. When the handler is
done, the answer is kept for a while, within C{MAX_ANSWER_BYTES}, and sent again for each repetition.

A handler that takes too long without asking for more time is cancelled, and the request is refused. So is the
oldest request of the link that holds most, when requests of others need its place.
"""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from ...crust.interfaces import ILink, account_by_prefix
from ...errors import RefusalReason, RequestRefused
from ...limits import MAX_ATTEMPTS, MAX_EXTENDED_WAIT_SECONDS
from ...names import Name
from ...quietlog import TRACEBACKS_AT_ONCE, QuietLog
from ...timing.deadlines import Deadlines
from ...timing.shares import Account, Amounts
from ...wire.codec import encode
from ...wire.end_to_end import MAX_DETAIL_CHARACTERS, AckStatus, Refusal, Working
from ..events import Request
from ..node import Node
from .transmission import Transmission

MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
"""Memory for answers that are kept in case they are asked for again, and for those that wait for a link."""

MAX_REQUEST_BYTES: Final = 64 * 1024 * 1024
"""Memory for requests that are being handled, with L{REQUEST_OVERHEAD_BYTES} for each."""
REQUEST_OVERHEAD_BYTES: Final = 4 * 1024
"""Bytes that a request costs while it is handled, besides its own."""

RequestHandler: TypeAlias = Callable[[Request], bytes | Deferred[bytes] | Coroutine[Any, Any, bytes]]
"""Takes a request and returns its answer, at once or later."""
Key: TypeAlias = tuple[bytes, int]
"""A message, by its sender's name and its id."""

ANSWER_OVERHEAD_BYTES: Final = 256
"""Bytes that an answer costs while it is kept, besides its own."""


class MessageSender(NamedTuple):
    """
    The sender of a message, and the way back to it.

    @ivar link: the link that it came by; C{None} if it is from ourselves.
    @ivar proxy: the sender's proxy; empty if it has none, and C{None} for a message that came bare, over the
        sender's own link.
    @ivar unused: our link with the sender when the message came by another way. The sender may have lost it.
    """

    name: Name
    link: ILink | None
    proxy: bytes | None
    unused: ILink | None = None


class Acknowledge(Protocol):
    """How acknowledgements are sent."""

    def __call__(
        self, sender: MessageSender, id: int, status: AckStatus, body: bytes = b"", again: bool = False
    ) -> Transmission | None:
        """
        @param again: whether it was acknowledged before, so that this one may better take another way.
        @return: what is not in a link yet; C{None} if nothing is left to be sent.
        """


@dataclass(slots=True)
class _Running:
    """
    A request that is being handled.

    @ivar size: the bytes that it is counted for.
    @ivar until: when the time ends that its handler has asked for.
    @ivar result: what its handler has returned, if that comes later.
    """

    sender: MessageSender
    account: Account
    size: int
    until: float = 0.0
    result: Deferred[bytes] | None = None


@dataclass(slots=True)
class _Answer:
    """An answer that is kept."""

    status: AckStatus
    body: bytes
    transmission: Transmission | None = None


class Answering:
    """Made by the inbox, fed with requests, discarded after L{stop}."""

    log = Logger()

    def __init__(self, node: Node, acknowledge: Acknowledge) -> None:
        settings = node.settings
        self._acknowledge = acknowledge
        self._seconds = node.clock.seconds
        self._failures = QuietLog(self.log, node.clock.seconds, TRACEBACKS_AT_ONCE)
        self._max_message = settings.max_message
        self._memory = MAX_ANSWER_BYTES
        self._settings = settings
        self._running: dict[Key, _Running] = {}
        self._running_of: dict[Name, int] = {}
        self._of_account: dict[Account, dict[Key, None]] = {}
        self._amounts = Amounts()
        # by then the requester has given it up, unless it was told that the handler needs more time
        self._patience = settings.ack_timeout * (MAX_ATTEMPTS + 1)
        self._deadlines: Deadlines[Key] = Deadlines(node.clock, self._patience, self._overdue)
        self._kept: OrderedDict[Key, _Answer] = OrderedDict()
        self._held = 0
        self.handler: RequestHandler | None = None

    @property
    def running(self) -> int:
        """How many requests are being handled."""
        return len(self._running)

    @property
    def held(self) -> int:
        """How many bytes the kept answers take."""
        return self._held

    def knows(self, key: Key) -> bool:
        """Whether this request is being handled, or its answer is kept."""
        return key in self._running or key in self._kept

    def has_room(self, sender: MessageSender, size: int) -> bool:
        """
        Whether one more request may be handled now. When all places or all memory is taken, a link that holds
        more than the sender's makes room: its oldest request is refused.
        """
        if self._running_of.get(sender.name, 0) >= self._settings.max_requests_per_peer:
            return False
        size += REQUEST_OVERHEAD_BYTES
        while (
            len(self._running) >= self._settings.max_requests
            or self._amounts.total + size > MAX_REQUEST_BYTES
        ):
            fullest = self._amounts.room_for(account_by_prefix(sender.link), size) if self._running else None
            if fullest is None:
                return False
            self._end_early(next(iter(self._of_account[fullest])))
        return True

    def new(self, key: Key, sender: MessageSender, body: bytes, group: Name | None) -> None:
        """Handle a request that was not seen before."""
        if self.handler is None:
            self._finish(key, sender, AckStatus.REFUSED, _refusal(RefusalReason.NO_HANDLER))
            return
        # before the call: the handler may ask for more time from within
        running = self._begin(key, sender, len(body) + REQUEST_OVERHEAD_BYTES)
        try:
            result = self.handler(Request(sender.name, body, group, partial(self._extend, key)))
        except Exception:  # an error of the application must not affect the link or other requests
            self._failed(Failure(), key)
            return
        if inspect.iscoroutine(result):
            result = Deferred.fromCoroutine(result)
        if isinstance(result, Deferred):
            running.result = result
            self._deadlines.add(key)
            result.addCallbacks(self._returned, self._failed, callbackArgs=(key,), errbackArgs=(key,))
        else:
            self._returned(result, key)

    def repeated(self, key: Key, sender: MessageSender, id: int) -> None:
        """A request came that was seen before."""
        running = self._running.get(key)
        if running is not None:
            left = running.until - self._seconds()
            if left > 0:
                self._acknowledge(sender, id, AckStatus.WORKING, encode(Working(left)), again=True)
            return
        answer = self._kept.get(key)
        if answer is None:
            # it may not be handled twice, and its answer is forgotten
            refusal = _refusal(RefusalReason.FORGOTTEN)
            self._acknowledge(sender, id, AckStatus.REFUSED, refusal, again=True)
        elif answer.transmission is None or not answer.transmission.waiting:
            answer.transmission = self._acknowledge(sender, id, answer.status, answer.body, again=True)

    def stop(self) -> None:
        """Answer nothing more; the results of handlers that still run are ignored."""
        self._deadlines.stop()
        self._running.clear()
        self._running_of.clear()
        self._of_account.clear()
        self._amounts.clear()
        self._kept.clear()
        self._held = 0

    def _extend(self, key: Key, seconds: float) -> None:
        """The handler of a request asks for more time."""
        # NaN, too, is not greater than 0
        if not seconds > 0:
            raise ValueError(f"an answer cannot take {seconds} s longer: give a number above 0")
        running = self._running.get(key)
        if running is not None:
            seconds = min(seconds, MAX_EXTENDED_WAIT_SECONDS)
            running.until = self._seconds() + seconds
            self._acknowledge(running.sender, key[1], AckStatus.WORKING, encode(Working(seconds)))

    def _begin(self, key: Key, sender: MessageSender, size: int) -> _Running:
        account = account_by_prefix(sender.link)
        self._running[key] = running = _Running(sender, account, size)
        self._running_of[sender.name] = self._running_of.get(sender.name, 0) + 1
        self._of_account.setdefault(account, {})[key] = None
        self._amounts.add(account, size)
        return running

    def _overdue(self, key: Key) -> None:
        if self._running[key].until + self._patience > self._seconds():
            self._deadlines.add(key)  # after the time that it has asked for, a requester waits as before
        else:
            self._end_early(key)

    def _end_early(self, key: Key) -> None:
        """Refuse a request that is being handled, and cancel its handler."""
        result = self._running[key].result
        # first: the Deferred that is cancelled fails at once, and its reason would go out instead
        self._done(key, AckStatus.REFUSED, _refusal(RefusalReason.HANDLER_TIMED_OUT))
        if result is not None:
            result.cancel()

    def _returned(self, result: object, key: Key) -> None:
        if key not in self._running:
            return  # it has ended early, or everything has
        if isinstance(result, bytes) and len(result) <= self._max_message:
            self._done(key, AckStatus.ANSWERED, result)
            return
        if not isinstance(result, bytes):
            self._failures.error(
                "types of answers",
                "the request handler returned {type}, and an answer is bytes",
                type=type(result).__name__,
            )
        else:
            self._failures.error(
                "sizes of answers",
                "the request handler returned {size} bytes, and the setting max_message allows {limit}",
                size=len(result),
                limit=self._max_message,
            )
        self._done(key, AckStatus.REFUSED, _refusal(RefusalReason.BAD_ANSWER))

    def _failed(self, failure: Failure, key: Key) -> None:
        if key not in self._running and failure.check(CancelledError):
            return
        problem = failure.value
        if isinstance(problem, RequestRefused):
            # on purpose; its reason may be that of another node, which the handler has asked
            refusal = _refusal(RefusalReason.BY_HANDLER, problem.detail)
        else:
            # what went wrong here is none of the requester's business
            self._failures.failure("request handlers", "the request handler failed", failure)
            refusal = _refusal(RefusalReason.HANDLER_FAILED)
        self._done(key, AckStatus.REFUSED, refusal)

    def _done(self, key: Key, status: AckStatus, body: bytes) -> None:
        running = self._running.pop(key, None)
        if running is None:
            return
        sender = running.sender
        self._deadlines.cancel(key)
        self._amounts.add(running.account, -running.size)
        keys = self._of_account[running.account]
        del keys[key]
        if not keys:
            del self._of_account[running.account]
        if not self._running:
            self._deadlines.rest()
        left = self._running_of[sender.name] - 1
        if left:
            self._running_of[sender.name] = left
        else:
            del self._running_of[sender.name]
        self._finish(key, sender, status, body)

    def _finish(self, key: Key, sender: MessageSender, status: AckStatus, body: bytes) -> None:
        answer = _Answer(status, body)
        answer.transmission = self._acknowledge(sender, key[1], status, body)
        self._kept[key] = answer
        self._held += len(body) + ANSWER_OVERHEAD_BYTES
        # the oldest go first: their requesters have most likely got them by now
        while self._held > self._memory:
            _, oldest = self._kept.popitem(last=False)
            self._held -= len(oldest.body) + ANSWER_OVERHEAD_BYTES


def _refusal(reason: RefusalReason, detail: str = "") -> bytes:
    # a lone surrogate, which a detail may hold, cannot be encoded
    text = detail[:MAX_DETAIL_CHARACTERS].encode("utf-8", "replace").decode("utf-8")
    return encode(Refusal(reason, text))

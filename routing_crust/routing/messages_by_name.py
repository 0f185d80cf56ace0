"""
Messages by name, as applications use them: the part of C{RoutingService} that sends and answers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from ..errors import RequestTimedOut, ServiceStopped
from ..names import Name
from .core import RoutingCore
from .messaging.messenger import MessageHandler, RequestHandler
from .naming.directory import PeerDirectory


class MessagesByName:
    """A base of C{RoutingService}. I outlive a stop; the core, which does the work, does not."""

    def __init__(self, directory: PeerDirectory) -> None:
        """
        @param directory: what texts stand for.
        """
        self.directory = directory
        self._core: RoutingCore | None = None
        self._started = False  # and not terminated
        self._message_handler: MessageHandler | None = None
        self._request_handler: RequestHandler | None = None

    def name_of(self, name: Name | str) -> Name:
        """
        The L{Name} of a text: 52 letters and digits, the first eight or more of them for a node that we know,
        a nickname of the setting C{nicknames}, or one in a member's certificate. A L{Name} stays as it is.

        @raise InvalidName: the text stands for no node, or for several; a C{ValueError}, whose text says what
            is wrong.
        @raise TypeError: it is neither a L{Name} nor text.
        """
        return self.directory.name_of(name)

    def send(self, name: Name | str, body: bytes) -> Deferred[None]:
        """
        Send a message to a node or client by name.

        @return: fires with C{None} when the destination has acknowledged it. Fails with L{PeerUnreachable}
            when it is gone, as that of C{connect} does, or when no acknowledgement came by any route within
            C{UNREACHABLE_SECONDS}; with L{LimitReached} when the body is larger than C{max_message} or too
            many messages are waiting; with L{NotConnected} when there is no link at all, and no address at
            which the destination was; and with L{ServiceStopped}.
        @raise TypeError: the body is not bytes.
        @raise InvalidName: as L{name_of} does.
        """
        to = self.name_of(name)
        return self._running(lambda core: core.messenger.send(to, body))

    def request(self, name: Name | str, body: bytes, *, timeout: float | None = None) -> Deferred[bytes]:
        """
        Send a request. The other end's handler runs at most once for it.

        @param timeout: how many seconds to wait for the answer at most; C{None} waits as L{send} does, and
            for as long as the handler asks for with L{Request.extend}, C{MAX_EXTENDED_WAIT_SECONDS} at most.
        @return: fires with the answer. Fails as L{send} does, and with
            L{RequestRefused<routing_crust.errors.RequestRefused>}, whose C{reason} says why, when the other
            end has no handler or its handler failed or refused; and with
            L{RequestTimedOut<routing_crust.errors.RequestTimedOut>}.
        @raise TypeError: the body is not bytes.
        @raise ValueError: the timeout is not more than 0, or there is no such name (L{name_of}).
        """
        to = self.name_of(name)
        _check_timeout(timeout)
        return self._running(lambda core: core.messenger.request(to, body, timeout))

    def send_to_group(self, name: Name | str, body: bytes) -> Deferred[tuple[Name, ...]]:
        """
        Send a message to every member of the close group of a name, which need not be a node's.

        @return: fires with the names of those who have acknowledged, nearest first, when each member has
            or is given up. Fails with L{PeerUnreachable} when none has, and as L{send} does.
        @raise TypeError: the body is not bytes.
        @raise InvalidName: as L{name_of} does.
        """
        group = self.name_of(name)
        # before the lookup, so that a mistake is raised at once
        _check_body(body)
        return self._running(
            lambda core: core.search.close_group(group).addCallback(
                lambda members: core.messenger.send_to_group(group, members, body)
            )
        )

    def request_group(
        self, name: Name | str, body: bytes, *, timeout: float | None = None
    ) -> Deferred[dict[Name, bytes]]:
        """
        Send a request to every member of the close group of a name, and collect the answers.

        @param timeout: how many seconds to wait at most, the lookup of the group included. Answers that have
            come by then count.
        @return: fires with the answers by the names of those who gave them, nearest first, when each member
            has answered or is given up. Fails if there is no answer: with the first of the refusals, else
            with L{RequestTimedOut<routing_crust.errors.RequestTimedOut>} or L{PeerUnreachable}; and as
            L{send} does.
        @raise TypeError: the body is not bytes.
        @raise ValueError: the timeout is not more than 0, or there is no such name (L{name_of}).
        """
        group = self.name_of(name)
        _check_timeout(timeout)
        _check_body(body)
        return self._running(lambda core: Deferred.fromCoroutine(_request_group(core, group, body, timeout)))

    def close_group(self, name: Name | str) -> Deferred[tuple[Name, ...]]:
        """
        Find the nodes nearest to a name.

        @return: fires with at most C{group_size} names, nearest first, ourselves among them if we are one
            of them. Fails with L{PeerUnreachable}, L{NotConnected} or L{ServiceStopped}.
        @raise InvalidName: as L{name_of} does.
        """
        group = self.name_of(name)
        return self._running(lambda core: core.search.close_group(group))

    def set_message_handler(self, handler: MessageHandler | None) -> None:
        """Call C{handler} with each L{Message} that comes. What it returns is ignored; C{None} ends it."""
        self._message_handler = handler
        if self._core is not None:
            self._core.messenger.set_message_handler(handler)

    def set_request_handler(self, handler: RequestHandler | None) -> None:
        """
        Call C{handler} with each L{Request}. It returns the answer, as bytes, as a Deferred or as a
        coroutine; anything else, or a failure, is told to the other end as a refusal. With
        L{RequestRefused<routing_crust.errors.RequestRefused>} a handler refuses on purpose: its C{detail}
        goes to the requester, and nothing is logged. One that takes longer than C{ack_timeout} calls
        C{extend} of the request.
        """
        self._request_handler = handler
        if self._core is not None:
            self._core.messenger.set_request_handler(handler)

    def _running(self, what: Callable[[RoutingCore], Deferred[Any]]) -> Deferred[Any]:
        if self._core is None or not self._started:
            return fail(ServiceStopped("the service is not running"))
        return what(self._core)


async def _request_group(
    core: RoutingCore, group: Name, body: bytes, timeout: float | None
) -> dict[Name, bytes]:
    lookup = core.search.close_group(group)
    if timeout is None:
        return await core.messenger.request_group(group, await lookup, body, None)
    # one time for both steps: a slow lookup leaves less for the answers
    end = core.clock.seconds() + timeout
    late = RequestTimedOut(f"the group of {group.short} was not found within {timeout:g} s")
    members = await lookup.addTimeout(timeout, core.clock, lambda _, seconds: Failure(late))
    left = end - core.clock.seconds()
    if left <= 0:
        raise late
    return await core.messenger.request_group(group, members, body, left)


def _check_body(body: bytes) -> None:
    if not isinstance(body, bytes):
        raise TypeError(f"the body of a message is bytes, not {type(body).__name__}")


def _check_timeout(timeout: float | None) -> None:
    # NaN, too, is not greater than 0
    if timeout is not None and not timeout > 0:
        raise ValueError(f"{timeout} is no time to wait: give a number of seconds above 0, or None")

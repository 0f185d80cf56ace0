"""
Messages by name, as applications use them: the part of C{RoutingService} that sends and answers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail

from ..errors import ServiceStopped
from ..forwarding_rules import Nicknames, name_of
from ..names import Name
from .core import RoutingCore
from .messaging.messenger import MessageHandler, RequestHandler


class MessagesByName:
    """A base of C{RoutingService}. I outlive a stop; the core, which does the work, does not."""

    def __init__(self, nicknames: Nicknames) -> None:
        """
        @param nicknames: what stands for names, by the settings.
        """
        self._nicknames = nicknames
        self._core: RoutingCore | None = None
        self._started = False  # and not terminated
        self._message_handler: MessageHandler | None = None
        self._request_handler: RequestHandler | None = None

    def name_of(self, name: Name | str) -> Name:
        """
        The L{Name} of a text: 52 letters and digits, or a nickname of the setting C{nicknames}. A L{Name}
        stays as it is.

        @raise InvalidName: there is no such name and no such nickname; a C{ValueError}, whose text says what
            is wrong.
        @raise TypeError: it is neither a L{Name} nor text.
        """
        return name_of(name, self._nicknames)

    def send(self, name: Name | str, body: bytes) -> Deferred[None]:
        """
        Send a message to a node or client by name.

        @return: fires with C{None} when the destination has acknowledged it. Fails with L{PeerUnreachable}
            when no acknowledgement came by any route, at the latest after C{ack_timeout} times
            C{MAX_ATTEMPTS} seconds; with L{LimitReached} when the body is larger than C{max_message} or too
            many messages are waiting; with L{NotConnected} when there is no link at all; and with
            L{ServiceStopped}.
        @raise TypeError: the body is not bytes.
        @raise InvalidName: as L{name_of} does.
        """
        to = self.name_of(name)
        return self._running(lambda core: core.messenger.send(to, body))

    def request(self, name: Name | str, body: bytes) -> Deferred[bytes]:
        """
        Send a request. The other end's handler runs at most once for it.

        @return: fires with the answer. Fails as L{send} does, and with L{RequestRefused} when the other
            end has no handler or its handler failed.
        @raise TypeError: the body is not bytes.
        @raise InvalidName: as L{name_of} does.
        """
        to = self.name_of(name)
        return self._running(lambda core: core.messenger.request(to, body))

    def send_to_group(self, name: Name | str, body: bytes) -> Deferred[tuple[Name, ...]]:
        """
        Send a message to every member of the close group of a name, which need not be a node's.

        @return: fires with the names of those who have acknowledged, nearest first, when each member has
            or is given up. Fails with L{PeerUnreachable} when none has, and as L{send} does.
        @raise TypeError: the body is not bytes.
        @raise InvalidName: as L{name_of} does.
        """
        group = self.name_of(name)
        if not isinstance(body, bytes):
            raise TypeError(f"the body of a message is bytes, not {type(body).__name__}")
        return self._running(
            lambda core: core.lookup.close_group(group).addCallback(
                lambda members: core.messenger.send_to_group(group, members, body)
            )
        )

    def close_group(self, name: Name | str) -> Deferred[tuple[Name, ...]]:
        """
        Find the nodes nearest to a name.

        @return: fires with at most C{group_size} names, nearest first, ourselves among them if we are one
            of them. Fails with L{PeerUnreachable}, L{NotConnected} or L{ServiceStopped}.
        @raise InvalidName: as L{name_of} does.
        """
        group = self.name_of(name)
        return self._running(lambda core: core.lookup.close_group(group))

    def set_message_handler(self, handler: MessageHandler | None) -> None:
        """Call C{handler} with each L{Message} that comes. What it returns is ignored; C{None} ends it."""
        self._message_handler = handler
        if self._core is not None:
            self._core.messenger.set_message_handler(handler)

    def set_request_handler(self, handler: RequestHandler | None) -> None:
        """
        Call C{handler} with each L{Message} that is a request. It returns the answer, as bytes, as a
        Deferred or as a coroutine; anything else, or a failure, is told to the other end as a refusal. With
        L{RequestRefused<routing_crust.errors.RequestRefused>} a handler refuses on purpose, and nothing is
        logged.
        """
        self._request_handler = handler
        if self._core is not None:
            self._core.messenger.set_request_handler(handler)

    def _running(self, what: Callable[[RoutingCore], Deferred[Any]]) -> Deferred[Any]:
        if self._core is None or not self._started:
            return fail(ServiceStopped("the service is not running"))
        return what(self._core)

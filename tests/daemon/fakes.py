"""
Stand-ins for the tests of the daemon: a service that does nothing by itself, names, and messages.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial import unittest

from routing_crust.config import Settings
from routing_crust.endpoints import Contact, Endpoint
from routing_crust.forwarding_rules import known
from routing_crust.identity import Identity
from routing_crust.names import Name
from routing_crust.routing.events import Message, Observers
from routing_crust.routing.naming.directory import PeerDirectory
from routing_crust.routing.reporting.explain import AttemptExplained, Explanation
from routing_crust.routing.state import State

IDENTITIES = tuple(Identity.from_seed(bytes([number]) * 32) for number in range(8))
NAMES = tuple(each.name for each in IDENTITIES)
ALICE, BOB, CAROL = NAMES[:3]


def message(body: bytes, group: bool = False) -> Message:
    """A message from Bob."""
    return Message(BOB, body, CAROL if group else None)


class FakeService:
    """
    What the daemon needs of a RoutingService, without a network.

    @ivar calls: what was asked for: the method, the arguments, and the Deferred that was given.
    """

    def __init__(self, settings: Settings | None = None, identity: Identity = IDENTITIES[0]) -> None:
        self.settings = settings or Settings()
        self.node_name = identity.name
        self.clock = Clock()
        self.endpoints: tuple[Endpoint, ...] = ()
        self.state = State.DISCONNECTED
        self.running = False
        self.group_connected = False
        self.observers = Observers()
        self.calls: list[tuple[str, Any, bytes, Deferred[Any]]] = []
        self.links: list[object] = []
        self.waiting_for_group: Deferred[None] = Deferred()
        self.message_handler: Callable[[Message], object] | None = None
        self.request_handler: Callable[[Message], object] | None = None

    @property
    def directory(self) -> PeerDirectory:
        return PeerDirectory(known(self.settings.nicknames), False, lambda: (), lambda: None)

    def name_of(self, name: Name | str) -> Name:
        return self.directory.name_of(name)

    @property
    def contact(self) -> Contact | None:
        return Contact(self.endpoints[0], self.node_name) if self.endpoints else None

    def startService(self) -> None:
        self.running = True
        self.endpoints = (Endpoint("127.0.0.1", 5483),)

    def stopService(self) -> Deferred[None]:
        self.running = False
        return succeed(None)

    def when_group_connected(self) -> Deferred[None]:
        return self.waiting_for_group

    def send(self, name: Any, body: bytes) -> Deferred[None]:
        return self._called("send", name, body)

    def request(self, name: Any, body: bytes) -> Deferred[bytes]:
        return self._called("request", name, body)

    def connect(self, name: Any) -> Deferred[Any]:
        return self._called("connect", name, b"")

    def set_message_handler(self, handler: Callable[[Message], object]) -> None:
        self.message_handler = handler

    def set_request_handler(self, handler: Callable[[Message], object]) -> None:
        self.request_handler = handler

    def observe(self, event_type: type, callback: Callable[[Any], object]) -> Callable[[], None]:
        return self.observers.add(event_type, callback)

    def status(self) -> dict[str, object]:
        return {"name": str(self.node_name), "links": self.links}

    def explain(self, name: Any) -> Explanation:
        tried = AttemptExplained(70.0, "dial", "192.0.2.1:5483", "connection refused", False, 3)
        return Explanation(str(name), False, "there is no link", attempts=(tried,), next=("wait\x1b[2J",))

    def _called(self, method: str, name: Any, body: bytes) -> Deferred[Any]:
        result: Deferred[Any] = Deferred()
        self.calls.append((method, name, body, result))
        return result


def temporary_directory(case: unittest.SynchronousTestCase) -> Path:
    """A folder of mode 0700 with a path short enough for sockets, removed after the test."""
    folder = tempfile.TemporaryDirectory(prefix="rc-")
    case.addCleanup(folder.cleanup)
    return Path(folder.name)

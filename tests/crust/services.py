"""What the tests of crust as a whole share: a receiver of events, and how crusts are made on loopback."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ClientFactory, Protocol
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from routing_crust.config import Settings
from routing_crust.crust.interfaces import ICrustEvents, ILink
from routing_crust.crust.netstate.host import HostAddress
from routing_crust.crust.platform import SystemPlatform
from routing_crust.crust.reachability import Reachability
from routing_crust.crust.service import CrustService
from routing_crust.endpoints import Endpoint
from routing_crust.errors import (
    LinkClosed,
)
from routing_crust.timing.shares import OURSELVES

from .addresses import HOST, at, identity, name

reactor: Any = _reactor

KIND = 200


@implementer(ICrustEvents)
class Receiver:
    """Writes down every event as a tuple; a test waits for the next one of a kind."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []
        self.handlers: dict[str, Callable[..., None]] = {}
        self._waiting: dict[str, list[Deferred[Any]]] = {}
        self._taken: dict[str, int] = {}

    def on_connect(self, link: ILink) -> None:
        self._heard("connect", link)

    def on_accept(self, link: ILink) -> None:
        self._heard("accept", link)

    def new_message(self, link: ILink, kind: int, payload: bytes) -> None:
        self._heard("message", link, kind, payload)

    def link_doubted(self, link: ILink) -> None:
        """Nothing to do."""

    def lost_connection(self, link: ILink, reason: LinkClosed) -> None:
        self._heard("lost", link, reason)

    def bootstrap_finished(self, links: int, problem: str) -> None:
        self._heard("finished", links, problem)

    def external_endpoints(self, endpoints: tuple[Endpoint, ...]) -> None:
        self._heard("endpoints", endpoints)

    def reachability_changed(self, reachability: Reachability) -> None:
        self._heard("reachability", reachability)

    def network_changed(self) -> None:
        self._heard("changed")

    def _heard(self, what: str, *arguments: Any) -> None:
        self.events.append((what, *arguments))
        if what in self.handlers:
            self.handlers[what](*arguments)
        waiting = self._waiting.get(what)
        if waiting:
            self._taken[what] = self._taken.get(what, 0) + 1
            waiting.pop(0).callback(arguments)

    def of(self, what: str) -> list[tuple[Any, ...]]:
        """The arguments of all events of one kind."""
        return [each[1:] for each in self.events if each[0] == what]

    def next(self, what: str) -> Deferred[Any]:
        """Fires with the arguments of the first event of this kind that no test has waited for yet."""
        taken = self._taken.get(what, 0)
        event: Deferred[Any] = Deferred()
        if taken < len(self.of(what)):
            self._taken[what] = taken + 1
            event.callback(self.of(what)[taken])
        else:
            self._waiting.setdefault(what, []).append(event)
        return event


def turn() -> Deferred[None]:
    """Fires in the next turn of the reactor."""
    done: Deferred[None] = Deferred()
    reactor.callLater(0, done.callback, None)
    return done


def silent_factory(protocol: type[Protocol], made: Deferred[None]) -> ClientFactory:
    """Makes one connection that says nothing."""

    class Silent(protocol):  # type: ignore[misc, valid-type]
        def connectionMade(self) -> None:
            made.callback(None)

    return ClientFactory.forProtocol(Silent)


class ServiceTests(TestCase):
    """What all tests here need."""

    host: tuple[HostAddress, ...] = HOST

    def setUp(self) -> None:
        self.addCleanup(lambda: self.assertEqual(self.flushLoggedErrors(), []))
        self.made = 0

    def platform(self) -> SystemPlatform:
        """What a crust runs on."""
        return SystemPlatform(reactor, host_addresses=lambda: self.host)

    def crust(self, seed: int, **settings: Any) -> tuple[CrustService, Receiver]:
        """A crust that is not started yet."""
        # a busy machine may take long for a handshake
        here = {
            "listen": (at("127.0.0.1:0"),),
            "lan_discovery": False,
            "port_mapping": False,
            "hello_timeout": 120.0,
        }
        crust = CrustService(
            Settings(**(here | settings)),
            identity(seed),
            self.platform(),
        )
        self.addCleanup(crust.stop)
        return crust, Receiver()

    def start(self, seed: int, **settings: Any) -> tuple[CrustService, Receiver]:
        crust, events = self.crust(seed, **settings)
        crust.start(events)
        return crust, events

    def silent_port(self) -> Endpoint:
        """Where connections are taken, and nothing is said."""
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(5)
        self.addCleanup(listener.close)
        return Endpoint(*listener.getsockname())

    def closed_port(self) -> Endpoint:
        """Where nobody listens: the port is held, so that nobody else is given it meanwhile."""
        held = socket.socket()
        self.addCleanup(held.close)
        held.bind(("127.0.0.1", 0))
        return Endpoint(*held.getsockname())

    async def pair(self, **settings: Any) -> tuple[ILink, ILink]:
        """Two crusts with a link; its two ends."""
        self.one, self.events = self.start(1, **settings)
        self.two, self.others = self.start(2)
        link = await self.one.connect(self.two.endpoints, name(2), b"token", OURSELVES)
        (accepted,) = await self.others.next("accept")
        return link, accepted

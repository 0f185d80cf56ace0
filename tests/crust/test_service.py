"""Crust as a whole, over real sockets on loopback."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import ClientFactory, Protocol
from twisted.trial.unittest import TestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from routing_crust.config import Role, Settings
from routing_crust.crust.interfaces import ICrust, ICrustEvents, ILink
from routing_crust.crust.service import CrustService
from routing_crust.endpoints import Contact, Direction, Endpoint
from routing_crust.errors import (
    CannotListen,
    CloseReason,
    ConnectFailed,
    LimitReached,
    LinkClosed,
    ServiceStopped,
)

from .addresses import HOST, at, contact, identity, name

reactor: Any = _reactor

KIND = 16


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

    def lost_connection(self, link: ILink, reason: LinkClosed) -> None:
        self._heard("lost", link, reason)

    def bootstrap_finished(self, links: int, problem: str) -> None:
        self._heard("finished", links, problem)

    def external_endpoints(self, endpoints: tuple[Endpoint, ...]) -> None:
        self._heard("endpoints", endpoints)

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


class ServiceTests(TestCase):
    """What all tests here need."""

    timeout = 60

    def setUp(self) -> None:
        self.addCleanup(lambda: self.assertEqual(self.flushLoggedErrors(), []))
        self.made = 0

    def crust(self, seed: int, **settings: Any) -> tuple[CrustService, Receiver]:
        """A crust that is not started yet."""
        settings = {"listen": (at("127.0.0.1:0"),), "lan_discovery": False} | settings
        crust = CrustService(Settings(**settings), identity(seed), reactor, host_addresses=lambda: HOST)
        self.addCleanup(crust.stop)
        return crust, Receiver()

    def start(self, seed: int, **settings: Any) -> tuple[CrustService, Receiver]:
        crust, events = self.crust(seed, **settings)
        crust.start(events)
        return crust, events

    async def pair(self, **settings: Any) -> tuple[ILink, ILink]:
        """Two crusts with a link; its two ends."""
        self.one, self.events = self.start(1, **settings)
        self.two, self.others = self.start(2)
        link = await self.one.connect(self.two.endpoints, name(2), b"token", False)
        (accepted,) = await self.others.next("accept")
        return link, accepted


class LinkTests(ServiceTests):
    async def test_frames_both_ways(self) -> None:
        """Two crusts link up and exchange frames; each end knows who the other is."""
        link, accepted = await self.pair()
        self.assertTrue(verifyObject(ICrust, self.one))
        self.assertTrue(verifyObject(ICrustEvents, self.events))
        self.assertEqual((link.peer, accepted.peer), (name(2), name(1)))
        self.assertEqual((link.direction, accepted.direction), (Direction.CONNECTED, Direction.ACCEPTED))
        self.assertEqual((link.token, link.bootstrap), (b"token", False))
        self.assertEqual(self.events.of("connect"), [(link,)])
        link.verified()
        accepted.verified()
        link.send(KIND, b"question")
        self.assertEqual(await self.others.next("message"), (accepted, KIND, b"question"))
        accepted.send(KIND, b"answer")
        self.assertEqual(await self.events.next("message"), (link, KIND, b"answer"))

    async def test_closing(self) -> None:
        """Each end hears once that the link is gone, and why."""
        link, _ = await self.pair()
        link.close(CloseReason.NOT_WANTED)
        for events, by_peer in ((self.events, False), (self.others, True)):
            _, reason = await events.next("lost")
            self.assertEqual((reason.reason, reason.by_peer), (CloseReason.NOT_WANTED, by_peer))
        self.assertEqual(len(self.events.of("lost")), 1)

    async def test_stop_closes_links(self) -> None:
        """Stopping says Goodbye, and leaves no reader, writer or delayed call behind."""
        await self.pair()
        before = reactor.getReaders()
        await self.one.stop()
        self.assertEqual([each[1].reason for each in self.events.of("lost")], [CloseReason.STOPPING])
        await self.others.next("lost")
        await self.two.stop()
        self.assertLess(len(reactor.getReaders()), len(before) - 3)
        mine = [each for each in reactor.getDelayedCalls() if "routing_crust" in repr(each)]
        self.assertEqual((mine, reactor.getWriters()), ([], []))
        self.assertEqual(self.one.endpoints, ())

    async def test_stop_and_start_again(self) -> None:
        """After a stop the same object can be started again."""
        await self.pair()
        await self.one.stop()
        await self.one.stop()
        events = Receiver()
        self.one.start(events)
        link = await self.two.connect(self.one.endpoints, name(1), b"", False)
        await events.next("accept")
        self.assertEqual(link.peer, name(1))

    async def test_started_twice(self) -> None:
        """Starting a crust that runs is a mistake of the caller's."""
        one, events = self.start(1)
        self.assertRaises(RuntimeError, one.start, events)

    async def test_after_stop(self) -> None:
        """Afterwards every dial fails with ServiceStopped; so does one that was going on."""
        one, events = self.start(1, dial_timeout=30)
        silent = self.silent_port()
        dial = one.connect((silent,), None, b"", False)
        stopped = one.stop()
        await self.assertFailure(dial, ServiceStopped)
        await stopped
        await self.assertFailure(one.connect((silent,), None, b"", False), ServiceStopped)
        one.bootstrap()
        one.remember(contact("192.0.2.1:5483", 5))
        self.assertEqual((one.saved_contacts(), events.of("finished")), ((), []))

    async def test_stop_while_peers_are_coming_in(self) -> None:
        """Connections whose TLS handshake has not been done are cut."""
        one, _ = self.start(1)
        gone: Deferred[None] = Deferred()

        class Silent(Protocol):
            def connectionLost(self, reason: Any = None) -> None:
                gone.callback(None)

        made: Deferred[None] = Deferred()
        reactor.connectTCP("127.0.0.1", one.endpoints[0].port, silent_factory(Silent, made))
        await made
        while not one._acceptor.pending:
            await turn()
        await one.stop()
        await gone
        self.assertEqual(one._doorkeeper.unverified(), 0)

    def silent_port(self) -> Endpoint:
        """Where connections are taken, and nothing is said."""
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(5)
        self.addCleanup(listener.close)
        return Endpoint(*listener.getsockname())

    def closed_port(self) -> Endpoint:
        """Where nobody listens."""
        with socket.socket() as here:
            here.bind(("127.0.0.1", 0))
            return Endpoint(*here.getsockname())


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

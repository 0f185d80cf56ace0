"""Crust as a whole, over real sockets on loopback."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock

from twisted.internet import reactor as _reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import ClientFactory, Protocol
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SkipTest, TestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from routing_crust.config import Role, Settings
from routing_crust.crust.interfaces import ICrust, ICrustEvents, ILink
from routing_crust.crust.link import Link
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

    def test_a_link_that_comes_too_late(self) -> None:
        """A link that comes up when we have stopped is closed, and not reported."""
        one, events = self.crust(1)
        link = mock.Mock(spec=Link)
        one.link_up(link)
        self.assertEqual(link.close.call_args.args[0], CloseReason.STOPPING)
        one.link_lost(link, LinkClosed(CloseReason.STOPPING))
        self.assertEqual(events.events, [])
        self.successResultOf(one.stop())

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


class DialTests(ServiceTests):
    def attempts(self, error: ConnectFailed) -> list[str]:
        return [what for _, what in error.attempts]

    async def fails(self, crust: CrustService, *endpoints: Endpoint, **options: Any) -> list[str]:
        """What went wrong at each endpoint."""
        options = {"peer": None, "token": b"", "from_stranger": False} | options
        error = await self.assertFailure(crust.connect(endpoints, **options), ConnectFailed)
        return self.attempts(error)

    async def test_nobody_there(self) -> None:
        """A port where nobody listens."""
        one, events = self.start(1)
        self.assertEqual(await self.fails(one, self.closed_port()), ["connection refused"])
        self.assertEqual(events.of("connect"), [])

    async def test_ourselves(self) -> None:
        """A dial that ends at ourselves."""
        one, events = self.start(1)
        self.assertEqual(await self.fails(one, *one.endpoints), ["the link leads back to this node"])
        self.assertEqual((events.of("connect"), events.of("accept")), ([], []))

    async def test_another_than_wanted(self) -> None:
        """Somebody else answers: both names are told, and neither side has a link."""
        one, events = self.start(1)
        two, others = self.start(2)
        (problem,) = await self.fails(one, *two.endpoints, peer=name(3))
        self.assertEqual(problem, f"{name(2)} answered instead of {name(3)}")
        self.assertEqual((events.of("connect"), others.of("accept")), ([], []))

    async def test_race(self) -> None:
        """Of several endpoints the one that answers is taken; one link comes of it, on both sides."""
        one, events = self.start(1, dial_stagger=0.01)
        two, others = self.start(2, listen=(at("127.0.0.1:0"), at("127.0.0.2:0")))
        endpoints = (self.silent_port(), self.closed_port(), *two.endpoints)
        link = await one.connect(endpoints, name(2), b"", False)
        self.assertIn(link.connection.peer, two.endpoints)
        self.assertEqual(events.of("connect"), [(link,)])
        await one.stop()
        await others.next("lost")
        self.assertEqual((len(events.of("lost")), len(others.of("accept"))), (1, 1))

    async def test_callers_share_a_dial(self) -> None:
        """Two callers get the same link; who cancels does not take it from the other."""
        one, events = self.start(1)
        two, _ = self.start(2)
        dials = [one.connect(two.endpoints, name(2), b"t", False) for _ in range(3)]
        dials[0].cancel()
        await self.assertFailure(dials[0], CancelledError)
        links = [await dials[1], await dials[2]]
        self.assertIs(links[0], links[1])
        self.assertEqual(events.of("connect"), [(links[0],)])

    async def test_cancelling(self) -> None:
        """A dial that everybody has left ends, and nothing comes of it."""
        one, events = self.start(1)
        two, _ = self.start(2)
        dial = one.connect(two.endpoints, name(2), b"", False)
        dial.cancel()
        await self.assertFailure(dial, CancelledError)
        await one.stop()
        self.assertEqual(events.of("connect"), [])

    async def test_cancelled_when_the_link_is_reported(self) -> None:
        """Who cancels when it hears of the link keeps the link: it has been reported."""
        one, events = self.start(1)
        two, _ = self.start(2)
        dial = one.connect(two.endpoints, name(2), b"", False)
        events.handlers["connect"] = lambda _: dial.cancel()
        await self.assertFailure(dial, CancelledError)
        ((link,),) = events.of("connect")
        link.close(CloseReason.NOT_WANTED)
        await events.next("lost")

    async def test_stopped_when_the_link_is_reported(self) -> None:
        """Stopping from within an event works as at any other time."""
        one, events = self.start(1)
        two, _ = self.start(2)
        stopped: list[Deferred[None]] = []
        events.handlers["connect"] = lambda _: stopped.append(one.stop())
        dial = one.connect(two.endpoints, name(2), b"", False)
        await self.assertFailure(dial, ServiceStopped)
        await turn()
        await stopped[0]
        self.assertEqual((len(events.of("connect")), len(events.of("lost"))), (1, 1))


class AdmissionTests(ServiceTests):
    async def test_too_many_strangers_from_one_address(self) -> None:
        """The ninth unverified link of an address is refused; a peer from elsewhere notices nothing."""
        two, others = self.start(2, listen=(at("0.0.0.0:0"),), lan_discovery=False)
        port = two._listening[0].port
        honest, events = self.start(1)
        link = await honest.connect([Endpoint("127.0.0.2", port)], name(2), b"", False)
        (accepted,) = await others.next("accept")
        accepted.verified()
        made: list[Deferred[None]] = [Deferred() for _ in range(9)]
        gone: Deferred[None] = Deferred()

        class Stranger(Protocol):
            def connectionLost(self, reason: Any = None) -> None:
                if not gone.called:
                    gone.callback(None)

        for number in range(9):
            reactor.connectTCP(
                "127.0.0.3", port, silent_factory(Stranger, made[number]), bindAddress=("127.0.0.3", 0)
            )
            await made[number]
        await gone
        self.assertEqual(two._doorkeeper.unverified(), 8)
        link.verified()
        link.send(KIND, b"still here")
        self.assertEqual(await others.next("message"), (accepted, KIND, b"still here"))
        self.assertEqual((events.of("lost"), others.of("lost")), ([], []))
        another = await honest.connect([Endpoint("127.0.0.2", port)], name(2), b"2", False)
        self.assertEqual(another.peer, name(2))
        await two.stop()
        self.assertEqual(two._doorkeeper.unverified(), 0)

    async def test_verified_links_do_not_count(self) -> None:
        """A link whose Hello is verified makes room for the next."""
        two, others = self.start(2, max_unverified_per_prefix=1)
        one, _ = self.start(1)
        for token in (b"1", b"2", b"3"):
            await one.connect(two.endpoints, name(2), token, False)
            (accepted,) = await others.next("accept")
            accepted.verified()
        self.assertEqual(len(others.of("accept")), 3)

    async def test_denied_networks(self) -> None:
        """A denied address is refused before TLS, and a denied address is not dialled."""
        two, others = self.start(2, deny=("127.0.0.0/8",))
        one, _ = self.start(1)
        for crust, peer in ((one, two), (two, one)):
            error = await self.assertFailure(crust.connect(peer.endpoints, None, b"", False), ConnectFailed)
        self.assertIn("the address is on the deny list", str(error))
        self.assertEqual(others.events[1:], [])

    async def test_denied_names(self) -> None:
        """A denied name is refused as soon as it is known, whoever has dialled; no link is reported."""
        two, others = self.start(2, deny=(str(name(1)),))
        one, events = self.start(1)
        link = await one.connect(two.endpoints, name(2), b"", False)
        _, reason = await events.next("lost")
        self.assertEqual((reason.reason, reason.by_peer), (CloseReason.NOT_ALLOWED, True))
        for wanted in (name(1), None):
            error = await self.assertFailure(two.connect(one.endpoints, wanted, b"", False), ConnectFailed)
            self.assertIn("the name is on the deny list", str(error))
        self.assertEqual(link.peer, name(2))
        self.assertEqual((others.of("connect"), others.of("accept")), ([], []))

    async def test_max_links(self) -> None:
        """No more links than max_links: further ones are neither dialled nor accepted."""
        two, others = self.start(2, max_links=1)
        one, _ = self.start(1)
        three, _ = self.start(3)
        await one.connect(two.endpoints, name(2), b"", False)
        await others.next("accept")
        limit = await self.assertFailure(two.connect(three.endpoints, name(3), b"", False), LimitReached)
        self.assertEqual(limit.setting, "max_links")
        await self.assertFailure(three.connect(two.endpoints, name(2), b"", False), ConnectFailed)
        self.assertEqual(len(others.of("accept")), 1)

    async def test_max_links_while_dials_go_on(self) -> None:
        """Of two dials that were begun in time only one gets the last place."""
        one, events = self.start(1, max_links=1)
        two, three = self.start(2)[0], self.start(3)[0]
        dials = [one.connect(two.endpoints, name(2), b"", False)]
        dials.append(one.connect(three.endpoints, name(3), b"", False))
        outcomes = [await each.addErrback(lambda failure: failure.value) for each in dials]
        (failed,) = [each for each in outcomes if isinstance(each, ConnectFailed)]
        self.assertIn("max_links", str(failed))
        self.assertEqual(len(events.of("connect")), 1)

    async def test_refusals_are_logged(self) -> None:
        """Each refusal names reason, peer, limit and setting; many cost one line."""
        lines: list[Any] = []
        globalLogPublisher.addObserver(lines.append)
        self.addCleanup(globalLogPublisher.removeObserver, lines.append)
        two, _ = self.start(2, deny=("127.0.0.0/8",))
        for _ in range(5):
            self.assertFalse(two.may_accept(at("127.0.0.1:7777")))
        await two.stop()
        texts = [formatEvent(each) for each in lines if each["log_namespace"].startswith("routing_crust")]
        self.assertIn(
            "refused 127.0.0.1:7777: the address is on the deny list (limit 127.0.0.0/8, setting deny)", texts
        )
        self.assertIn("4 more lines like the last about refusals by the setting deny", texts)
        self.assertFalse(two.may_accept(at("127.0.0.1:7777")))


class StartTests(ServiceTests):
    async def test_endpoints(self) -> None:
        """Where we can be dialled is reported once it is known, in a later turn."""
        one, events = self.start(1, listen=(at("0.0.0.0:0"), at("127.0.0.1:0")))
        self.assertEqual(events.events, [])
        (endpoints,) = await events.next("endpoints")
        self.assertEqual(endpoints, one.endpoints)
        self.assertEqual([each.host for each in endpoints], ["8.8.8.8", "192.168.1.5"])
        self.assertEqual(one.on_link_networks[0], "192.168.1.0/24")

    async def test_port_in_use(self) -> None:
        """The error says what to do; a crust that could not start can try again."""
        one, _ = self.start(1)
        two, events = self.crust(2, listen=(at("127.0.0.1:0"), *one._listening))
        error = self.assertRaises(CannotListen, two.start, events)
        self.assertIn(f"port {one.endpoints[0].port}", str(error))
        self.assertEqual(two.endpoints, ())
        await two.stop()
        await one.stop()
        two.start(events)
        self.assertEqual(len(two.endpoints), 2)

    async def test_clients_listen_nowhere(self) -> None:
        """A client has no port, and dials all the same."""
        client, events = self.start(1, role=Role.CLIENT)
        node, _ = self.start(2)
        link = await client.connect(node.endpoints, name(2), b"", False)
        self.assertEqual((client.endpoints, events.of("endpoints"), link.peer), ((), [], name(2)))

    async def test_host_without_addresses(self) -> None:
        """If the host's addresses cannot be read, what was asked for is still listened on."""

        def unreadable() -> tuple[()]:
            raise OSError(1, "not permitted")

        crust = CrustService(
            Settings(listen=(at("127.0.0.1:0"),)), identity(1), reactor, host_addresses=unreadable
        )
        self.addCleanup(crust.stop)
        crust.start(Receiver())
        self.assertEqual(len(crust.endpoints), 1)
        self.assertEqual(crust.on_link_networks, ())

    async def test_stop_before_start(self) -> None:
        """There is nothing to stop."""
        one, _ = self.crust(1)
        self.successResultOf(one.stop())

    async def test_saved_contacts(self) -> None:
        """What was remembered is there after a stop and a start, in another object too."""
        folder = Path(self.mktemp())
        folder.mkdir()
        one, _ = self.start(1, state_dir=folder)
        one.remember(contact("127.0.0.1:5483", 2))
        await one.stop()
        again, _ = self.start(1, state_dir=folder)
        self.assertEqual(again.saved_contacts(), (contact("127.0.0.1:5483", 2),))


class BootstrapTests(ServiceTests):
    async def test_finds_a_configured_contact(self) -> None:
        """Links of a bootstrap are marked; the winner stays and the others are closed."""
        nodes = [self.start(seed) for seed in (2, 3)]
        contacts = [Contact(self.closed_port()), *(Contact(each.endpoints[0]) for each, _ in nodes)]
        one, events = self.start(1, contacts=tuple(contacts), dial_stagger=0.01)
        one.bootstrap()
        one.bootstrap()
        links = [(await events.next("connect"))[0], (await events.next("connect"))[0]]
        self.assertEqual([each.bootstrap for each in links], [True, True])
        one.end_bootstrap(links[1])
        self.assertEqual(events.of("finished"), [])
        self.assertEqual(await events.next("finished"), (1, ""))
        lost, reason = await events.next("lost")
        self.assertEqual((lost, reason.reason), (links[0], CloseReason.NO_LONGER_NEEDED))
        one.end_bootstrap(None)
        self.assertEqual(len(events.of("finished")), 1)

    async def test_nobody_is_there(self) -> None:
        """When every contact has failed the attempt says what went wrong; another may begin."""
        one, events = self.start(1, contacts=(Contact(self.closed_port()),))
        for _ in range(2):
            one.bootstrap()
            links, problem = await events.next("finished")
            self.assertEqual(links, 0)
            self.assertIn("connection refused", problem)

    async def test_no_contacts(self) -> None:
        """The end of an attempt that has nothing to dial comes in a later turn too."""
        one, events = self.start(1)
        one.bootstrap()
        self.assertEqual(events.of("finished"), [])
        self.assertEqual((await events.next("finished"))[0], 0)

    async def test_the_contact_closes(self) -> None:
        """A contact that closes the link again is not the way in, and its reason is told."""
        two, others = self.start(2)
        others.handlers["accept"] = lambda link: link.close(CloseReason.BOOTSTRAPPING)
        one, events = self.start(1, contacts=(Contact(two.endpoints[0], name(2)),))
        one.bootstrap()
        links, problem = await events.next("finished")
        self.assertEqual(links, 0)
        self.assertIn("the peer is not in the network yet", problem)

    async def test_stop_ends_it(self) -> None:
        """A stop ends the attempt, and the end is told before the stop is over."""
        one, events = self.start(1, contacts=(Contact(self.silent_port()),))
        one.bootstrap()
        await one.stop()
        self.assertEqual(len(events.of("finished")), 1)

    async def test_local_network(self) -> None:
        """Without any contact a node finds another by the beacon."""
        with socket.socket(type=socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        crusts = []
        for seed in (1, 2):
            settings = Settings(listen=(at("127.0.0.1:0"),), network="beacon test")
            crust = CrustService(settings, identity(seed), reactor, Random(seed), beacon_port=port)
            self.addCleanup(crust.stop)
            events = Receiver()
            crust.start(events)
            crusts.append((crust, events))
        (one, events), (two, _) = crusts
        if not (one._beacon.active and two._beacon.active):
            raise SkipTest("this system has no multicast on its loopback interface")
        one.bootstrap()
        (link,) = await events.next("connect")
        self.assertEqual((link.peer, link.bootstrap), (name(2), True))
        one._found(Contact(one.endpoints[0]))
        one.end_bootstrap(link)
        self.assertEqual(await events.next("finished"), (1, ""))
        one._found(contact("127.0.0.1:5483"))

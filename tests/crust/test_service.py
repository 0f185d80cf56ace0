"""Crust as a whole, over real sockets on loopback: starting, links, stopping."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol
from zope.interface.verify import verifyObject

from routing_crust.config import KeyExchange, Role, Settings
from routing_crust.crust.dial import dial as dial_module
from routing_crust.crust.interfaces import ICrust, ICrustEvents
from routing_crust.crust.link.link import Link
from routing_crust.crust.platform import SystemPlatform
from routing_crust.crust.service import CrustService
from routing_crust.endpoints import Direction
from routing_crust.errors import (
    CannotListen,
    CloseReason,
    LinkClosed,
    ServiceStopped,
)
from routing_crust.timing.shares import OURSELVES

from .addresses import at, contact, identity, name
from .services import KIND, Receiver, ServiceTests, reactor, silent_factory, turn


class LinkTests(ServiceTests):
    async def test_two_crusts_exchange_frames_both_ways(self) -> None:
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

    async def test_key_exchange_of_links_and_sessions_is_as_it_is_set(self) -> None:
        for chosen, size in ((KeyExchange.HYBRID, 1400), (KeyExchange.X25519, 200)):
            crust, _ = self.crust(1, key_exchange=chosen)
            link = crust._tls.session(True, name(2))
            link.set_connect_state()
            self.assertRaises(SSL.WantReadError, link.do_handshake)
            first_flights = link.bio_read(4096), crust.agree_on_keys(name(2), True).advance(b"")
            for flight in first_flights:
                self.assertTrue(size < len(flight) < size + 100, (chosen, len(flight)))

    async def test_each_end_hears_once_that_the_link_is_gone_and_why(self) -> None:
        link, _ = await self.pair()
        link.close(CloseReason.NOT_WANTED)
        for events, by_peer in ((self.events, False), (self.others, True)):
            _, reason = await events.next("lost")
            self.assertEqual((reason.reason, reason.by_peer), (CloseReason.NOT_WANTED, by_peer))
        self.assertEqual(len(self.events.of("lost")), 1)

    async def test_stop_says_goodbye_and_leaves_nothing_behind(self) -> None:
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

    async def test_stopped_crust_can_be_started_again(self) -> None:
        """After a stop the same object can be started again."""
        await self.pair()
        await self.one.stop()
        await self.one.stop()
        events = Receiver()
        self.one.start(events)
        link = await self.two.connect(self.one.endpoints, name(1), b"", OURSELVES)
        await events.next("accept")
        self.assertEqual(link.peer, name(1))

    async def test_running_crust_cannot_be_started_again(self) -> None:
        one, events = self.start(1)
        self.assertRaises(RuntimeError, one.start, events)

    async def test_dials_fail_after_a_stop(self) -> None:
        """Afterwards every dial fails with ServiceStopped; so does one that was going on."""
        self.patch(dial_module, "DIAL_TIMEOUT_SECONDS", 30.0)
        one, events = self.start(1)
        silent = self.silent_port()
        dial = one.connect((silent,), None, b"", OURSELVES)
        stopped = one.stop()
        await self.assertFailure(dial, ServiceStopped)
        await stopped
        await self.assertFailure(one.connect((silent,), None, b"", OURSELVES), ServiceStopped)
        one.bootstrap()
        one.remember(contact("192.0.2.1:5483", 5))
        self.assertEqual((one.saved_contacts(), events.of("finished")), ((), []))

    def test_link_that_comes_up_after_the_stop_is_closed_unreported(self) -> None:
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
        self.assertEqual(one._gate.unverified.total(), 0)


class StartTests(ServiceTests):
    async def test_endpoints_are_reported_in_a_later_turn(self) -> None:
        """Where we can be dialled is reported once it is known, in a later turn."""
        one, events = self.start(1, listen=(at("0.0.0.0:0"), at("127.0.0.1:0")))
        self.assertEqual(events.events, [])
        (endpoints,) = await events.next("endpoints")
        self.assertEqual(endpoints, one.endpoints)
        self.assertEqual([each.host for each in endpoints], ["8.8.8.8", "192.168.1.5"])
        self.assertEqual(one.on_link_networks[0], "192.168.1.0/24")

    async def test_crust_whose_port_is_in_use_can_try_again(self) -> None:
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

    async def test_client_without_a_port_can_dial(self) -> None:
        """A client has no port, and dials all the same."""
        client, events = self.start(1, role=Role.CLIENT)
        node, _ = self.start(2)
        link = await client.connect(node.endpoints, name(2), b"", OURSELVES)
        self.assertEqual((client.endpoints, events.of("endpoints"), link.peer), ((), [], name(2)))

    async def test_unreadable_host_addresses_do_not_prevent_listening(self) -> None:
        """If the host's addresses cannot be read, what was asked for is still listened on."""

        def unreadable() -> tuple[()]:
            raise OSError(1, "not permitted")

        crust = CrustService(
            Settings(listen=(at("127.0.0.1:0"),)),
            identity(1),
            SystemPlatform(reactor, host_addresses=unreadable),
        )
        self.addCleanup(crust.stop)
        crust.start(Receiver())
        self.assertEqual(len(crust.endpoints), 1)
        self.assertEqual(crust.on_link_networks, ())

    async def test_stop_before_start_does_nothing(self) -> None:
        one, _ = self.crust(1)
        self.successResultOf(one.stop())

    async def test_saved_contacts_outlive_the_service(self) -> None:
        """What was remembered is there after a stop and a start, in another object too."""
        folder = Path(self.mktemp())
        folder.mkdir()
        one, _ = self.start(1, state_dir=folder)
        one.remember(contact("127.0.0.1:5483", 2))
        await one.stop()
        again, _ = self.start(1, state_dir=folder)
        self.assertEqual(again.saved_contacts(), (contact("127.0.0.1:5483", 2),))

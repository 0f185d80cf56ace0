"""Crust as a whole, over real sockets on loopback: dials and bootstraps."""

from __future__ import annotations

import socket
from random import Random
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SkipTest

from routing_crust.config import Settings
from routing_crust.crust.dial import bootstrap, dialler
from routing_crust.crust.platform import SystemPlatform
from routing_crust.crust.punch.guessing import DESCRIPTORS
from routing_crust.crust.service import CrustService
from routing_crust.endpoints import Contact, Endpoint
from routing_crust.errors import (
    CloseReason,
    ConnectFailed,
    ServiceStopped,
)
from routing_crust.timing.shares import OURSELVES

from .addresses import at, contact, identity, name, tunnel_to
from .services import Receiver, ServiceTests, reactor, turn


class DialTests(ServiceTests):
    def attempts(self, error: ConnectFailed) -> list[str]:
        return [what for _, what in error.attempts]

    async def fails(self, crust: CrustService, *endpoints: Endpoint, **options: Any) -> list[str]:
        """What went wrong at each endpoint."""
        options = {"peer": None, "token": b"", "asked_by": OURSELVES} | options
        error = await self.assertFailure(crust.connect(endpoints, **options), ConnectFailed)
        return self.attempts(error)

    async def test_closed_port_fails_the_dial(self) -> None:
        """A port where nobody listens."""
        one, events = self.start(1)
        self.assertEqual(await self.fails(one, self.closed_port()), ["connection refused"])
        self.assertEqual(events.of("connect"), [])

    async def test_dial_that_reaches_ourselves_fails(self) -> None:
        """A dial that ends at ourselves: at our own port, from that very one or from another."""
        one, events = self.start(1)
        self.assertEqual(await self.fails(one, *one.endpoints), ["the connection's two ends are one"])
        there = await self.fails(one, *one.endpoints, token=b"nonce")
        self.assertEqual(there, ["the link leads back to this node"])
        self.assertEqual((events.of("connect"), events.of("accept")), ([], []))

    async def test_dial_answered_by_another_node_fails(self) -> None:
        """Somebody else answers: both names are told, and neither side has a link."""
        one, events = self.start(1)
        two, others = self.start(2)
        (problem,) = await self.fails(one, *two.endpoints, peer=name(3))
        self.assertEqual(problem, f"{name(2)} answered instead of {name(3)}")
        self.assertEqual((events.of("connect"), others.of("accept")), ([], []))

    async def test_one_answering_endpoint_of_several_gives_one_link(self) -> None:
        """Of several endpoints the one that answers is taken; one link comes of it, on both sides."""
        self.patch(dialler, "DIAL_STAGGER_SECONDS", 0.01)
        one, events = self.start(1)
        two, others = self.start(2, listen=(at("127.0.0.1:0"), at("127.0.0.2:0")))
        endpoints = (self.silent_port(), self.closed_port(), *two.endpoints)
        link = await one.connect(endpoints, name(2), b"", OURSELVES)
        self.assertIn(link.connection.peer, two.endpoints)
        self.assertEqual(events.of("connect"), [(link,)])
        await one.stop()
        await others.next("lost")
        self.assertEqual((len(events.of("lost")), len(others.of("accept"))), (1, 1))

    async def test_two_callers_share_one_dial(self) -> None:
        """Two callers get the same link; who cancels does not take it from the other."""
        one, events = self.start(1)
        two, _ = self.start(2)
        dials = [one.connect(two.endpoints, name(2), b"t", OURSELVES) for _ in range(3)]
        dials[0].cancel()
        await self.assertFailure(dials[0], CancelledError)
        links = [await dials[1], await dials[2]]
        self.assertIs(links[0], links[1])
        self.assertEqual(events.of("connect"), [(links[0],)])

    async def test_dial_without_callers_ends_without_a_link(self) -> None:
        """A dial that everybody has left ends, and nothing comes of it."""
        one, events = self.start(1)
        two, _ = self.start(2)
        dial = one.connect(two.endpoints, name(2), b"", OURSELVES)
        dial.cancel()
        await self.assertFailure(dial, CancelledError)
        await one.stop()
        self.assertEqual(events.of("connect"), [])

    async def test_cancelled_when_the_link_is_reported(self) -> None:
        """Who cancels when it hears of the link keeps the link: it has been reported."""
        one, events = self.start(1)
        two, _ = self.start(2)
        dial = one.connect(two.endpoints, name(2), b"", OURSELVES)
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
        dial = one.connect(two.endpoints, name(2), b"", OURSELVES)
        await self.assertFailure(dial, ServiceStopped)
        await turn()
        await stopped[0]
        self.assertEqual((len(events.of("connect")), len(events.of("lost"))), (1, 1))


class BootstrapTests(ServiceTests):
    async def test_bootstrap_finds_a_configured_contact(self) -> None:
        """Links of a bootstrap are marked; the winner stays and the others are closed."""
        nodes = [self.start(seed) for seed in (2, 3)]
        contacts = [Contact(self.closed_port()), *(Contact(each.endpoints[0]) for each, _ in nodes)]
        self.patch(bootstrap, "DIAL_STAGGER_SECONDS", 0.01)
        one, events = self.start(1, contacts=tuple(contacts))
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

    async def test_peer_whose_link_is_lost_meanwhile_is_dialled_as_well(self) -> None:
        """It was left out when the attempt began, and must not wait until a silent contact is given up."""
        two, _ = self.start(2)
        known = Contact(two.endpoints[0], name(2))
        one, events = self.start(1, contacts=(known, Contact(self.silent_port(), name(3))))
        link = await one.connect((known.endpoint,), name(2), b"", OURSELVES)
        self.assertEqual(await events.next("connect"), (link,))
        one.bootstrap()
        one.bootstrap()
        link.abort(CloseReason.INACTIVE, "")
        await events.next("lost")
        one.bootstrap()
        (again,) = await events.next("connect")
        self.assertEqual((again.peer, again.bootstrap), (name(2), True))
        self.assertEqual(events.of("finished"), [])

    async def test_bootstrap_without_an_answer_says_what_went_wrong(self) -> None:
        """When every contact has failed the attempt says what went wrong; another may begin."""
        one, events = self.start(1, contacts=(Contact(self.closed_port()),))
        for _ in range(2):
            one.bootstrap()
            links, problem = await events.next("finished")
            self.assertEqual(links, 0)
            self.assertIn("connection refused", problem)

    async def test_attempt_without_contacts_ends_in_a_later_turn(self) -> None:
        """The end of an attempt that has nothing to dial comes in a later turn too."""
        one, events = self.start(1)
        one.bootstrap()
        self.assertEqual(events.of("finished"), [])
        self.assertEqual((await events.next("finished"))[0], 0)

    async def test_contact_that_closes_its_link_is_no_way_in(self) -> None:
        """A contact that closes the link again is not the way in, and its reason is told."""
        two, others = self.start(2)
        others.handlers["accept"] = lambda link: link.close(CloseReason.BOOTSTRAPPING)
        one, events = self.start(1, contacts=(Contact(two.endpoints[0], name(2)),))
        one.bootstrap()
        links, problem = await events.next("finished")
        self.assertEqual(links, 0)
        self.assertIn("the peer is not in the network yet", problem)

    async def test_stop_ends_a_running_bootstrap(self) -> None:
        """A stop ends the attempt, and the end is told before the stop is over."""
        one, events = self.start(1, contacts=(Contact(self.silent_port()),))
        one.bootstrap()
        await one.stop()
        self.assertEqual(len(events.of("finished")), 1)

    async def test_node_without_contacts_finds_another_by_the_beacon(self) -> None:
        with socket.socket(type=socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        crusts = []
        for seed in (1, 2):
            settings = Settings(listen=(at("127.0.0.1:0"),), network="beacon test")
            crust = CrustService(
                settings, identity(seed), SystemPlatform(reactor, beacon_port=port), Random(seed)
            )
            self.addCleanup(crust.stop)
            events = Receiver()
            crust.start(events)
            crusts.append((crust, events))
        (one, events), (two, _) = crusts
        if not (one._bootstrapper._beacon.active and two._bootstrapper._beacon.active):
            raise SkipTest("this system has no multicast on its loopback interface")
        one.bootstrap()
        (link,) = await events.next("connect")
        self.assertEqual((link.peer, link.bootstrap), (name(2), True))
        one._bootstrapper._found(Contact(one.endpoints[0]))
        one.end_bootstrap(link)
        self.assertEqual(await events.next("finished"), (1, ""))
        one._bootstrapper._found(contact("127.0.0.1:5483"))


class GuessingTests(ServiceTests):
    def test_ports_are_guessed_where_the_setting_the_relay_and_the_system_let_us(self) -> None:
        """The relay has to say where it sees the peer, and the system to have room for many connections."""
        tunnel = tunnel_to(name(2), "8.8.8.8")
        for allowed in (True, False):
            one, _ = self.crust(1, port_guessing=allowed)
            self.assertEqual(one.may_guess(tunnel), allowed)
        one, _ = self.crust(1)
        self.assertFalse(one.may_guess(tunnel_to(name(2), "")))
        self.patch(one._platform, "descriptors_left", lambda: DESCRIPTORS - 1)
        self.assertFalse(one.may_guess(tunnel))

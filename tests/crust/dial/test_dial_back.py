"""Dialling for others whether they can be dialled: real sockets, real TLS."""

from __future__ import annotations

import errno
from dataclasses import replace
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, ConnectionRefusedError, NoRouteError, TCPTimedOutError
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import Settings
from routing_crust.crust.admission import Rules
from routing_crust.crust.dial import limits
from routing_crust.crust.dial.dial import presence_in
from routing_crust.crust.dial.dial_back import DialBacks
from routing_crust.crust.dial.limits import DialLimits
from routing_crust.crust.link.tls import LinkTls
from routing_crust.crust.netstate.external_addresses import ExternalAddresses
from routing_crust.crust.reachability import Dialable, Presence
from routing_crust.endpoints import Endpoint, PrivateDialling
from routing_crust.errors import CloseReason, ConnectFailed, LimitReached, LinkClosed, ServiceStopped
from routing_crust.wire.messages import NatKind
from tests.crust.addresses import STRANGER

from ..addresses import HOST, at, identity, name
from ..services import ServiceTests, reactor
from ..support import Owner, dial_environment


class HereIsOutside(ExternalAddresses):
    """One to which this host is the internet: there is nothing else in a test."""

    def is_outside(self, endpoint: Endpoint) -> bool:
        return endpoint.host == "127.0.0.1" or super().is_outside(endpoint)


class DialBackCase(ServiceTests):
    def backs(self, deny: tuple[str, ...] = (), **settings: Any) -> DialBacks:
        """Somebody who dials for others."""
        owner = Owner(reactor, Settings(**settings), 3)
        self.outside = HereIsOutside(owner.settings, reactor.seconds, self.told, self.told)
        self.outside.host([at("127.0.0.1:1024")], HOST[:1])
        self.limits = DialLimits(owner.settings, Rules((), deny), reactor.seconds, self.outside.dialled)
        self.gone: list[Deferred[None]] = []
        environment = dial_environment(owner, reactor, self.limits, lambda: self.closed.callback(None))
        backs = DialBacks(replace(environment, tls=LinkTls(identity(3))), self.outside)
        self.closed: Deferred[None] = Deferred()
        self.addCleanup(self._stop, backs)
        return backs

    async def _stop(self, backs: DialBacks) -> None:
        backs.stop()
        if not backs.idle:
            await self.closed

    def told(self, what: object) -> None:
        """Nobody wants to know."""


class DialBackTests(DialBackCase):
    async def test_peer_sees_a_connection_come_and_go_without_a_link(self) -> None:
        """The dialling end reports the endpoint and keeps no link."""
        backs = self.backs()
        there, events = self.start(1)
        (endpoint,) = there.endpoints
        self.assertEqual(await backs.dial([endpoint], name(1), STRANGER), endpoint)
        (link,) = await events.next("accept")
        self.assertEqual(link.peer, name(3))
        self.assertNotIn(link.connection.peer.port, (1024, endpoint.port))
        _, reason = await events.next("lost")
        self.assertEqual((reason.reason, reason.by_peer), (CloseReason.NO_LONGER_NEEDED, True))
        await self.closed
        self.assertTrue(backs.idle)

    async def test_next_endpoint_is_dialled_when_one_fails(self) -> None:
        """The endpoints are dialled one after the other; what has failed is told."""
        backs = self.backs()
        there, _ = self.start(1)
        shut = self.closed_port()
        (endpoint,) = there.endpoints
        dial = backs.dial([shut, endpoint], name(1), STRANGER)
        await self.closed
        self.closed = Deferred()
        self.assertEqual(await dial, endpoint)
        await self.closed

    async def test_refused_dial_is_reported_with_its_reason(self) -> None:
        backs = self.backs()
        error = await self.assertFailure(backs.dial([self.closed_port()], name(1), STRANGER), ConnectFailed)
        self.assertIn("connection refused", str(error))
        await self.closed
        self.assertTrue(backs.idle)

    async def test_answer_under_another_name_counts_as_a_failure(self) -> None:
        """Who has another name is not whom it was asked for."""
        backs = self.backs()
        there, _ = self.start(1)
        error = await self.assertFailure(backs.dial(there.endpoints, name(2), STRANGER), ConnectFailed)
        self.assertIn("answered instead of", str(error))
        await self.closed

    async def test_inside_own_denied_and_low_port_endpoints_are_not_dialled_back(self) -> None:
        """Nothing but what is outside, with a port that strangers may name; not us, not who is denied."""
        backs = self.backs(deny=("127.0.0.1",))
        never = "10.0.0.1:5483 192.168.1.7:5483 169.254.169.254:5483 [::1]:5483 [fd00:ec2::254]:5483 \
            224.0.0.1:5483 0.0.0.0:5483 255.255.255.255:5483 100.100.100.200:5483 [64:ff9b::7f00:1]:5483 \
            127.0.0.1:80 127.0.0.1:1024 127.0.0.1:5483"
        for text in never.split():
            error = await self.assertFailure(backs.dial([at(text)], name(1), STRANGER), LimitReached)
            self.assertIn("not dialled", str(error))
        self.assertTrue(backs.idle)
        self.assertFalse(self.closed.called)

    async def test_nothing_in_our_own_network_is_dialled_for_others(self) -> None:
        """Not even where private addresses may be dialled: nobody learns from us what is there."""
        backs = self.backs(private_dialling=PrivateDialling.ON_LINK)
        self.outside.host([at("0.0.0.0:1024")], HOST)
        error = await self.assertFailure(
            backs.dial([at("192.168.1.7:5483")], name(1), STRANGER), LimitReached
        )
        self.assertIn("it is in a network of ours", str(error))
        self.assertTrue(backs.idle)

    async def test_dials_count_against_the_budget_of_strangers(self) -> None:
        """The dials count against what strangers may have us dial."""
        backs = self.backs(stranger_dials=1)
        self.limits.spend(at("9.9.9.9:5483"), STRANGER)
        error = await self.assertFailure(backs.dial([at("9.9.8.8:5483")], name(2), STRANGER), LimitReached)
        self.assertEqual(error.setting, "stranger_dials")
        self.assertTrue(backs.idle)

    async def test_cancelled_dial_closes_its_connection(self) -> None:
        backs = self.backs()
        dial = backs.dial([self.silent_port()], name(1), STRANGER)
        dial.cancel()
        await self.assertFailure(dial, CancelledError)
        await self.closed

    async def test_stop_fails_the_dials_under_way(self) -> None:
        """What is under way fails, and nothing is left of it."""
        backs = self.backs()
        dial = backs.dial([self.silent_port()], name(1), STRANGER)
        backs.stop()
        await self.assertFailure(dial, ServiceStopped)
        await self.closed
        self.assertTrue(backs.idle)


class ServiceOutsideTests(ServiceTests):
    """The whole, as far as one host shows it."""

    async def test_dials_on_one_host_prove_no_reachability(self) -> None:
        """Nothing that happens on one host says anything about the outside."""
        mine, theirs = await self.pair()
        self.one.observed(mine, at("5.5.5.5:5483"))
        self.two.observed(theirs, at("5.5.5.5:5483"))
        for each in (self.one, self.two):
            self.assertEqual(each.outside, ())
            self.assertIs(each.nat, NatKind.UNKNOWN)
            self.assertIs(each.reachability.dialable, Dialable.UNKNOWN)
            self.assertEqual(each.candidates, each.endpoints)

    async def test_changed_reachability_is_reported_in_a_later_turn(self) -> None:
        _, theirs = await self.pair(external=(at("5.5.5.5:5483"),))
        self.assertEqual(self.one.endpoints[0], at("5.5.5.5:5483"))
        self.assertEqual(self.one.outside, (at("5.5.5.5:5483"),))
        self.one.not_reached(theirs.peer)
        self.assertEqual(self.events.of("reachability"), [])
        (told,) = await self.events.next("reachability")
        self.assertIs(told.dialable, Dialable.NO)

    async def test_loopback_is_never_dialled_back_for_others(self) -> None:
        """It is a limit that forbids to dial loopback for others."""
        await self.pair()
        await self.assertFailure(self.one.dial_back(self.two.endpoints, name(2), STRANGER), LimitReached)
        await self.one.stop()
        await self.assertFailure(self.one.dial_back(self.two.endpoints, name(2), STRANGER), ServiceStopped)
        self.one.not_reached(name(2))
        self.assertEqual(self.events.of("reachability"), [])

    async def test_stopped_crust_knocks_nowhere(self) -> None:
        await self.pair()
        await self.one.stop()
        for dial in self.one.knock((*self.two.endpoints, at("5.5.5.5:5483")), name(2)):
            await self.assertFailure(dial, ServiceStopped)
        self.assertTrue(self.one._dial_backs.idle)


class KnockTests(DialBackCase):
    """Dials on our own account that ask whether a peer is there."""

    async def knock(
        self, backs: DialBacks, *endpoints: Endpoint, peer: int = 1
    ) -> list[tuple[Presence, str]]:
        found = [await each for each in backs.knock(endpoints, name(peer))]
        self.assertEqual([each.endpoint for each in found], list(endpoints))
        return [(each.presence, each.outcome) for each in found]

    async def test_peer_that_answers_is_there(self) -> None:
        """Also in a network of ours: nobody else learns of it."""
        backs = self.backs()
        there, _ = self.start(1)
        self.assertEqual(await self.knock(backs, *there.endpoints), [(Presence.THERE, "it answered")])
        await self.closed
        self.assertTrue(backs.idle)

    async def test_refused_peer_is_gone(self) -> None:
        found = await self.knock(self.backs(), self.closed_port())
        self.assertEqual(found, [(Presence.GONE, "connection refused")])
        await self.closed

    async def test_peer_is_gone_where_another_answers(self) -> None:
        backs = self.backs()
        there, _ = self.start(1)
        ((presence, outcome),) = await self.knock(backs, *there.endpoints, peer=2)
        self.assertIs(presence, Presence.GONE)
        self.assertIn("answered instead of", outcome)
        await self.closed

    async def test_what_we_may_not_dial_says_nothing(self) -> None:
        """Neither does what we do not dial for now."""
        denying = self.backs(deny=(str(name(1)),))
        ((presence, outcome),) = await self.knock(denying, self.closed_port())
        self.assertIs(presence, Presence.NO_WAY)
        self.assertIn("not dialled", outcome)
        self.patch(limits, "MAX_DIALS_PER_PEER", 1)
        busy = self.backs()
        self.limits.began(name(1), self.closed_port())
        ((presence, outcome),) = await self.knock(busy, self.closed_port())
        self.assertIs(presence, Presence.UNKNOWN)
        self.assertIn("too many dials to", outcome)

    async def test_knock_fails_when_crust_stops(self) -> None:
        backs = self.backs()
        there, _ = self.start(1)
        (dial,) = backs.knock(there.endpoints, name(1))
        backs.stop()
        await self.assertFailure(dial, ServiceStopped)
        await self.closed

    async def test_knock_can_be_cancelled(self) -> None:
        backs = self.backs()
        there, _ = self.start(1)
        (dial,) = backs.knock(there.endpoints, name(1))
        dial.cancel()
        await self.assertFailure(dial, CancelledError)
        await self.closed


class PresenceTests(SynchronousTestCase):
    def test_only_a_denial_by_the_host_or_its_router_means_gone(self) -> None:
        """Our own lack of a way and a silence do not."""
        cases: list[tuple[Exception, Presence]] = [
            (ConnectionRefusedError(errno.ECONNREFUSED), Presence.GONE),
            (ConnectError(errno.EHOSTUNREACH), Presence.GONE),
            (NoRouteError(errno.ENETUNREACH), Presence.NO_WAY),
            (TCPTimedOutError(errno.ETIMEDOUT), Presence.UNKNOWN),
            (ConnectError(errno.EADDRNOTAVAIL), Presence.UNKNOWN),
            (ConnectError(), Presence.UNKNOWN),
            (LinkClosed(CloseReason.CONNECTION_LOST), Presence.UNKNOWN),
            (LinkClosed(CloseReason.TLS_REFUSED, "of another name"), Presence.GONE),
            (LinkClosed(CloseReason.TLS_REFUSED, "it refused us", by_peer=True), Presence.UNKNOWN),
            (LinkClosed(CloseReason.SELF), Presence.GONE),
        ]
        for problem, presence in cases:
            self.assertIs(presence_in(problem), presence, repr(problem))

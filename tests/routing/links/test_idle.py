"""Borrowed links are given up when they have been idle; links that applications want are not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.errors import CloseReason, PeerUnreachable
from routing_crust.identity import Identity
from routing_crust.names import Name
from routing_crust.routing.core import RoutingCore
from routing_crust.routing.links.idle import IdleLinks
from routing_crust.testing.simulation import SimulatedNetwork

ONE, TWO = (Identity.from_seed(bytes([each]) * 32).name for each in (1, 2))
PEER: Any = SimpleNamespace(name=ONE)


class IdleTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.given_up: list[Name] = []
        self.idle = IdleLinks(self.clock, 60.0, self.given_up.append)

    def test_borrowed_link_is_given_up_when_it_has_been_idle(self) -> None:
        """What was borrowed and given back goes, if it is not used; what was not borrowed stays."""
        self.idle.borrow(ONE)
        self.assertFalse(self.idle)
        self.idle.give_back(ONE)
        self.idle.give_back(TWO)
        self.assertEqual((len(self.idle), bool(self.idle)), (1, True))
        self.clock.advance(59)
        self.idle.used(ONE)
        self.idle.used(TWO)
        self.clock.advance(59)
        self.assertEqual(self.given_up, [])
        self.clock.advance(1)
        self.assertEqual((self.given_up, bool(self.idle)), ([ONE], False))

    def test_link_that_is_needed_again_is_not_given_up(self) -> None:
        self.idle.borrow(ONE)
        self.idle.give_back(ONE)
        self.idle.needed(ONE)
        self.clock.advance(100)
        self.assertEqual(self.given_up, [])
        self.idle.give_back(ONE)
        self.clock.advance(60)
        self.assertEqual(self.given_up, [ONE])

    def test_link_that_an_application_wants_is_not_given_up(self) -> None:
        """An application wants it too, before it is given back or after."""
        for early in (True, False):
            self.idle.borrow(ONE)
            if early:
                self.idle.keep(ONE)
            self.idle.give_back(ONE)
            if not early:
                self.idle.keep(ONE)
            self.clock.advance(100)
            self.assertEqual(self.given_up, [])
            self.idle.peer_lost(PEER, CloseReason.INACTIVE, "")

    def test_lost_link_is_forgotten(self) -> None:
        """Nothing is remembered of a link that is gone."""
        self.idle.borrow(ONE)
        self.idle.keep(ONE)
        self.idle.peer_lost(PEER, CloseReason.INACTIVE, "")
        self.idle.borrow(ONE)
        self.idle.give_back(ONE)
        self.idle.peer_lost(PEER, CloseReason.INACTIVE, "")
        self.idle.give_back(ONE)
        self.clock.advance(100)
        self.assertEqual(self.given_up, [])

    def test_stop_leaves_no_timer(self) -> None:
        self.idle.borrow(ONE)
        self.idle.give_back(ONE)
        self.idle.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class InVainTests(SynchronousTestCase):
    """Links that are to be borrowed, with nodes that are not there."""

    def setUp(self) -> None:
        self.net = SimulatedNetwork(seed=1)
        self.addCleanup(self.net.stop)
        self.node, *_ = self.net.nodes(3)
        self.net.run_until(self.net.joined)

    @property
    def core(self) -> RoutingCore:
        assert self.node.core is not None
        return self.node.core

    def test_link_that_is_not_made_does_not_count_as_ours(self) -> None:
        """A node that names a relay which is not there could get it a link that never makes room."""
        asked = self.core.direct_links.borrow(ONE)
        self.assertTrue(self.core.idle.is_ours(ONE))
        self.assertRaises(PeerUnreachable, self.net.result_of, asked)
        self.assertFalse(self.core.idle.is_ours(ONE))

    def test_it_does_while_somebody_else_waits_for_it(self) -> None:
        first, second = self.core.direct_links.borrow(ONE), self.core.direct_links.borrow(ONE)
        for each in (first, second):
            each.addErrback(lambda failure: None)
        first.cancel()
        self.assertTrue(self.core.idle.is_ours(ONE))
        second.cancel()
        self.assertFalse(self.core.idle.is_ours(ONE))

    def test_link_that_another_borrower_gets_is_closed_when_it_is_given_back(self) -> None:
        """Though the first has given up meanwhile."""
        name = next(each.name for each in self.core.links.peers)
        self.core.links.drop(name, CloseReason.CONNECTION_LOST)
        self.core.joiner.rest()
        asked = self.core.direct_links.borrow(name)
        self.core.idle.not_made(name)
        self.net.result_of(asked)
        self.assertTrue(self.core.idle.is_ours(name))

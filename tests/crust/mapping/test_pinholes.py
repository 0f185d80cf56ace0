"""Holes in the firewall for IPv6: which, and how they follow our addresses."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import Role, Settings
from routing_crust.crust.mapping.lease import Gateway, Lease, RouterAccess, RouterProblem
from routing_crust.crust.mapping.portmapper import MAX_PINHOLES, PortMapper, pinholes_for, ports_to_open
from routing_crust.endpoints import Endpoint

from ..addresses import at
from .support import FakeRouter, QuietTests, UdpClock

ROUTER = "fe80::1%eth0"
ONE, TWO = (Gateway(ROUTER, f"2a00:77::{each}") for each in (1, 2))
HOLE = at("[2a00:77::1]:5483")


class ChoiceTests(SynchronousTestCase):
    def test_every_global_address_that_listens_gets_a_hole(self) -> None:
        wildcard, second = at("[::]:5483"), at("[2a00:77::2]:6000")
        self.assertEqual(pinholes_for([wildcard], [ONE, TWO]), (HOLE, at("[2a00:77::2]:5483")))
        self.assertEqual(pinholes_for([second], [ONE, TWO]), (second,))
        self.assertEqual(pinholes_for([wildcard], []), ())

    def test_at_most_four_holes_are_asked_for(self) -> None:
        many = [Gateway(ROUTER, f"2a00:77::{each}") for each in range(1, 10)]
        self.assertEqual(len(pinholes_for([at("[::]:5483")], many)), MAX_PINHOLES)

    def test_only_ipv6_ports_that_others_can_dial_are_opened(self) -> None:
        listening = [at(each) for each in ("0.0.0.0:5483", "[::1]:5483", "[::]:5483")]
        self.assertEqual(ports_to_open(Settings(), listening), (at("[::]:5483"),))
        self.assertEqual(ports_to_open(Settings(port_mapping=False), listening), ())
        self.assertEqual(ports_to_open(Settings(role=Role.CLIENT), listening), ())


class FollowingTests(QuietTests):
    def setUp(self) -> None:
        super().setUp()
        self.clock = UdpClock()
        self.told: list[tuple[str, Endpoint, int]] = []
        self.asked: list[tuple[Any, ...]] = []
        self.routers: list[FakeRouter] = []
        self.gateways: list[Gateway] = [ONE]
        self.mapper = PortMapper(
            Settings(),
            self.clock,
            Random(1),
            RouterAccess(lambda: None, (), lambda: self.gateways, [self.way]),
            mapped=lambda *told: self.told.append(("mapped", *told)),
            unmapped=lambda *told: self.told.append(("unmapped", *told)),
        )
        self.mapper.start([at("[::]:5483")])

    def way(self, gateway: Gateway) -> FakeRouter:
        self.routers.append(FakeRouter("PCP", gateway, self.asked))
        return self.routers[-1]

    def grant(self, host: str = HOLE.host, router: int = -1) -> None:
        self.routers[router].answer.callback(Lease("PCP", ROUTER, Endpoint(host, 5483), 5483, 7200))

    def test_hole_is_told_and_is_no_mapping_of_the_port(self) -> None:
        """A link over IPv4 to the same port is not mapped by it."""
        self.grant()
        self.assertEqual(self.told, [("mapped", HOLE, 5483)])
        self.assertFalse(self.mapper.maps(5483))
        words = f"[2a00:77::1]:5483: {HOLE}, by the router at {ROUTER} (PCP), for 2 h"
        self.assertEqual(self.mapper.in_words, (words,))
        self.assertEqual(self.mapper.leases[0].effect, f"lets connections to {HOLE} in")

    def test_refusal_is_told_in_words(self) -> None:
        self.routers[0].answer.errback(RouterProblem("no answer"))
        problem = f"[2a00:77::1]:5483: the router at {ROUTER} does not (PCP: no answer)"
        self.assertEqual(self.mapper.in_words, (problem,))

    def test_low_port_is_asked_for_as_it_is(self) -> None:
        """Nothing is translated, so that another port would lead nowhere."""
        self.mapper.stop()
        self.mapper.start([at("[::]:443")])
        self.assertEqual(self.asked[-1], ("PCP", "map", 443, 443, 7200))

    def test_holes_follow_the_addresses_of_this_host(self) -> None:
        self.grant()
        self.gateways = [TWO]
        self.mapper.network_changed()
        self.assertEqual(self.told, [("mapped", HOLE, 5483), ("unmapped", HOLE, 5483)])
        self.assertEqual(self.asked[1:], [("PCP", "remove"), ("PCP", "map", 5483, 5483, 7200)])
        self.routers[0].answer.callback(None)
        self.grant("2a00:77::2", 1)
        self.assertEqual(self.told[2:], [("mapped", at("[2a00:77::2]:5483"), 5483)])
        self.gateways = []
        self.mapper.network_changed()
        self.routers[1].answer.callback(None)
        self.assertEqual((self.mapper.leases, self.clock.getDelayedCalls()), ((), []))

    def test_stop_waits_for_holes_whose_address_has_gone(self) -> None:
        self.grant()
        self.gateways = []
        self.mapper.network_changed()
        stopped = self.mapper.stop()
        self.assertNoResult(stopped)
        self.routers[0].answer.callback(None)
        self.successResultOf(stopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.mapper.network_changed()
        self.assertEqual(len(self.routers), 1)

"""The port mapper: which ports, and what is told of them."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import Role, Settings
from routing_crust.crust.mapping import portmapper
from routing_crust.crust.mapping.keeper import SETTLE_SECONDS
from routing_crust.crust.mapping.lease import Gateway, Lease, RouterAccess, RouterProblem
from routing_crust.crust.mapping.natpmp import address_request
from routing_crust.crust.mapping.portmapper import MAX_MAPPED_PORTS, PortMapper, ports_to_map, router_access
from routing_crust.endpoints import Endpoint

from ..addresses import at
from .support import GATEWAY, FakeRouter, QuietTests, UdpClock, lease


class PortTests(SynchronousTestCase):
    def wanted(self, *listening: str, **settings: Any) -> list[str]:
        chosen = ports_to_map(Settings(**settings), [at(each) for each in listening])
        return [str(each) for each in chosen]

    def test_every_ipv4_port_is_mapped_once(self) -> None:
        self.assertEqual(
            self.wanted("0.0.0.0:5483", "[::]:5483", "127.0.0.1:1", "192.168.1.5:5483", "10.0.0.1:6000"),
            ["0.0.0.0:5483", "10.0.0.1:6000"],
        )

    def test_nothing_to_map_gives_no_keeper(self) -> None:
        self.assertEqual(self.wanted(), [])
        self.assertEqual(self.wanted("127.0.0.1:5483", "[::1]:5483"), [])
        self.assertEqual(self.wanted("0.0.0.0:5483", port_mapping=False), [])
        self.assertEqual(self.wanted("0.0.0.0:5483", role=Role.CLIENT), [])

    def test_at_most_four_ports_are_mapped(self) -> None:
        many = [f"0.0.0.0:{port}" for port in range(6000, 6020)]
        self.assertEqual(self.wanted(*many), many[:MAX_MAPPED_PORTS])


class MapperTests(QuietTests):
    def setUp(self) -> None:
        super().setUp()
        self.clock = UdpClock()
        self.told: list[tuple[str, Endpoint, int]] = []
        self.asked: list[tuple[Any, ...]] = []
        self.routers: list[FakeRouter] = []

    def make(self, access: RouterAccess) -> PortMapper:
        return PortMapper(
            Settings(),
            self.clock,
            Random(1),
            access,
            mapped=lambda *told: self.told.append(("mapped", *told)),
            unmapped=lambda *told: self.told.append(("unmapped", *told)),
        )

    def way(self, gateway: Gateway) -> FakeRouter:
        self.routers.append(FakeRouter("NAT-PMP", gateway, self.asked))
        return self.routers[-1]

    def started(self, *leases: Lease) -> PortMapper:
        mapper = self.make(RouterAccess(lambda: GATEWAY, [self.way]))
        mapper.start([Endpoint("0.0.0.0", 5483 + each) for each in range(len(leases))])
        for router, each in zip(self.routers, leases, strict=True):
            router.answer.callback(each)
        return mapper

    def test_changes_of_a_mapping_are_reported(self) -> None:
        mapper = self.started(lease())
        self.assertEqual(self.told, [("mapped", at("5.5.5.11:5483"), 5483)])
        self.assertEqual(mapper.leases, (lease(),))
        words = "port 5483: 5.5.5.11:5483, by the router at 192.168.1.1 (NAT-PMP), for 2 h"
        self.assertEqual(mapper.in_words, (words,))
        self.assertEqual((mapper.maps(5483), mapper.maps(5484)), (True, False))
        self.told.clear()
        self.clock.advance(60)
        self.routers[0].answer.callback(False)
        self.routers[0].answer.callback(lease("5.5.5.12:5483"))
        self.assertEqual(
            self.told, [("mapped", at("5.5.5.12:5483"), 5483), ("unmapped", at("5.5.5.11:5483"), 5483)]
        )
        self.told.clear()
        self.clock.advance(60)
        self.routers[0].answer.callback(False)
        self.routers[0].answer.errback(RouterProblem("no more"))
        self.assertEqual(self.told, [("unmapped", at("5.5.5.12:5483"), 5483)])

    def test_mapping_behind_a_carriers_nat_is_reported_but_maps_no_port(self) -> None:
        """Only those behind the same NAT can dial it."""
        inner = lease("100.64.1.10:5483")
        mapper = self.started(inner)
        self.assertEqual(mapper.leases, (inner,))
        self.assertRegex(mapper.in_words[0], r"for 2 h; only those behind the same router can dial it: ")
        self.assertFalse(mapper.maps(5483))
        self.clock.advance(60)
        self.routers[0].answer.callback(False)
        self.routers[0].answer.errback(RouterProblem("no more"))
        self.assertEqual(self.told, [("mapped", inner.external, 5483), ("unmapped", inner.external, 5483)])

    def test_mapping_that_nobody_would_dial_is_not_reported(self) -> None:
        mapper = self.started(lease("100.64.1.10:80"))
        self.assertEqual((len(mapper.leases), self.told), (1, []))

    def test_two_ports_are_kept_separately(self) -> None:
        second = Lease("NAT-PMP", GATEWAY.address, at("5.5.5.11:5484"), 5484, 7200)
        mapper = self.started(lease(), second)
        self.assertEqual(mapper.leases, (lease(), second))
        stopped = mapper.stop()
        self.assertEqual([each[1] for each in self.asked[2:]], ["remove", "remove"])
        for each in self.routers:
            self.assertNoResult(stopped)
            each.answer.callback(None)
        self.successResultOf(stopped)
        self.assertEqual((mapper.leases, self.clock.getDelayedCalls()), ((), []))

    def test_problems_are_told_in_words(self) -> None:
        mapper = self.make(RouterAccess(lambda: GATEWAY, [self.way]))
        mapper.start([at("0.0.0.0:5483")])
        self.assertEqual(mapper.in_words, ())
        self.routers[0].answer.errback(RouterProblem("no answer"))
        problem = "port 5483: the router at 192.168.1.1 does not (NAT-PMP: no answer)"
        self.assertEqual(mapper.in_words, (problem,))

    def test_asked_is_when_each_port_is_mapped_or_known_not_to_be(self) -> None:
        mapper = self.make(RouterAccess(lambda: GATEWAY, [self.way]))
        self.successResultOf(mapper.when_asked())
        mapper.start([at("0.0.0.0:5483"), at("0.0.0.0:5484")])
        asked, given_up = mapper.when_asked(), mapper.when_asked()
        self.routers[1].answer.callback(Lease("NAT-PMP", GATEWAY.address, at("5.5.5.11:5484"), 5484, 7200))
        self.assertNoResult(asked)
        given_up.cancel()
        self.failureResultOf(given_up, CancelledError)
        self.routers[0].answer.errback(RouterProblem("no answer"))
        self.successResultOf(asked)
        self.successResultOf(mapper.when_asked())

    def test_who_waits_for_an_asked_router_hears_of_the_stop(self) -> None:
        mapper = self.make(RouterAccess(lambda: GATEWAY, [self.way]))
        mapper.start([at("0.0.0.0:5483")])
        asked = mapper.when_asked()
        stopped = mapper.stop()
        self.successResultOf(asked)
        self.routers[0].answer.callback(None)
        self.successResultOf(stopped)

    def test_network_change_reaches_every_keeper(self) -> None:
        mapper = self.started(lease())
        mapper.network_changed()
        self.clock.advance(SETTLE_SECONDS)
        self.assertEqual(self.asked[1:], [("NAT-PMP", "holds", 5483)])

    def test_stopped_mapper_can_start_again(self) -> None:
        mapper = self.started(lease())
        stopped = mapper.stop()
        self.routers[0].answer.callback(None)
        self.successResultOf(stopped)
        self.successResultOf(mapper.stop())
        mapper.network_changed()
        mapper.start([at("0.0.0.0:5483")])
        self.assertEqual(len(self.routers), 2)

    def test_nothing_is_asked_of_a_router_for_loopback(self) -> None:
        mapper = self.make(router_access(self.clock, Random(1), lambda text: text))
        mapper.start([at("127.0.0.1:5483")])
        self.assertEqual(self.clock.sent, [])
        self.successResultOf(mapper.stop())

    def test_pcp_is_tried_first_then_nat_pmp_then_upnp(self) -> None:
        """UPnP runs in a thread."""
        self.patch(portmapper, "find_gateway", lambda: GATEWAY)
        jobs: list[Any] = []
        self.patch(portmapper, "in_daemon_thread", lambda reactor, job: jobs.append(job) or Deferred())
        mapper = self.make(router_access(self.clock, Random(1), lambda text: text))
        mapper.start([at("0.0.0.0:5483")])
        self.assertEqual([each[:2] for _, each in self.clock.sent], [b"\2\1"])
        self.clock.ports[0].protocol.connectionRefused()
        self.clock.advance(0)
        self.assertEqual([each for _, each in self.clock.sent][1:], [address_request()])
        self.assertEqual(jobs, [])
        self.clock.ports[0].protocol.connectionRefused()
        self.clock.advance(0)
        self.assertEqual(len(jobs), 1)
        self.successResultOf(mapper.stop())
        self.assertEqual((self.clock.getDelayedCalls(), self.clock.ports), ([], []))

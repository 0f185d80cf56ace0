"""Mapped ports in crust as a whole: what is asked, what becomes of it, and how it ends."""

from __future__ import annotations

from typing import Any

from routing_crust.config import Role
from routing_crust.crust import platform
from routing_crust.crust.mapping import portmapper
from routing_crust.crust.mapping.keeper import PortKeeper
from routing_crust.crust.mapping.lease import Gateway, Lease, RouterAccess
from routing_crust.crust.reachability import EndpointSource, OwnEndpoint
from routing_crust.endpoints import PathKind
from routing_crust.timing.shares import OURSELVES

from .addresses import HOST, at, host_address, name
from .mapping.support import GATEWAY, FakeRouter
from .services import ServiceTests

EXTERNAL = at("5.5.5.11:6000")


class MappingTests(ServiceTests):
    host = (host_address("eth0", 2, f"{GATEWAY.local}/24"),)

    def setUp(self) -> None:
        super().setUp()
        self.asked: list[tuple[Any, ...]] = []
        self.routers: list[FakeRouter] = []
        access = RouterAccess(lambda: GATEWAY, [self.make_router])
        self.patch(platform, "router_access", lambda *_: access)

    def make_router(self, gateway: Gateway) -> FakeRouter:
        self.routers.append(FakeRouter("NAT-PMP", gateway, self.asked))
        return self.routers[-1]

    def start_mapped(self, seed: int = 1, **settings: Any) -> Any:
        """One whose port is mapped."""
        one, events = self.start(seed, listen=(at("0.0.0.0:0"),), port_mapping=True, **settings)
        (self.listening,) = one._listening
        lease = Lease("NAT-PMP", GATEWAY.address, EXTERNAL, self.listening.port, 7200)
        asked = one.when_routers_asked().addCallback(lambda _: one.sources[0].endpoint)
        self.assertNoResult(asked)
        self.routers[-1].answer.callback(lease)
        self.assertEqual(self.successResultOf(asked), EXTERNAL)
        return one, events

    async def stop(self, one: Any) -> None:
        """It stops as soon as the router has answered."""
        stopped = one.stop()
        self.assertEqual(self.asked[-1], ("NAT-PMP", "remove"))
        self.routers[-1].answer.callback(None)
        await stopped

    async def test_mapped_endpoint_is_the_first_candidate_while_it_lasts(self) -> None:
        self.patch(portmapper, "MAPPING_LIFETIME_SECONDS", 300)
        one, events = self.start_mapped()
        port = self.listening.port
        self.assertEqual(self.asked, [("NAT-PMP", "map", port, port, 300)])
        inner = at(f"{GATEWAY.local}:{port}")
        await events.next("endpoints")
        (endpoints,) = await events.next("endpoints")
        self.assertEqual(endpoints, (EXTERNAL, inner))
        self.assertEqual(one.sources[0], OwnEndpoint(EXTERNAL, EndpointSource.MAPPED))
        words = f"port {port}: {EXTERNAL}, by the router at 192.168.1.1 (NAT-PMP), for 2 h"
        self.assertEqual(one.mapped_ports, (words,))
        keeper: PortKeeper
        (keeper,) = one._mapper._keepers
        keeper._lost("as a test wants it")
        (endpoints,) = await events.next("endpoints")
        self.assertEqual(endpoints, (inner,))
        await self.stop(one)

    async def test_stop_waits_for_the_router_and_maps_nothing_more(self) -> None:
        """The router is waited for, and nothing is mapped afterwards."""
        one, _ = self.start_mapped()
        stopped = one.stop()
        self.assertNoResult(stopped)
        self.routers[-1].answer.callback(None)
        await stopped
        self.assertEqual((one.mapped_ports, one.endpoints), ((), ()))

    async def test_link_over_a_mapped_port_says_so(self) -> None:
        """A peer that reaches a mapped port from outside has come through the router."""
        one, events = self.start_mapped(1)
        here = at(f"127.0.0.1:{self.listening.port}")
        two, _ = self.start(2)
        await two.connect((here,), name(1), b"", OURSELVES)
        (link,) = await events.next("accept")
        self.assertIs(link.path_kind, PathKind.DIRECT)
        self.patch(one._outside, "is_outside", lambda endpoint: True)
        three, _ = self.start(3)
        theirs = await three.connect((here,), name(1), b"", OURSELVES)
        (link,) = await events.next("accept")
        self.assertIs(link.path_kind, PathKind.MAPPED)
        self.assertIs(theirs.path_kind, PathKind.DIRECT)  # nothing shows it there
        await self.stop(one)

    async def test_link_over_an_unmapped_port_is_direct(self) -> None:
        one, events = self.start(1)
        self.patch(one._outside, "is_outside", lambda endpoint: True)
        two, _ = self.start(2)
        await two.connect(one.endpoints, name(1), b"", OURSELVES)
        (link,) = await events.next("accept")
        self.assertIs(link.path_kind, PathKind.DIRECT)

    async def test_change_of_the_host_has_the_router_asked(self) -> None:
        """Only then is the router asked out of turn."""
        changes: list[object] = []
        one, _ = self.start_mapped()
        self.patch(one._mapper, "network_changed", lambda: changes.append(None))
        one.bootstrap()
        self.assertEqual(changes, [])
        one.end_bootstrap(None)
        self.host = HOST
        one._host.look()
        self.assertEqual(len(changes), 1)
        await self.stop(one)

    async def test_client_or_loopback_asks_no_router(self) -> None:
        """For a client, on loopback only, and when it is turned off."""
        for seed, settings in enumerate(
            (
                {"role": Role.CLIENT, "listen": (at("0.0.0.0:0"),)},
                {},
                {"listen": (at("0.0.0.0:0"),), "port_mapping": False},
            ),
            start=1,
        ):
            one, _ = self.start(seed, **({"port_mapping": True} | settings))
            self.assertEqual((self.routers, one.mapped_ports), ([], ()))

"""Mapped ports on a real router: Linux with miniupnpd, over NAT-PMP and over UPnP, dialled from outside."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Any

from twisted.trial.unittest import SkipTest

from ..daemon.children import Child
from .home import HomeTestCase

NODE = (sys.executable, "-m", "tests.natlab.mapped_node")
LISTEN = "0.0.0.0:5483"
LOOK = 60
"""Seconds until a router is asked over NAT-PMP whether it still maps."""


class MappingTestCase(HomeTestCase):
    way = ""
    first = "natpmp"

    def start(self, host: str, seed: int, listen: str = LISTEN) -> Child:
        return self.spawn_on(host, *NODE, str(seed), listen, self.first)

    def tell(self, node: Child, *words: object) -> None:
        transport: Any = node.transport
        transport.write((" ".join(map(str, words)) + "\n").encode())

    async def mapped(self, host: str = "one", seed: int = 1) -> tuple[Child, str]:
        """A node on a host, and its external endpoint."""
        node = self.start(host, seed)
        await node.wait_for(rf"maps 5\.5\.5\.11:\d+ to our port 5483 \({self.way}\), for 2 h$")
        return node, await node.wait_for(r"^endpoints (5\.5\.5\.11:\d+) 192\.168\.77\.1\d:5483$")

    async def stopped(self, node: Child) -> None:
        self.tell(node, "stop")
        self.assertEqual(await node.ended, 0, node.out)

    async def dialled(self, node: Child, seed: int, endpoint: str, dialler: int = 9) -> None:
        """A node outside dials this one, and gets the link."""
        caller = self.start("outside", dialler, f"5.5.5.1:{dialler + 7000}")
        self.tell(caller, "connect", seed, endpoint)
        await caller.wait_for(rf"^connected direct {endpoint}$")
        await node.wait_for(r"^accepted mapped 5\.5\.5\.1$")
        await self.stopped(caller)


class NatPmpTests(MappingTestCase):
    way = "NAT-PMP"

    async def test_mapped_port_is_dialled_from_outside_and_unmapped_at_the_end(self) -> None:
        """And removed at the end."""
        await self.start_router()
        node, external = await self.mapped()
        self.assertEqual((external, self.mappings()), ("5.5.5.11:5483", ["5483 -> 192.168.77.10:5483"]))
        await self.dialled(node, 1, external)
        await self.stopped(node)
        self.assertIn("no longer maps 5.5.5.11:5483 to us, as we have requested", node.out)
        self.assertEqual(self.mappings(), [])

    async def test_two_hosts_that_want_one_port_get_a_port_each(self) -> None:
        """Two hosts want the same port. Each gets one, and both are dialled."""
        await self.start_router()
        one, first = await self.mapped("one", 1)
        two, second = await self.mapped("two", 2)
        self.assertNotEqual(first, second)
        await self.dialled(one, 1, first, 8)
        await self.dialled(two, 2, second, 9)
        await self.stopped(one)
        self.assertEqual(self.mappings(), [f"{second.partition(':')[2]} -> 192.168.77.11:5483"])
        await self.stopped(two)

    async def test_mapping_is_renewed_after_half_its_time(self) -> None:
        router = await self.start_router()
        node, _ = await self.mapped()
        self.tell(node, "advance", 3600)
        await node.wait_for(r"^log debug 5\.5\.5\.11:5483 is mapped on, for 2 h")
        self.assertEqual(self.mappings(), ["5483 -> 192.168.77.10:5483"])
        await self.stopped(node)
        self.assertEqual(router.out.count("port mapping request"), 3, router.out)

    async def test_mapping_that_a_router_forgot_is_made_again(self) -> None:
        """A router that has forgotten the mapping is noticed, and has it again."""
        router = await self.start_router()
        node, external = await self.mapped()
        await self.restart_router(router, long_up=False)
        self.assertEqual(self.mappings(), [])
        self.tell(node, "advance", LOOK)
        await node.wait_for(r"^log debug 5\.5\.5\.11:5483 is mapped on, for 2 h")
        self.assertEqual(self.mappings(), ["5483 -> 192.168.77.10:5483"])
        await self.dialled(node, 1, external)
        await self.stopped(node)

    async def test_mapping_that_a_router_lost_without_a_restart_is_made_again(self) -> None:
        """Its daemon has restarted, and its uptime went on."""
        router = await self.start_router()
        node, external = await self.mapped()
        router = await self.restart_router(router)
        self.assertEqual(self.mappings(), [])
        self.tell(node, "advance", LOOK)
        await router.wait_for("port mapping request")
        await self.dialled(node, 1, external)
        await self.stopped(node)

    async def test_new_address_of_the_router_is_told_to_others(self) -> None:
        """The provider gives the router another address."""
        router = await self.start_router()
        node, _ = await self.mapped()
        await self.restart_router(router, public="5.5.5.12")
        self.tell(node, "changed")
        self.tell(node, "advance", 1)
        await node.wait_for(r"^endpoints 5\.5\.5\.12:5483 192\.168\.77\.10:5483$")
        await self.dialled(node, 1, "5.5.5.12:5483")
        await self.stopped(node)

    async def test_router_with_a_private_address_maps_nothing_and_says_so(self) -> None:
        """miniupnpd maps nothing when its own address is not public, and says so."""
        self.on("router", "ip", "addr", "flush", "dev", "wan0")
        self.on("router", "ip", "addr", "add", "100.64.0.11/24", "dev", "wan0")
        await self.start_router(public="", upnp=False)
        node = self.start("one", 1)
        await node.wait_for(
            r"^log info no router maps our port 5483: .*NAT-PMP: the router has no address itself"
        )
        await self.stopped(node)
        self.assertEqual(self.mappings(), [])

    async def test_router_that_is_gone_does_not_keep_a_node_from_stopping(self) -> None:
        """A router that is not there any more when the node stops does not keep it."""
        router = await self.start_router()
        node, _ = await self.mapped()
        router.transport.signalProcess("KILL")  # type: ignore[union-attr]
        await router.ended
        await self.stopped(node)
        self.assertIn("does not confirm that 5.5.5.11:5483 is no longer mapped", node.out)


class PcpTests(MappingTestCase):
    way = "PCP"
    first = "pcp"

    async def test_mapping_of_a_node_that_was_killed_is_taken_over(self) -> None:
        """The nonce is the same: else the router would refuse it as that of another."""
        await self.start_router()
        node, external = await self.mapped()
        self.assertEqual((external, self.mappings()), ("5.5.5.11:5483", ["5483 -> 192.168.77.10:5483"]))
        await self.dialled(node, 1, external)
        node.transport.signalProcess("KILL")  # type: ignore[union-attr]
        await node.ended
        node, external = await self.mapped()
        self.assertEqual(self.mappings(), ["5483 -> 192.168.77.10:5483"])
        await self.stopped(node)
        self.assertIn("no longer maps 5.5.5.11:5483 to us, as we have requested", node.out)
        self.assertEqual(self.mappings(), [])

    async def test_firewall_lets_in_what_is_dialled_over_ipv6(self) -> None:
        inner, outer = "2a00:77::10", "2a00:5::1"
        self.on("router", "sysctl", "-eqw", "net.ipv6.conf.all.forwarding=1")
        for host, device, address in (
            ("router", "wan0", "2a00:5::11"),
            ("router", "lan0", "2a00:77::1"),
            ("outside", "eth0", outer),
            ("one", "eth0", inner),
        ):
            self.on(host, "ip", "addr", "add", f"{address}/64", "dev", device, "nodad")
        self.on("outside", "ip", "route", "add", "2a00:77::/64", "via", "2a00:5::11")
        self.on(
            "one", "ip", "route", "add", "default", "via", self.link_local("router", "lan0"), "dev", "eth0"
        )
        chain = ("add", "rule", "inet", "filter", "forward", "meta", "nfproto", "ipv6")
        self.on("router", "nft", *chain, "ct", "state", "established,related", "accept")
        self.on("router", "nft", *chain, "iifname", "wan0", "drop")
        await self.start_router()
        node = self.start("one", 1, "[::]:5483")
        await node.wait_for(rf"lets connections to \[{inner}\]:5483 in \(PCP\), for 2 h$")
        self.assertIn("dport 5483", self.on("router", "nft", "list", "chain", "inet", "filter", "miniupnpd"))
        caller = self.start("outside", 9, f"[{outer}]:7009")
        self.tell(caller, "connect", 1, f"[{inner}]:5483")
        await caller.wait_for(rf"^connected direct \[{inner}\]:5483$")
        await self.stopped(caller)
        await self.stopped(node)
        # a busy router may close the hole when the node has given up its answer, which it says then
        if "does not confirm" not in node.out:
            left = self.on("router", "nft", "list", "chain", "inet", "filter", "miniupnpd")
            self.assertNotIn("5483", left, node.out)

    def link_local(self, host: str, device: str) -> str:
        shown = self.on(host, "ip", "-6", "-o", "addr", "show", "dev", device, "scope", "link")
        return shown.split()[3].partition("/")[0]


class UpnpTests(MappingTestCase):
    """The router does not know NAT-PMP."""

    way = "UPnP"

    def setUp(self) -> None:
        if find_spec("miniupnpc") is None:
            raise SkipTest("miniupnpc is not installed: it comes with the extra upnp")
        super().setUp()

    async def test_mapped_port_is_dialled_from_outside_and_unmapped_at_the_end(self) -> None:
        """And removed at the end."""
        await self.start_router(natpmp=False)
        node, external = await self.mapped()
        self.assertEqual((external, self.mappings()), ("5.5.5.11:5483", ["5483 -> 192.168.77.10:5483"]))
        await self.dialled(node, 1, external)
        await self.stopped(node)
        self.assertEqual(self.mappings(), [])

    async def test_two_hosts_that_want_one_port_get_a_port_each(self) -> None:
        await self.start_router(natpmp=False)
        one, first = await self.mapped("one", 1)
        two, second = await self.mapped("two", 2)
        self.assertNotEqual(first, second)
        await self.dialled(one, 1, first, 8)
        await self.dialled(two, 2, second, 9)
        await self.stopped(two)
        self.assertEqual(self.mappings(), ["5483 -> 192.168.77.10:5483"])
        await self.stopped(one)

    async def test_restarted_router_is_found_at_its_new_port(self) -> None:
        """A router that was started again has another port to be asked at, and no mapping."""
        router = await self.start_router(natpmp=False)
        node, external = await self.mapped()
        await self.restart_router(router, natpmp=False)
        self.tell(node, "changed")
        self.tell(node, "advance", 1)
        await node.wait_for(r"^log debug the router at 192\.168\.77\.1: the router said ")
        self.tell(node, "advance", 600)
        await node.wait_for(r"^log debug 5\.5\.5\.11:5483 is mapped on, for 2 h")
        await self.dialled(node, 1, external)
        await self.stopped(node)
